"""How things stand: the last polls, today's energy, the token, the spool, the database."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from logger.clock import in_words, to_epoch_s
from logger.errors import LoggerError, StoreAwayError
from logger.gateway.credentials import TokenLeft
from logger.readings import Outcome
from logger.reports.latest import Latest, latest
from logger.rollups import checkpoints, rollup
from logger.settings import GRID_METERS, GatewaySettings, Settings, normal_gap_s
from logger.store.lines import ends
from logger.store.queries import gateway_named
from logger.store.spool import Waiting, waiting_files

#: This many gateways are named in a monitor's line, the worst first.
NAMED = 10
#: what to do where nothing is collected, unless the service knows better
START = "start the collector: envoylog run"
#: Bringing a ledger up to date is quick when it lies behind by no more than this.
CATCH_UP_S = 2 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """One gateway, what waits for the database included."""

    gateway: str
    serial: str | None
    firmware: str | None
    last_poll_at: datetime | None
    last_poll_age_s: int | None = None
    last_outcome: str | None
    last_error: str | None
    last_good_age_s: int | None  #: since the last poll that measured something
    today_production_kwh: float | None
    today_consumption_kwh: float | None
    grid_meter_note: str | None = None  #: where the configuration wants another kind of meter than was counted for
    battery_soc_pct: float | None  #: of its newest poll
    grid_state: str | None  #: on_grid, off_grid or generator, where a system device says so
    token_days_left: int | None
    token_left_s: int | None
    token_renews: bool  #: with the configured account
    token_is_short: bool  #: so that somebody should look
    ill_panels: str | None = None  #: which panels are weak, dead or silent, and the command to type
    suspect: str | None  #: what to look at, where yesterday or today is suspect or the gateway flags a meter
    spool_bytes: int  #: what waits for the database
    spool_is_hidden: bool = False  #: from this user: what waits is not known
    waiting_since_s: int | None  #: how long the oldest poll has waited; None when none waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a monitor wants: 0 ok, 1 warning, 2 critical, 3 unknown, and one line."""

    level: int
    line: str


def statuses(
    connection: Connection, settings: Settings, now: datetime, tokens: Sequence[TokenLeft | None]
) -> list[GatewayStatus]:
    """Return how each configured gateway stands, what waits for the database included."""
    found = latest(connection, [gateway.name for gateway in settings.gateways], now)
    return [
        _status(settings, gateway, found.get(gateway.name), now, token)
        for gateway, token in zip(settings.gateways, tokens, strict=True)
    ]


def _status(
    settings: Settings, gateway: GatewaySettings, stored: Latest | None, now: datetime, token: TokenLeft | None
) -> GatewayStatus:
    row: Any = stored.gateway if stored else None
    last: Any = stored.last if stored else None
    good_at, today, power = (stored.good_at, stored.energy, stored.power) if stored else (None, None, None)
    spool_bytes, is_hidden, files = 0, False, waiting_files(settings.state_dir, gateway.name)
    for path in files:
        try:
            spool_bytes += path.stat().st_size
        except OSError as error:
            is_hidden = is_hidden or isinstance(error, PermissionError)
    spooled = ends(files)
    if spooled is not None:
        newer = [poll for poll in spooled[1] if last is None or poll.polled_at >= last.polled_at]
        last = newer[-1] if newer else last
        measured = [poll.polled_at for poll in newer if poll.outcome is not Outcome.FAILED]
        good_at = measured[-1] if measured else good_at
    return GatewayStatus(
        gateway=gateway.name,
        serial=row.serial if row else None,
        firmware=row.firmware if row else None,
        last_poll_at=last.polled_at if last else None,
        last_poll_age_s=to_epoch_s(now) - to_epoch_s(last.polled_at) if last else None,
        last_outcome=last.outcome if last else None,
        last_error=last.error if last else None,
        last_good_age_s=to_epoch_s(now) - to_epoch_s(good_at) if good_at else None,
        today_production_kwh=_kwh(today.production_wh if today else None),
        today_consumption_kwh=_kwh(today.consumption_wh if today else None),
        grid_meter_note=_grid_meter_note(row.grid_meter, gateway) if row else None,
        battery_soc_pct=power.battery_soc_pct if power else None,
        grid_state=power.grid_state if power else None,
        token_days_left=(token.expires_at - now).days if token else None,
        token_left_s=to_epoch_s(token.expires_at) - to_epoch_s(now) if token else None,
        token_renews=token.renews if token else False,
        token_is_short=token.is_short(now) if token else False,
        ill_panels=_ill_panels(stored) if stored else None,
        suspect=_suspect(stored) if stored else None,
        spool_bytes=spool_bytes,
        spool_is_hidden=is_hidden,
        waiting_since_s=to_epoch_s(now) - to_epoch_s(spooled[0].polled_at) if spooled is not None else None,
    )


def _ill_panels(stored: Latest) -> str | None:
    """Return which panels were weak, dead or silent on the last day that was judged."""
    found = stored.ill_panels
    if not found:
        return None
    named = ", ".join(f"{panel.name or panel.serial} {panel.state}" for panel in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"panel {named}{more}; look at: envoylog panels"


def _suspect(stored: Latest) -> str | None:
    """Return what to look at, by the newest suspect event, or a meter that is flagged now."""
    if stored.suspect is not None:
        return f"{stored.suspect.kind}: {stored.suspect.detail}"
    found = [f"{meter.measurement} {meter.status_flags or ''}".strip() for meter in stored.flagged]
    return f"wiring_flagged: the gateway asks to check the wiring of {', '.join(found)}" if found else None


def _grid_meter_note(counted: str | None, gateway: GatewaySettings) -> str | None:
    """Return what to do where import and export are not yet those of the meter that is configured, or the default."""
    wanted = gateway.grid_meter or GRID_METERS[0]
    if counted in {None, wanted}:
        return None
    keep = "" if gateway.grid_meter else f", or keep it with grid_meter = {counted!r}"
    return f"import and export are counted as {counted}; run `envoylog db rebuild` to count as {wanted}{keep}"


def bring_today_up(connection: Connection, settings: Settings, now: datetime) -> None:
    """Roll up the samples of the last minutes; the caller rolls the transaction back.

    The collector does so each quarter hour. A ledger that lies further behind is left as it is:
    catching up is not what somebody waits for who asks how things stand.
    """
    for gateway in settings.gateways:
        row = gateway_named(connection, gateway.name)
        if row is None:
            continue
        left = checkpoints.last(connection, row.gateway_id, rollup.ENERGY.name)
        if left is not None and to_epoch_s(now) - left.at_s < CATCH_UP_S:
            job = rollup.job_of(connection, row.gateway_id, now, normal_gap_s(settings.poll_every_s))
            rollup.catch_up(job, [rollup.ENERGY])


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else round(energy_wh / 1000, 3)


def health(found: Sequence[GatewayStatus], settings: Settings, to_do: Callable[[], str] = lambda: START) -> Health:
    """Return what to report to a monitor: the worst of all gateways.

    ``to_do`` says what to do where nothing is collected.
    """
    if not found:
        return Health(level=3, line="UNKNOWN no gateway is configured")
    judged = [(*judge(gateway, settings, to_do), gateway.gateway) for gateway in found]
    judged.sort(key=itemgetter(0), reverse=True)
    worst = judged[0][0]
    name = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[worst]
    said = [f"{gateway}: {reason}" for _, reason, gateway in judged[:NAMED]]
    if left := judged[NAMED:]:
        bad = sum(level > 0 for level, _, _ in left)
        said.append(f"and {len(left)} more, {f'{bad} of them not ok' if bad else 'all ok'}")
    return Health(level=worst, line=f"{name} {'; '.join(said)}")


def health_now(connect: Callable[[], AbstractContextManager[Connection]], settings: Settings, now: datetime,
               tokens: Sequence[TokenLeft | None], to_do: Callable[[], str] = lambda: START) -> Health:  # fmt: skip
    """Return the same of a database that is yet to be opened, and may not be there."""
    try:
        with connect() as connection:
            found = statuses(connection, settings, now, tokens)
        return health(found, settings, to_do)
    except StoreAwayError as error:
        return Health(level=2, line=f"CRITICAL {and_what_waits(error, settings, now)}")
    except LoggerError as error:
        return Health(level=3, line=f"UNKNOWN {error}")


def and_what_waits(error: StoreAwayError, settings: Settings, now: datetime) -> str:
    """Return why the database is away, and what waits for it here as far as this user may see."""
    waiting = Waiting.of(settings.state_dir, [gateway.name for gateway in settings.gateways])
    if waiting.since is None:
        return str(error)
    since = in_words(max(0, to_epoch_s(now) - to_epoch_s(waiting.since)))
    return f"{error} {waiting.size_bytes / 1e6:.1f} MB of polls wait for it here, the oldest for {since}."


def normal_age_s(gateway: GatewayStatus, settings: Settings) -> int:
    """Return how old the newest poll may be when all is well: of whom the spool is hidden from, the newest stored."""
    return 2 * settings.poll_every_s + 120 + (settings.commit_every_s if gateway.spool_is_hidden else 0)


def judge(gateway: GatewayStatus, settings: Settings, to_do: Callable[[], str] = lambda: START) -> tuple[int, str]:
    """Return how bad it is (0 ok, 1 warning, 2 critical, 3 unknown), and in words with what to do."""
    age_s, waits_s = gateway.last_good_age_s, gateway.waiting_since_s or 0
    poll_s = normal_age_s(gateway, settings)
    store_s = max(settings.commit_every_s, settings.poll_every_s) + poll_s
    if age_s is None:
        if gateway.last_error is not None:
            return 2, f"never measured: {_reason(gateway)}"
        return 3, f"never measured; {to_do()}"
    if waits_s > store_s:
        size_mb = gateway.spool_bytes / 1e6
        return 2, f"nothing stored for {waits_s // 60} min, {size_mb:.1f} MB wait for the database"
    if age_s > poll_s:
        failed = gateway.last_outcome == Outcome.FAILED and gateway.last_error is not None
        is_tried = failed and (gateway.last_poll_age_s or 0) <= poll_s
        return 2, f"nothing measured for {in_words(age_s)}{f': {_reason(gateway)}' if is_tried else f'; {to_do()}'}"
    if gateway.token_is_short and gateway.token_left_s is not None:
        return 1, token_sentence(gateway.gateway, gateway.token_left_s, renews=gateway.token_renews)
    if gateway.last_outcome != Outcome.COMPLETE:
        return 1, f"last poll {gateway.last_outcome}: {_reason(gateway)}"
    if look := gateway.suspect or gateway.ill_panels:
        return 1, look
    return 0, f"measured {max(0, age_s)} s ago"  # It may have come after we looked at the clock.


def _reason(gateway: GatewayStatus) -> str:
    """Return why the last poll lacks something, as a part of a sentence."""
    return (gateway.last_error or "").removeprefix("gateway: ").rstrip(".")


def token_sentence(name: str, left_s: int, *, renews: bool) -> str:
    """Return when a gateway's token ends, and what to do."""
    ends = f"the token ends in {in_words(left_s)}" if left_s > 0 else "the token has ended"
    if renews:
        return f"{ends} and was not renewed yet; see why with: envoylog token renew {name}"
    return f"{ends}; get a new one and run: envoylog token set {name}"
