"""Raw rows of a stretch of time, as the series that energy arithmetic counts."""

from collections.abc import Hashable
from typing import Any

from sqlalchemy import Connection, Select, select

from logger.clock import from_epoch_s
from logger.energy.flows import (
    CHARGE,
    DISCHARGE,
    EXPORT,
    IMPORT,
    PRODUCTION,
    STANDBY,
    TOTAL,
    Samples,
)
from logger.energy.series import Series
from logger.store.database import epoch, rows
from logger.store.models import (
    ConsumptionSampleRow,
    MeterReadingRow,
    ProductionSampleRow,
    table_of,
)
from logger.store.queries import ends_s

#: measurement -> the streams of its delivered and received counters
METERS = {
    "production": (PRODUCTION, STANDBY),
    "net-consumption": (IMPORT, EXPORT),
    "total-consumption": (TOTAL, None),
    "storage": (DISCHARGE, CHARGE),
}
#: Readings older than this may be the one before again.
STALE_S = 900
#: What no gateway can measure: unsigned views of negative numbers and the like.
ABSURD_W = 1e6


class Peaks:
    """The highest power of each quarter hour and when it was."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[float, int]] = {}

    def add(self, at_s: int, power_w: float) -> None:
        """Take a sample into account; one on a boundary closes the quarter hour before it."""
        start = (at_s - 1) // 900 * 900
        known = self.of.get(start)
        if known is None or power_w > known[0]:
            self.of[start] = (power_w, at_s)


class Stretch:
    """The samples of one gateway after ``since_s`` up to ``until_s``."""

    def __init__(self) -> None:
        self.samples = Samples()
        self.production_peaks = Peaks()
        self.consumption_peaks = Peaks()


class _Frozen:
    """Tells readings whose own time stands still; a clock that is only wrong moves on."""

    def __init__(self) -> None:
        self._last: dict[Hashable, int] = {}

    def says_nothing_new(self, key: Hashable, reading_s: int) -> bool:
        """Return whether an old reading is the one before again."""
        before = self._last.get(key)
        self._last[key] = reading_s
        return before == reading_s


def first_and_last_s(connection: Connection, gateway_id: int) -> tuple[int, int] | None:
    """Return when the first and last sample of a gateway were taken, epoch seconds."""
    found: list[tuple[int, int]] = []
    for model in (ProductionSampleRow, ConsumptionSampleRow, MeterReadingRow):
        ends = ends_s(connection, table_of(model).c.polled_at, gateway_id)
        if ends is not None:
            found.append(ends)
    if not found:
        return None
    return min(first for first, _ in found), max(last for _, last in found)


def read(
    connection: Connection, gateway_id: int, *, since_s: int, until_s: int, gap_s: int
) -> Stretch:
    """Return what was sampled after ``since_s`` up to and including ``until_s``."""
    stretch = Stretch()
    invalid = _read_production(connection, gateway_id, since_s, until_s, gap_s, stretch)
    battery_w = _read_meters(connection, gateway_id, since_s, until_s, gap_s, stretch, invalid)
    _read_consumption(connection, gateway_id, since_s, until_s, gap_s, stretch, battery_w)
    return stretch


def _query(model: Any, gateway_id: int, since_s: int, until_s: int, *names: str) -> Select[Any]:
    table = table_of(model)
    return (
        select(epoch(table.c.polled_at), *(table.c[name] for name in names))
        .where(
            table.c.gateway_id == gateway_id,
            table.c.polled_at > from_epoch_s(since_s),
            table.c.polled_at <= from_epoch_s(until_s),
        )
        .order_by(table.c.polled_at)
    )


def _read_production(
    connection: Connection,
    gateway_id: int,
    since_s: int,
    until_s: int,
    gap_s: int,
    stretch: Stretch,
) -> set[int]:
    """Read production; return when its CT was reported inactive (firmware 8.3, rule P1a)."""
    query = _query(
        ProductionSampleRow,
        gateway_id,
        since_s - gap_s,
        until_s,
        "phase",
        "power_w",
        "energy_lifetime_wh",
        "reading_age_s",
        "source",
    )
    counter, peaks = stretch.samples.counter, stretch.production_peaks
    invalid: set[int] = set()
    frozen = _Frozen()
    series: dict[str, Series] = {}
    for at_s, phase, power_w, energy_wh, age_s, source in rows(connection, query):
        if energy_wh is None:
            if phase == "total" and power_w is None:
                invalid.add(at_s)
            continue
        if age_s is not None and age_s > STALE_S and frozen.says_nothing_new(phase, at_s - age_s):
            continue
        if at_s <= since_s:
            continue  # Read to know what the reading before the stretch was.
        one = series.get(phase)
        if one is None:
            one = series[phase] = counter(PRODUCTION, phase)
        one.add(at_s, energy_wh, power_w, source or "ct")
        if phase == "total" and power_w is not None and abs(power_w) < ABSURD_W:
            peaks.add(at_s, power_w)
    return invalid


def _read_meters(
    connection: Connection,
    gateway_id: int,
    since_s: int,
    until_s: int,
    gap_s: int,
    stretch: Stretch,
    invalid: set[int],
) -> dict[int, float]:
    """Read the CTs' counters; return the storage CT's power by time."""
    query = _query(
        MeterReadingRow,
        gateway_id,
        since_s - gap_s,
        until_s,
        "measurement",
        "phase",
        "power_w",
        "delivered_wh",
        "received_wh",
        "reading_age_s",
    )
    counter = stretch.samples.counter
    sampled = {phase for name, phase in stretch.samples.counters if name == PRODUCTION}
    battery_w: dict[int, float] = {}
    frozen = _Frozen()
    #: what each meter and phase feeds: the series of its two directions
    fed: dict[tuple[str, str], tuple[Series | None, Series | None]] = {}
    for at_s, measurement, phase, power_w, delivered, received, age_s in rows(connection, query):
        key = (measurement, phase)
        pair = fed.get(key)
        if pair is None:
            names: tuple[str | None, str | None] = METERS.get(measurement, (None, None))
            if measurement == "production" and phase in sampled:
                names = (None, STANDBY)
            out, back = (counter(name, phase) if name else None for name in names)
            pair = fed[key] = out, back
        if age_s is not None and age_s > STALE_S and frozen.says_nothing_new(key, at_s - age_s):
            continue
        if at_s <= since_s or (measurement == "production" and at_s in invalid):
            continue
        if measurement == "storage" and phase == "total" and power_w is not None:
            battery_w[at_s] = power_w
        if delivered is not None and pair[0] is not None:
            pair[0].add(at_s, delivered, power_w, "ct")
        if received is not None and pair[1] is not None:
            pair[1].add(at_s, received, None if power_w is None else -power_w, "ct")
    for key in [key for key, one in stretch.samples.counters.items() if not one.times_s]:
        del stretch.samples.counters[key]
    return battery_w


def _read_consumption(
    connection: Connection,
    gateway_id: int,
    since_s: int,
    until_s: int,
    gap_s: int,
    stretch: Stretch,
    battery_w: dict[int, float],
) -> None:
    samples = stretch.samples
    counted = {name for name, _ in samples.counters}
    query = _query(
        ConsumptionSampleRow,
        gateway_id,
        since_s - gap_s,
        until_s,
        "measurement",
        "phase",
        "power_w",
        "energy_lifetime_wh",
        "reading_age_s",
        "source",
    )
    frozen = _Frozen()
    if IMPORT in counted:
        table = table_of(ConsumptionSampleRow)
        query = query.where(table.c.measurement == "total-consumption", table.c.phase == "total")
    for at_s, measurement, phase, power_w, energy_wh, age_s, source in rows(connection, query):
        key = (measurement, phase)
        if age_s is not None and age_s > STALE_S and frozen.says_nothing_new(key, at_s - age_s):
            continue
        if power_w is not None and abs(power_w) > ABSURD_W:
            power_w = None  # noqa: PLW2901 - an absurd power is no power
        if measurement == "net-consumption":
            if power_w is not None and IMPORT not in counted:
                times, powers = samples.net_power.setdefault(phase, ([], []))
                times.append(at_s)
                powers.append(power_w)
            continue
        if at_s <= since_s:
            continue
        if phase == "total" and power_w is not None:
            stretch.consumption_peaks.add(at_s, power_w + battery_w.get(at_s, 0.0))
        if energy_wh is not None and not counted & {IMPORT, TOTAL}:
            samples.counter(TOTAL, phase).add(at_s, energy_wh, power_w, source or "eim")
    if TOTAL in counted and IMPORT not in counted and not samples.net_power:
        _derive_net_power(samples)


def _derive_net_power(samples: Samples) -> None:
    """Where only total consumption has a CT, net is total minus production (rule C3)."""
    for (name, phase), total in list(samples.counters.items()):
        made = samples.counters.get((PRODUCTION, phase))
        if name != TOTAL or made is None:
            continue
        made_w = dict(zip(made.times_s, made.powers_w, strict=True))
        times, powers = samples.net_power.setdefault(phase, ([], []))
        for at_s, used_w in zip(total.times_s, total.powers_w, strict=True):
            if used_w is not None and (given_w := made_w.get(at_s)) is not None:
                times.append(at_s)
                powers.append(used_w - given_w)
