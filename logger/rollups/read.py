"""Raw rows of a window of time, as the readings of registers that the ledger settles."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf, isfinite
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, bindparam, select

from logger.clock import from_epoch_s
from logger.ledger.curve import Readings
from logger.ledger.limits import ABSURD_W, RECOVERY_S, Stream, StreamKey
from logger.ledger.turns import net_counts_s
from logger.rollups.checkpoints import States
from logger.rollups.clock_check import ClockCheck, Row, StaleFilter
from logger.rollups.series import Column, by_series, drop_missing
from logger.rollups.site import Site, time_of
from logger.rollups.write import Peaks
from logger.store.database import batches
from logger.store.models import CONSUMPTION_SAMPLES, METER_READINGS, PRODUCTION_SAMPLES, epoch

#: measurement -> the streams of its delivered and received counters
METERS = {
    "production": (Stream.PRODUCTION, Stream.STANDBY),
    "net-consumption": (Stream.IMPORT, Stream.EXPORT),
    "total-consumption": (Stream.CONSUMPTION_CT, None),
    "storage": (Stream.DISCHARGE, Stream.CHARGE),
}
#: What was sampled in less time is few rows, s.
SHORT_S = 2 * 3600


class Window(NamedTuple):
    """Which samples to read, of whom, and what was counted before them."""

    connection: Connection
    site: Site
    clock: ClockCheck
    states: States  #: at ``since_s``
    since_s: int  #: from when on to count
    until_s: int
    after_s: int  #: after which instant the first sample may lie
    gap_s: int  #: the longest normal step; what lies this long before ``after_s`` is read too
    has_later: bool = False  #: whether samples come after ``until_s``

    def read(
        self, table: Table, names: str, after_s: int | None = None, only: tuple[str, str] | None = None
    ) -> Iterator[Sequence[Row]]:
        """Yield the epoch second and some columns of a raw table, in order and in batches.

        Of what lies after an instant, or else as much before ``after_s`` as is no gap; ``only`` of one measurement and
        phase.
        """
        after_s = self.after_s - self.gap_s if after_s is None else after_s
        of = {"gateway": self.site.gateway_id, "after": from_epoch_s(after_s), "until": from_epoch_s(self.until_s)}
        found = batches(self.connection, _query(table, names, only), of, few=self.until_s - after_s < SHORT_S)
        numbers = [place for place, name in enumerate(names.split(), start=1) if name.endswith(("_w", "_wh", "_s"))]
        return (_with_numbers(rows, numbers) for rows in found)

    def within(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows after ``after_s``."""
        return rows[bisect_right(rows, self.after_s, key=itemgetter(0)) :]


def _with_numbers(rows: Sequence[Row], numbers: Sequence[int]) -> Sequence[Row]:
    """Return rows whose values in these places are finite numbers or unknown: plain SQL may have written anything.

    That all are numbers is seen by one sum of each place.
    """
    try:
        if all(isfinite(sum(filter(None, map(itemgetter(place), rows)))) for place in numbers):
            return rows
    except TypeError:  # Text among them.
        pass
    return [
        tuple(None if place in numbers and not _is_number(value) else value for place, value in enumerate(row))
        for row in rows
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


@lru_cache
def _query(table: Table, names: str, only: tuple[str, str] | None) -> Select[Any]:
    time, mine = time_of(table), table.c.gateway_id == bindparam("gateway")
    query = select(epoch(time), *(table.c[name] for name in names.split()))
    if only is not None:
        query = query.where(table.c.measurement == only[0], table.c.phase == only[1])
    return query.where(mine, time > bindparam("after"), time <= bindparam("until")).order_by(time)


@dataclass(slots=True)
class Read:
    """What was sampled of a site in a window."""

    registers: dict[StreamKey, Readings] = field(default_factory=dict)
    #: phase -> (epoch seconds, W) of net power, where a site counts no import and export
    net_power: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    production_peaks: Peaks = field(default_factory=Peaks)
    consumption_peaks: Peaks = field(default_factory=Peaks)


def read(window: Window) -> Read:
    """Return what was sampled after ``after_s`` up to and including ``until_s``."""
    found = Read()
    inactive_s = _read_production(window, found)
    battery_w = _read_meters(window, found, inactive_s)
    _read_consumption(window, found, battery_w)
    return found


def _feed(
    found: Read, key: StreamKey, times_s: Column, values_wh: Column, powers_w: Column, sources: Column | None = None
) -> None:
    """Add the samples that have a value to the readings of a register, of a CT where no sources are given."""
    columns = (times_s, powers_w) if sources is None else (times_s, powers_w, sources)
    values, times, powers, *named = drop_missing(values_wh, *columns)
    if values:
        found.registers.setdefault(key, Readings()).extend(named[0] if named else "ct", times, values, powers)


def _sane(times_s: Column, powers_w: Column) -> tuple[Sequence[int], Sequence[float]]:
    """Return the samples whose power is known and possible."""
    powers, times = drop_missing(powers_w, times_s)
    if powers and (max(powers) > ABSURD_W or min(powers) < -ABSURD_W):
        powers = [power_w if abs(power_w) <= ABSURD_W else None for power_w in powers]
        powers, times = drop_missing(powers, times)
    return times, powers


def _read_production(window: Window, found: Read) -> set[int]:
    """Read production; return when its CT was reported inactive (firmware 8.3, rule P1a)."""
    samples = window.read(PRODUCTION_SAMPLES, "phase power_w energy_lifetime_wh reading_age_s source")
    stale = StaleFilter(window.clock, itemgetter(1), source=-1)
    inactive_s: set[int] = set()
    for batch in samples:
        counted = [row for row in batch if row[3] is not None]
        if len(counted) < len(batch):
            inactive_s |= {row[0] for row in batch if row[1] == "total" and row[2] is row[3] is None}
        fresh = window.within(stale.drop_stale(counted))
        for phase, (times, powers, energies, _, sources) in by_series(fresh, 1):
            _feed(found, (Stream.PRODUCTION, phase), times, energies, powers, [source or "ct" for source in sources])
            if phase == "total":
                found.production_peaks.extend(*_sane(times, powers))
    return inactive_s


def _read_meters(window: Window, found: Read, inactive_s: set[int]) -> dict[int, float]:
    """Read the CTs' counters; return the storage CT's power by time."""
    samples = window.read(METER_READINGS, "measurement phase power_w delivered_wh reading_age_s received_wh")
    sampled = {phase for name, phase in found.registers if name is Stream.PRODUCTION}
    battery_w: dict[int, float] = {}
    stale = StaleFilter(window.clock, itemgetter(1, 2))
    for batch in samples:
        fresh = window.within(stale.drop_stale(batch))
        for (measurement, phase), columns in by_series(fresh, 2):
            times, powers, delivered, _, received = columns
            out, back = METERS.get(measurement, (None, None))
            if measurement == "production":
                if phase in sampled:
                    out = None
                if not inactive_s.isdisjoint(times):
                    valid = [None if at_s in inactive_s else at_s for at_s in times]
                    times, powers, delivered, received = drop_missing(valid, powers, delivered, received)
            if measurement == "storage" and phase == "total":
                battery_w.update(zip(*drop_missing(powers, times)[::-1], strict=True))
            if out:
                _feed(found, (out, phase), times, delivered, powers)
            if back:
                other_way = [None if power_w is None else -power_w for power_w in powers]
                _feed(found, (back, phase), times, received, other_way)
    return battery_w


def _read_consumption(window: Window, found: Read, battery_w: dict[int, float]) -> None:
    counted = {name for name, _ in found.registers}
    net_s = net_counts_s(found.registers, window.states)
    there_s = _storage_ct_s(window, found)
    only_used = bool(net_s) and net_s[0][0] <= window.after_s and net_s[0][1] >= window.until_s
    names = "measurement phase power_w energy_lifetime_wh reading_age_s source"
    stale = StaleFilter(window.clock, itemgetter(1, 2), source=-1)
    for batch in window.read(CONSUMPTION_SAMPLES, names, only=("total-consumption", "total") if only_used else None):
        fresh = stale.drop_stale(batch)
        elsewhere: list[Row] = []
        begin = 0
        for first_s, last_s in net_s:
            elsewhere += fresh[begin : bisect_left(fresh, first_s, key=itemgetter(0))]
            begin = max(begin, bisect_right(fresh, last_s, key=itemgetter(0)))
        elsewhere += fresh[begin:]
        # Also those before the stretch: power is integrated from sample to sample.
        net = [row for row in elsewhere if row[1] == "net-consumption"]
        for (_, phase), (times, powers, *_) in by_series(net, 2):
            net_times, net_powers = found.net_power.setdefault(phase, ([], []))
            sane_times, sane_powers = _sane(times, powers)
            net_times += sane_times
            net_powers += sane_powers
        total = [row for row in window.within(fresh) if row[1] != "net-consumption"]
        for (_, phase), (times, powers, _, _, sources) in by_series(total, 2):
            if phase == "total":
                used = zip(times, powers, sources, strict=True)
                found.consumption_peaks.extend(*_with_battery(used, found, battery_w, there_s))
        if Stream.CONSUMPTION_CT not in counted:
            rows = [row for row in window.within(elsewhere) if row[1] != "net-consumption"]
            for (_, phase), (times, powers, energies, _, sources) in by_series(rows, 2):
                possible = [None if p is None or abs(p) > ABSURD_W else p for p in powers]
                named = [source or "eim" for source in sources]
                _feed(found, (Stream.CONSUMPTION_CT, phase), times, energies, possible, named)
    if Stream.CONSUMPTION_CT in counted and not found.net_power:
        before = Read()
        # Power is integrated from sample to sample, also from the last one before.
        earlier = window._replace(after_s=window.after_s - window.gap_s, until_s=window.after_s, gap_s=0)
        _read_meters(earlier, before, _read_production(earlier, before))
        for part in (before, found):
            _derive_net_power(found, part.registers, net_s)


def _storage_ct_s(window: Window, found: Read) -> tuple[float, float]:
    """Return from when until when a storage CT counts, also in total or on a phase alone."""
    ct = {Stream.CHARGE, Stream.DISCHARGE}
    first_s = [state.first_s for (name, _), state in window.states.items() if name in ct]
    times_s = [readings.at_s for (name, _), readings in found.registers.items() if name in ct]
    last_s = [state.at_s for (name, _), state in window.states.items() if name in ct]
    if not first_s and not times_s:
        return inf, -inf
    return min([*first_s, *(each[0] for each in times_s)]), max([*last_s, *(each[-1] for each in times_s)]) + RECOVERY_S


def _with_battery(
    used: Iterable[tuple[int, float | None, str | None]],
    found: Read,
    battery_w: dict[int, float],
    there_s: tuple[float, float],
) -> tuple[Sequence[int], Sequence[float]]:
    """Return what the house used (times, W); unknown is left out, also where a storage CT is missing in a poll.

    Of a balance it is production + net + storage of that poll: the row itself left storage out until version 0.2.
    """
    (first_s, last_s), total = there_s, "total"
    rows = [(at_s, power_w, source) for at_s, power_w, source in used if power_w is not None]
    if last_s < first_s:
        return _sane([row[0] for row in rows], [row[1] for row in rows])
    made, net = (found.registers.get((stream, total), Readings()) for stream in (Stream.PRODUCTION, Stream.IMPORT))
    made_w, net_w = (dict(zip(each.at_s, each.power_w, strict=True)) for each in (made, net))
    known: list[tuple[int, float]] = []
    for at_s, power_w, source in rows:
        parts_w: list[float | None] = [power_w] if source == "ct" else [made_w.get(at_s), net_w.get(at_s)]
        if first_s <= at_s <= last_s:
            parts_w.append(battery_w.get(at_s))
        elif source != "ct":
            parts_w = [power_w]
        if None not in parts_w:
            known.append((at_s, sum(part_w or 0.0 for part_w in parts_w)))
    return _sane([at_s for at_s, _ in known], [power_w for _, power_w in known])


def _derive_net_power(
    found: Read, registers: Mapping[StreamKey, Readings], net_s: Sequence[tuple[float, float]]
) -> None:
    """Where only total consumption has a CT, net is total minus production (rule C3)."""
    for (name, phase), total in registers.items():
        produced = registers.get((Stream.PRODUCTION, phase))
        if name is not Stream.CONSUMPTION_CT or produced is None:
            continue
        produced_w = dict(zip(produced.at_s, produced.power_w, strict=True))
        for at_s, used_w in zip(total.at_s, total.power_w, strict=True):
            given_w = produced_w.get(at_s)
            if used_w is None or given_w is None or any(first_s <= at_s <= last_s for first_s, last_s in net_s):
                continue
            times, powers = found.net_power.setdefault(phase, ([], []))
            times.append(at_s)
            powers.append(used_w - given_w)
