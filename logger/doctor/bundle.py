"""A recording for who helps: the findings and the gateways' answers, without what shows whose they are.

One JSON file that its owner can read before he sends it, and that ``envoylog simulate --from`` serves.

Walk: findings, visit, redaction -> here -> simulator.recorded
"""

import os
import platform
import pwd
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from logger import __version__
from logger.clock import to_epoch_s, utc_text
from logger.doctor.findings import Finding
from logger.doctor.redaction import Redaction
from logger.doctor.visit import Visit
from logger.gateway.profile import PRODUCTION
from logger.settings import TOP_KEYS, Settings
from logger.simulator.recorded import VERSION

#: Of the configuration, what names nobody: the rest is left out.
PLAIN_KEYS = {key for key, kind in TOP_KEYS.items() if kind is int}
PLAIN_GATEWAY_KEYS = ("time_zone", "peak_power_kwp", "grid_meter", "tls", "mdns", "livedata")


def bundle(settings: Settings | None, findings: Sequence[Finding], visits: Sequence[Visit]) -> dict[str, Any]:
    """Return what goes into the file."""
    names = {visit.settings.name: f"gateway-{number}" for number, visit in enumerate(visits, start=1)}
    redaction = Redaction(_private(settings) | names)
    redaction.learn(_parsed(visits))
    gateways = settings.gateways if settings else ()
    return {
        "envoylog_bundle": VERSION,
        "about": "Made by envoylog doctor --bundle; look through it before you send it. To serve it: "
        "envoylog simulate --from FILE",
        "envoylog": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "settings": {key: getattr(settings, key) for key in TOP_KEYS if settings and key in PLAIN_KEYS}
        | {
            "gateways": [
                {"name": names[gateway.name]} | {key: getattr(gateway, key) for key in PLAIN_GATEWAY_KEYS}
                for gateway in gateways
                if gateway.name in names
            ]
        },
        "findings": [_finding(finding, names, redaction) for finding in findings],
        "gateways": [_gateway(visit, names, redaction) for visit in visits if visit.answers],
    }


def _finding(finding: Finding, names: dict[str, str], redaction: Redaction) -> dict[str, Any]:
    record = finding.record()
    for key in ("finding", "to_do"):
        record[key] = record[key] and redaction.sentence(record[key])
    return record | {"gateway": names.get(finding.gateway or "")}


def _gateway(visit: Visit, names: dict[str, str], redaction: Redaction) -> dict[str, Any]:
    info = visit.info
    return {
        "name": names[visit.settings.name],
        "serial": redaction.serial(info.serial) if info else "",
        "firmware": info.firmware if info else "",
        "recorded_at": f"{utc_text(to_epoch_s(visit.at))} UTC",
        "recorded_at_s": to_epoch_s(visit.at),
        "problem": visit.error and redaction.sentence(str(visit.error)),
        "answers": {
            path: {"status": answer.status, "body": redaction.body(answer.text, is_for_people=path == PRODUCTION)}
            for path, answer in sorted(visit.answers.items())
        },
    }


def _parsed(visits: Sequence[Visit]) -> Iterator[Any]:
    """Yield what holds serial numbers: all of them are known before the first is replaced."""
    for visit in visits:
        serials = (visit.settings.serial, visit.info and visit.info.serial, *visit.settings.panel_names)
        yield {"serial": [serial for serial in serials if serial]}
        for answer in visit.answers.values():
            yield Redaction.parsed(answer.text)


def _private(settings: Settings | None) -> dict[str, str]:
    """Return what would show in a sentence who somebody is or where: text -> what stands in its place."""
    found = {socket.gethostname(): "(machine)"}
    with suppress(RuntimeError):  # There is no home.
        found[Path.home().name] = "(user)"
    with suppress(KeyError):
        found[pwd.getpwuid(os.geteuid()).pw_name] = "(user)"
    if settings is not None:
        found[settings.database_url] = "(database)"
        with suppress(ValueError):  # A URL that is none is said by the findings.
            url = urlsplit(settings.database_url)
            parts = (url.username, url.password, url.hostname, url.path.strip("/"))
            found |= dict.fromkeys(filter(None, parts), "(database)")
        found[str(settings.state_dir)] = found[str(settings.config_path)] = "(path)"
        found |= dict.fromkeys(
            [receiver.name for receiver in settings.notify if not receiver.name.isdigit()], "(receiver)"
        )
        for told in settings.told:
            found |= {str(told.url_file): "(path)"} if told.url_file else {str(told.url): "(secret)"}
        for gateway in settings.gateways:
            found[gateway.host] = "(address)"
            with suppress(ValueError):
                host = urlsplit(gateway.host if "://" in gateway.host else f"//{gateway.host}")
                found |= dict.fromkeys(filter(None, (host.hostname, host.netloc)), "(address)")
            found |= dict.fromkeys(filter(None, (gateway.username, gateway.token)), "(secret)")
            found |= dict.fromkeys(
                [*gateway.panel_names.values(), *(array.name for array in gateway.arrays)], "(panel)"
            )
            found |= dict.fromkeys(map(str, filter(None, (gateway.token_file, gateway.password_file))), "(path)")
    return {text: instead for text, instead in found.items() if text not in {"", "/", "root", "None", "localhost"}}
