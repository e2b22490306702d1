"""What the rollups must know of a gateway: its zone, peak power, cadence, and when it was sampled.

The zone decides where days begin, and the utility's meter what import and export are; taking over another one from the
configuration means a whole rebuild.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    bindparam,
    cast,
    func,
    not_,
    null,
    or_,
    select,
    true,
    update,
)

from logger.clock import from_epoch_s, time_zone, to_epoch_s
from logger.rollups.clock_check import NONSENSE_S, OLDEST_S, WRONG_S, ClockCheck, note
from logger.settings import GRID_METERS, GatewaySettings, Settings, normal_gap_s
from logger.store.models import GATEWAYS, epoch
from logger.store.panels import remember_panels
from logger.store.queries import typical_step_s

#: Samples that lie in the future are of a wrong clock when nothing leads up to them.
ALONE_S = 30 * 86_400


_SITE = select(GATEWAYS.c.name, GATEWAYS.c.time_zone, GATEWAYS.c.peak_power_kwp, GATEWAYS.c.grid_meter).where(
    GATEWAYS.c.gateway_id == bindparam("gateway")
)


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway as the database knows it."""

    gateway_id: int
    name: str
    zone: ZoneInfo
    peak_power_w: float | None  #: of the panels
    is_balanced: bool = True  #: whether the utility's meter balances several phases


def site_of(connection: Connection, gateway_id: int) -> Site:
    """Return what the database knows of a gateway."""
    name, zone, peak_kwp, grid_meter = connection.execute(_SITE, {"gateway": gateway_id}).one()
    return Site(
        gateway_id, name, time_zone(zone or "UTC"), peak_kwp * 1000 if peak_kwp else None, grid_meter != "per_phase"
    )


def gap_s(connection: Connection, gateway_id: int, settings: Settings) -> int:
    """Return the longest normal step between samples of a gateway.

    By the configured cadence; where this gateway is not configured, by its samples.
    """
    query = select(GATEWAYS.c.name).where(GATEWAYS.c.gateway_id == gateway_id)
    name = connection.execute(query).scalar_one()
    is_configured = any(gateway.name == name for gateway in settings.gateways)
    step_s = None if is_configured else typical_step_s(connection, gateway_id)
    return normal_gap_s(step_s or settings.poll_every_s)


def adopt(connection: Connection, gateway_id: int, configured: Sequence[GatewaySettings]) -> bool:
    """Take over what is configured; return whether the time zone or the kind of grid meter changed."""
    mine = GATEWAYS.c.gateway_id == gateway_id
    query = select(GATEWAYS.c.name, GATEWAYS.c.serial, GATEWAYS.c.time_zone, GATEWAYS.c.grid_meter)
    name, serial, zone, grid_meter = connection.execute(query.where(mine)).one()
    own = [
        gateway
        for gateway in configured
        if (gateway.name == name if gateway.serial is None else gateway.serial == serial)
    ][:1]
    # One that is no longer configured has the grid meter of those that are, where these have the same.
    meters = {gateway.grid_meter or GRID_METERS[0] for gateway in own or configured} or {GRID_METERS[0]}
    known = {"time_zone": zone, "grid_meter": grid_meter or GRID_METERS[0]}
    wanted = {"time_zone": zone, "grid_meter": meters.pop() if len(meters) == 1 else known["grid_meter"]}
    values: dict[str, Any] = {}
    for gateway in own:
        wanted["time_zone"] = gateway.time_zone or zone
        remember_panels(connection, gateway_id, gateway)
        values = {} if gateway.peak_power_kwp is None else {"peak_power_kwp": gateway.peak_power_kwp}
    if not name:  # One that was filled in by plain SQL: views and reports go by names.
        values["name"] = own[0].name if own else serial
    connection.execute(update(GATEWAYS).where(mine).values(wanted | values))
    return wanted != known


class Ends(NamedTuple):
    """When the first and the last sample that count were taken, epoch seconds."""

    first_s: int
    last_s: int
    misplaced_days: dict[int, int | None]  #: of samples outside, as in ``ClockCheck``


def time_of(table: Table) -> ColumnElement[Any]:
    """Return the column with the instant at which the samples of a table were taken."""
    return table.c.reported_at if "reported_at" in table.c else table.c.polled_at


def ends_of(
    connection: Connection, gateway_id: int, tables: Iterable[Table], now_s: int, right_s: int | None = None
) -> Ends | None:
    """Return the ends of a gateway's samples.

    Where counting goes on from a sample that is known to be right, at ``right_s``, only the last is looked for: the
    first is the same then.
    """
    days: dict[int, int | None] = {}
    found: list[tuple[int, int]] = []
    for table in tables:
        samples = _Samples(connection, gateway_id, table, days)
        last_s = samples.last_s(now_s, right_s)
        first_s = samples.first_s() if right_s is None else last_s
        if first_s is not None and last_s is not None and first_s <= last_s:
            found.append((first_s, last_s))
    if not found:
        return None
    return Ends(min(first for first, _ in found), max(last for _, last in found), days)


def next_s(connection: Connection, gateway_id: int, table: Table, at_s: int) -> int | None:
    """Return when a gateway's first sample after an instant was taken."""
    found = connection.execute(_next(table), {"gateway": gateway_id, "after": from_epoch_s(at_s)}).scalar_one()
    return None if found is None else to_epoch_s(found)


@lru_cache
def _next(table: Table) -> Select[Any]:
    time = time_of(table)
    return select(func.min(time)).where(table.c.gateway_id == bindparam("gateway"), time > bindparam("after"))


@dataclass
class _Samples:
    """The samples of a gateway in one table; the days of those outside of what counts are kept."""

    connection: Connection
    gateway_id: int
    table: Table
    days: dict[int, int | None]

    @property
    def time(self) -> ColumnElement[Any]:
        """When a sample was taken."""
        return time_of(self.table)

    @property
    def age(self) -> ColumnElement[Any]:
        """How old its reading was."""
        return _age_of(self.table)

    def first_s(self) -> int | None:
        """Return when the first was taken that counts."""
        found = self._seek()
        if found is None:
            return None
        if (found[0] >= OLDEST_S and _is_plausible(found[1])) or not self._is_misplaced(*found, None):
            return found[0]
        plausible = self._seek_plausible()
        first_s = plausible[0] if plausible else None
        self._note_days(true() if first_s is None else self.time < from_epoch_s(first_s))
        return first_s

    def last_s(self, now_s: int, right_s: int | None) -> int | None:
        """Return when the last was taken that counts."""
        time, found = self.time, self._seek(last=True)
        if found is not None and found[0] > now_s + WRONG_S:
            now = from_epoch_s(now_s + WRONG_S)
            before, after = self._seek(time <= now, last=True), self._seek(time > now)
            # Samples that go on into the future are of a clock that is ahead, a lone one of none.
            if before is not None and after is not None and after[0] - before[0] > ALONE_S:
                # Where both clocks agreed it is ours that is wrong now.
                self._note_days((time > from_epoch_s(before[0])) & not_(self._agrees()))
                found = before
        if found is None:
            return None
        last_s, age_s = found
        if _is_plausible(age_s) or (right_s is not None and abs(last_s - right_s) <= WRONG_S):
            return last_s
        before = self._seek_plausible(last=True)
        after = None if before is None else self._seek(time > from_epoch_s(before[0]))
        if before is None or after is None or not self._is_misplaced(*after, right_s):
            return last_s
        self._note_days(time > from_epoch_s(before[0]))
        return before[0]

    def _seek(self, where: Any = None, *, last: bool = False) -> tuple[int, float | None] | None:
        """Return when the first or last of some samples was taken, and the age of its reading."""
        query = _end(self.table, last=last)
        row = self.connection.execute(
            query if where is None else query.where(where), {"gateway": self.gateway_id}
        ).first()
        return None if row is None else (row[0], row[1])

    def _seek_plausible(self, *, last: bool = False) -> tuple[int, float | None] | None:
        right = or_(self.age.is_(None), self._agrees())
        return self._seek(right & (self.time >= from_epoch_s(OLDEST_S)), last=last)

    def _agrees(self) -> ColumnElement[bool]:
        return self.age.is_not(None) & self.age.between(-WRONG_S, WRONG_S)

    def _is_misplaced(self, at_s: int, age_s: float | None, right_s: int | None) -> bool:
        return ClockCheck(self.connection, self.gateway_id, at_s, at_s, right_s).is_misplaced(at_s, age_s)

    def _note_days(self, where: Any) -> None:
        if _ages_in(self.table):  # Reports of inverters have no clock to compare with.
            query = select(epoch(self.time), self.age).where(self.table.c.gateway_id == self.gateway_id, where)
            for at_s, age_s in self.connection.execute(query.order_by(self.time)):
                note(self.days, at_s, age_s)


def _ages_in(table: Table) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in ("reading_age_s", "sample_age_s") if name in table.c]


def _age_of(table: Table) -> ColumnElement[Any]:
    # The function takes two at least.
    return func.coalesce(cast(null(), Integer), *(_ages_in(table) or [null()]))


@lru_cache
def _end(table: Table, *, last: bool) -> Select[Any]:
    """Return the query for when a gateway's first or last sample was taken, and the age of its reading."""
    time = time_of(table)
    query: Any = select(epoch(time), func.max(_age_of(table))).where(table.c.gateway_id == bindparam("gateway"))
    found: Select[Any] = query.group_by(time).order_by(time.desc() if last else time).limit(1)
    return found


def _is_plausible(age_s: float | None) -> bool:
    return age_s is None or abs(age_s) <= WRONG_S or abs(age_s) >= NONSENSE_S
