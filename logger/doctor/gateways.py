"""The gateways: who answers, whether it is the right one, its certificate, its token, what a poll gives."""

from collections.abc import Iterator
from datetime import datetime

from logger.clock import in_words, to_epoch_s
from logger.doctor.findings import Finding, Level, error, ok, warning
from logger.doctor.installation import Installation, finding_of, of_sentence
from logger.doctor.machine import is_synchronised
from logger.doctor.visit import Visit
from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayError,
    GatewayReplacedError,
    LoggerError,
    SettingsError,
)
from logger.gateway.credentials import TokenLeft, Tokens
from logger.gateway.tls import Pins
from logger.gateway.token import Token
from logger.gateway.words import lifetime
from logger.readings import Outcome, Poll
from logger.reports.columns import SUSPECT
from logger.settings import Settings

#: A gateway's clock that differs by more is worth a word; by more than a day, somebody's is wrong.
SKEW_S = 60
WRONG_CLOCK_S = 86_400
#: kinds of events of one poll, beside the suspects -> what to do
ODD = {
    "inactive_meter": "ask the installer to enable the production meter, if it stays so",
    "frozen_readings": "restart the gateway, if it stays so",
    "lost_channel": "restart the gateway, if it stays so",
    "battery_silent": "look at the battery in the Enphase app",
    "battery_unmeasured": "give the account that is used access to the batteries, or have a storage CT enabled",
    "slow_answers": "see that nothing else asks the gateway all the time",
    "hanging_page": "restart the gateway, if it stays so",
}


def examine(here: Installation, loaded: Settings, visit: Visit) -> Iterator[Finding]:
    """Yield what a visit to a gateway showed."""
    yield _presence(visit)
    if here.hidden:
        if visit.info is not None and visit.info.gateway_time_s is not None:
            yield from _clock(visit, visit.info.gateway_time_s)
        return
    if visit.info is None or isinstance(visit.error, GatewayReplacedError):
        return
    yield from _certificate(loaded, visit)
    if visit.info.has_web_tokens:
        yield from _token(here, loaded, visit)
    elif visit.error is not None and isinstance(visit.error, AuthenticationError):
        yield finding_of("token", visit.error, "envoylog token set", visit.settings.name)
    if visit.info.gateway_time_s is not None:
        yield from _clock(visit, visit.info.gateway_time_s)
    if visit.poll is not None:
        yield from _poll(visit, visit.poll)


def _presence(visit: Visit) -> Finding:
    name, host = visit.settings.name, visit.settings.host
    match visit.error:
        case GatewayReplacedError() | SettingsError():
            return finding_of("gateway", visit.error, "correct the configuration", name)
        case GatewayError() if visit.info is None:
            return _instead(visit)
        case AuthenticationError() | None:
            pass
        case _:
            text = f"It answers at {host}, but could not be read: {visit.error}"
            return finding_of("gateway", LoggerError(text), "run it again in five minutes", name)
    serial, firmware = (visit.info.serial, visit.info.firmware) if visit.info else ("a gateway", "?")
    return ok("gateway", f"{serial}, firmware {firmware}, answers at {host}.", name)


def _instead(visit: Visit) -> Finding:
    """Return what answers in the place of a gateway."""
    what, _, remedy = (visit.found.sentence if visit.found else str(visit.error)).partition("; ")
    to_do = {
        "nothing": "see that it has power and is on this network; envoylog discover shows where it is",
        "router": "write the address that its list of devices shows for the gateway as host",
    }
    kind = visit.found.kind if visit.found else ""
    otherwise = "envoylog discover, and write what it shows as host"
    if kind == "router" or not remedy or remedy.endswith("?"):
        remedy = to_do.get(kind, otherwise)
    return error("gateway", f"{what.rstrip('.')}.", remedy, visit.settings.name)


def _certificate(loaded: Settings, visit: Visit) -> Iterator[Finding]:
    name = visit.settings.name
    if isinstance(visit.error, CertificateChangedError):
        yield finding_of("certificate", visit.error, f"envoylog trust accept {name}", name)
        return
    if visit.settings.tls != "pin" or (visit.info is not None and not visit.info.has_web_tokens):
        return
    try:
        pinned = Pins(loaded.state_dir, name).read()
    except LoggerError as problem:
        yield finding_of("certificate", problem, f"envoylog trust accept {name}", name)
        return
    words = "It is the pinned one" if pinned else "None is pinned yet; the first poll that is stored does"
    yield ok("certificate", f"{words}.", name)


def _token(here: Installation, loaded: Settings, visit: Visit) -> Iterator[Finding]:
    name = visit.settings.name
    tokens = Tokens(visit.settings, loaded.state_dir, here.environ, here.clock)
    if tokens.has_account and (reason := tokens.account.trouble):
        yield of_sentence("account", reason, f"envoylog token renew {name}", name, Level.WARNING)
    if isinstance(visit.error, AuthenticationError) and not isinstance(visit.error, CertificateChangedError):
        yield finding_of("token", visit.error, f"envoylog token set {name}", name)
        return
    try:
        token = tokens.stored()
    except LoggerError as problem:
        yield finding_of("token", problem, f"envoylog token set {name}", name)
        return
    if token is None or visit.poll is None:
        return
    renews = tokens.has_account and not visit.settings.token
    words = lifetime(token, here.clock(), renews=renews)[0].partition(";")[0]
    text = f"The gateway takes it: {words}{', which renews itself' if renews else ''}."
    if token.is_due(here.clock()) and not renews:
        yield warning("token", text, f"get a new one, and run: envoylog token set {name}", name)
    elif _is_late(token, here.clock()):
        yield warning("token", text, f"see why it was not renewed: envoylog token renew {name}", name)
    else:
        yield ok("token", text, name)


def _is_late(token: Token, now: datetime) -> bool:
    """Return whether a token that renews itself should long have done so."""
    if token.expires_at is None or token.issued_at is None:
        return False
    left = TokenLeft(expires_at=token.expires_at, lifetime=token.expires_at - token.issued_at, renews=True)
    return left.is_short(now)


def _clock(visit: Visit, gateway_time_s: int) -> Iterator[Finding]:
    name, off_s = visit.settings.name, gateway_time_s - to_epoch_s(visit.at)
    if abs(off_s) <= SKEW_S:
        return
    ours = is_synchronised()
    text = f"Its clock and this machine's are {in_words(abs(off_s))} apart"
    if ours:
        level = Level.WARNING
        text += ", and this machine's is set by the network: samples carry our time."
        to_do = "let the gateway reach the internet, from which it sets its clock"
    else:
        level = Level.ERROR if abs(off_s) > WRONG_CLOCK_S else Level.WARNING
        text += "; nothing shows that this machine's is right."
        to_do = "sudo timedatectl set-ntp true"
    yield Finding("clock", level, text, to_do, name)


def _poll(visit: Visit, poll: Poll) -> Iterator[Finding]:
    name = visit.settings.name
    for failure in poll.failures:
        is_lost = poll.outcome is Outcome.FAILED
        text = f"{failure.source}: {failure.error}"
        to_do = "run it again in five minutes; if it stays so, send a recording: envoylog doctor --bundle FILE"
        yield Finding("poll", Level.ERROR if is_lost else Level.WARNING, text, to_do, name)
    for event in poll.events:
        if event.kind in SUSPECT:
            yield of_sentence("CTs", f"{event.subject}: {event.detail}", "look at that CT", name, Level.WARNING)
        elif event.kind in ODD:
            yield warning("poll", f"{event.subject}: {event.detail}.", ODD[event.kind], name)
    if not poll.failures:
        inverters = f", {len(poll.inverters)} inverters" if poll.inverters else ""
        yield ok("poll", f"Complete in {poll.took_s:.1f} s{inverters}.", name)
