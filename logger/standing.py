"""How things stand: the last polls, today's energy, the token, the spool, the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from logger.clock import local_day, time_zone, to_epoch_s
from logger.settings import Settings
from logger.store.database import database_size_bytes
from logger.store.models import EnergyDailyRow, PollRow, table_of
from logger.store.queries import gateway_named
from logger.store.spool import spool_path

#: A token with fewer days than this is worth a warning.
TOKEN_DAYS = 14
_polls = table_of(PollRow).c
_days = table_of(EnergyDailyRow).c


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One gateway."""

    gateway: str
    serial: str | None
    firmware: str | None
    last_poll_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    last_good_age_s: int | None  #: since the last poll that measured something
    today_production_kwh: float | None
    today_consumption_kwh: float | None
    token_days_left: int | None
    spool_bytes: int  #: what waits for the database


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a monitor wants: 0 ok, 1 warning, 2 critical, 3 unknown, and one line."""

    level: int
    line: str


def standings(
    connection: Connection,
    settings: Settings,
    now: datetime,
    token_days: Sequence[int | None],
) -> list[Standing]:
    """Return how each configured gateway stands."""
    found = []
    for one, days_left in zip(settings.gateways, token_days, strict=True):
        row = gateway_named(connection, one.name)
        spool = spool_path(settings.state_dir, one.name)
        last, good_at, today = None, None, None
        if row is not None:
            mine = _polls.gateway_id == row.gateway_id
            newest = select(_polls.polled_at, _polls.outcome, _polls.error).where(mine)
            newest = newest.order_by(_polls.polled_at.desc()).limit(1)
            last = connection.execute(newest).one_or_none()
            good = connection.execute(newest.where(_polls.outcome != "failed")).one_or_none()
            good_at = good.polled_at if good else None
            day = local_day(to_epoch_s(now), time_zone(row.time_zone or "UTC"))
            today = connection.execute(
                select(_days.production_wh, _days.consumption_wh).where(
                    _days.gateway_id == row.gateway_id, _days.day == day, _days.phase == "total"
                )
            ).one_or_none()
        found.append(
            Standing(
                gateway=one.name,
                serial=row.serial if row else None,
                firmware=row.firmware if row else None,
                last_poll_at=last.polled_at if last else None,
                last_outcome=last.outcome if last else None,
                last_error=last.error if last else None,
                last_good_age_s=to_epoch_s(now) - to_epoch_s(good_at) if good_at else None,
                today_production_kwh=_kwh(today.production_wh if today else None),
                today_consumption_kwh=_kwh(today.consumption_wh if today else None),
                token_days_left=days_left,
                spool_bytes=_size(spool),
            )
        )
    return found


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else round(energy_wh / 1000, 3)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def size_mb(connection: Connection) -> float:
    """Return the database's size in megabytes."""
    return round(database_size_bytes(connection) / 1e6, 1)


def health(found: Sequence[Standing], settings: Settings) -> Health:
    """Return what a monitor should hear: the worst of all gateways."""
    if not found:
        return Health(level=3, line="UNKNOWN no gateway is configured")
    worst, words = 0, []
    #: what may pass between two stored polls when all is well, and as much again
    patience_s = 2 * max(settings.poll_every_s, settings.commit_every_s) + 120
    for one in found:
        level, said = _judged(one, patience_s)
        worst = max(worst, level)
        words.append(f"{one.gateway}: {said}")
    name = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[worst]
    return Health(level=worst, line=f"{name} {'; '.join(words)}")


def _judged(one: Standing, patience_s: int) -> tuple[int, str]:
    age_s = one.last_good_age_s
    if age_s is None:
        return 3, "never measured; is envoylog run running?"
    if age_s > patience_s:
        waits = f", {one.spool_bytes} bytes wait for the database" if one.spool_bytes else ""
        return 2, f"nothing stored for {age_s // 60} min{waits}"
    if one.token_days_left is not None and one.token_days_left < TOKEN_DAYS:
        return 1, f"the token ends in {one.token_days_left} days"
    if one.last_outcome != "complete":
        return 1, f"last poll {one.last_outcome}: {one.last_error}"
    return 0, f"measured {age_s} s ago"
