"""What the rollups must know of a gateway: its zone, peak power, cadence, and when it was sampled.

The zone says where days begin; taking over another one from the configuration means a whole
rebuild.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, func, or_, select, true, update

from logger.clock import from_epoch_s, time_zone
from logger.rollups.clock_check import OLDEST_S, WRONG_S, ClockCheck, note
from logger.settings import GatewaySettings, Settings, normal_gap_s
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    GATEWAYS,
    INVERTER_SAMPLES,
    METER_READINGS,
    PRODUCTION_SAMPLES,
    epoch,
)
from logger.store.queries import ends_s, typical_step_s

#: Samples that lie in the future are of a wrong clock when nothing leads up to them.
ALONE_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway as the database knows it."""

    gateway_id: int
    name: str
    zone: ZoneInfo
    peak_power_w: float | None  #: of the panels


def site_of(connection: Connection, gateway_id: int) -> Site:
    """Return what the database knows of a gateway."""
    query = select(GATEWAYS.c.name, GATEWAYS.c.time_zone, GATEWAYS.c.peak_power_kwp)
    found = connection.execute(query.where(GATEWAYS.c.gateway_id == gateway_id))
    name, zone, peak_kwp = found.one()
    peak_w = peak_kwp * 1000 if peak_kwp else None
    return Site(gateway_id, name, time_zone(zone or "UTC"), peak_w)


def gap_s(connection: Connection, gateway_id: int, settings: Settings) -> int:
    """Return the longest normal step between samples of a gateway.

    By the configured cadence; where this gateway is not configured, by its samples.
    """
    query = select(GATEWAYS.c.name).where(GATEWAYS.c.gateway_id == gateway_id)
    name = connection.execute(query).scalar_one()
    if any(gateway.name == name for gateway in settings.gateways):
        return normal_gap_s(settings.poll_every_s)
    return normal_gap_s(typical_step_s(connection, gateway_id) or settings.poll_every_s)


def adopt(connection: Connection, gateway_id: int, configured: Sequence[GatewaySettings]) -> bool:
    """Take over the configured time zone and peak power; return whether the zone changed."""
    mine = GATEWAYS.c.gateway_id == gateway_id
    query = select(GATEWAYS.c.name, GATEWAYS.c.serial, GATEWAYS.c.time_zone)
    name, serial, zone = connection.execute(query.where(mine)).one()
    for gateway in configured:
        is_other = (gateway.serial or serial) != serial
        if is_other or (gateway.serial is None and gateway.name != name):
            continue
        wanted = gateway.time_zone or zone
        values = {"time_zone": wanted}
        if gateway.peak_power_kwp is not None:
            values["peak_power_kwp"] = gateway.peak_power_kwp
        connection.execute(update(GATEWAYS).where(mine).values(values))
        return bool(wanted != zone)
    return False


class Ends(NamedTuple):
    """When the first and the last sample that count were taken, epoch seconds."""

    first_s: int
    last_s: int
    misplaced_days: dict[int, int | None]  #: of samples outside, as in ``ClockCheck``


def sample_ends(
    connection: Connection, gateway_id: int, now_s: int, right_s: int | None = None
) -> Ends | None:
    """Return the ends of a gateway's samples; ``right_s`` is one that is known to be right."""
    days: dict[int, int | None] = {}
    found: list[tuple[int, int]] = []
    for table in (PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS):
        samples = _Samples(connection, gateway_id, table)
        first_s = _first_s(samples, right_s, days)
        last_s = _last_s(samples, now_s, right_s, days)
        if first_s is not None and last_s is not None and first_s <= last_s:
            found.append((first_s, last_s))
    if not found:
        return None
    return Ends(min(first for first, _ in found), max(last for _, last in found), days)


class _Samples(NamedTuple):
    """The samples of a gateway in one table."""

    connection: Connection
    gateway_id: int
    table: Table

    def seek(self, where: Any = None, *, last: bool = False) -> tuple[int, float | None] | None:
        """Return when the first or last of some samples was taken, and the age of its reading."""
        time = self.table.c.polled_at
        query = select(epoch(time), func.max(self.table.c.reading_age_s)).where(
            self.table.c.gateway_id == self.gateway_id, true() if where is None else where
        )
        query = query.group_by(time).order_by(time.desc() if last else time).limit(1)
        row = self.connection.execute(query).one_or_none()
        return None if row is None else (row[0], row[1])

    @property
    def plausible(self) -> Any:
        age = self.table.c.reading_age_s
        right = or_(age.is_(None), age.between(-WRONG_S, WRONG_S))
        return right & (self.table.c.polled_at >= from_epoch_s(OLDEST_S))

    def is_misplaced(self, at_s: int, age_s: float | None, right_s: int | None) -> bool:
        check = ClockCheck(self.connection, self.gateway_id, at_s, at_s, right_s)
        return check.is_misplaced(at_s, age_s)

    def note_days(self, days: dict[int, int | None], where: Any) -> None:
        """Keep the days of samples that lie outside of what counts."""
        query = select(epoch(self.table.c.polled_at), self.table.c.reading_age_s).where(
            self.table.c.gateway_id == self.gateway_id, where
        )
        for at_s, age_s in self.connection.execute(query):
            note(days, at_s, age_s)


def _is_plausible(age_s: float | None) -> bool:
    return age_s is None or abs(age_s) <= WRONG_S


def _first_s(samples: _Samples, right_s: int | None, days: dict[int, int | None]) -> int | None:
    found = samples.seek()
    if found is None:
        return None
    first_s, age_s = found
    if first_s >= OLDEST_S and _is_plausible(age_s):
        return first_s
    if not samples.is_misplaced(first_s, age_s, right_s):
        return first_s
    note(days, first_s, age_s)
    plausible = samples.seek(samples.plausible)
    time = samples.table.c.polled_at
    before = true() if plausible is None else time < from_epoch_s(plausible[0])
    samples.note_days(days, before)
    return None if plausible is None else plausible[0]


def _last_s(
    samples: _Samples, now_s: int, right_s: int | None, days: dict[int, int | None]
) -> int | None:
    time = samples.table.c.polled_at
    found = samples.seek(last=True)
    if found is not None and found[0] > now_s + WRONG_S:
        now = from_epoch_s(now_s + WRONG_S)
        before, after = samples.seek(time <= now, last=True), samples.seek(time > now)
        if before is not None and after is not None and after[0] - before[0] > ALONE_S:
            samples.note_days(days, time > from_epoch_s(before[0]))
            found = before
    if found is None:
        return None
    last_s, age_s = found
    if _is_plausible(age_s) or (right_s is not None and abs(last_s - right_s) <= WRONG_S):
        return last_s
    before = samples.seek(samples.plausible, last=True)
    after = None if before is None else samples.seek(time > from_epoch_s(before[0]))
    if before is None or after is None or not samples.is_misplaced(*after, right_s):
        return last_s
    samples.note_days(days, time > from_epoch_s(before[0]))
    return before[0]


def report_ends(connection: Connection, gateway_id: int, now_s: int) -> Ends | None:
    """Return the ends of the reports of single inverters; one from another time is none."""
    time = INVERTER_SAMPLES.c.reported_at
    ends = ends_s(connection, time, gateway_id)
    if ends is None or (ends[0] >= OLDEST_S and ends[1] <= now_s + WRONG_S):
        return None if ends is None else Ends(*ends, {})
    mine = select(epoch(time)).where(INVERTER_SAMPLES.c.gateway_id == gateway_id)
    soon = from_epoch_s(now_s + WRONG_S)

    def seek(where: Any, order: Any) -> int | None:
        found = connection.execute(mine.where(where).order_by(order).limit(1))
        at_s: int | None = found.scalar_one_or_none()
        return at_s

    first_s = seek(time >= from_epoch_s(OLDEST_S), time)
    last_s, after_s = seek(time <= soon, time.desc()), seek(time > soon, time)
    # Reports that go on into the future are of a clock that is ahead, a lone one is of none.
    if last_s is None or (after_s is not None and after_s - last_s <= ALONE_S):
        last_s = ends[1]
    return None if first_s is None or last_s < first_s else Ends(first_s, last_s, {})
