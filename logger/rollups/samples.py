"""Raw rows of a stretch of time, as the series that energy arithmetic counts."""

from collections.abc import Hashable
from typing import Any, NamedTuple

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
from logger.energy.series import ABSURD_W, Series
from logger.rollups.placing import WRONG_S, Placing
from logger.store.database import epoch, rows
from logger.store.models import (
    ConsumptionSampleRow,
    MeterReadingRow,
    ProductionSampleRow,
    table_of,
)

#: measurement -> the streams of its delivered and received counters
METERS = {
    "production": (PRODUCTION, STANDBY),
    "net-consumption": (IMPORT, EXPORT),
    "total-consumption": (TOTAL, None),
    "storage": (DISCHARGE, CHARGE),
}
#: Readings older than this may be the one before again.
STALE_S = 900


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


class _Doubts:
    """Tells which samples say nothing: frozen readings, and those of a wrong clock."""

    def __init__(self, placing: Placing) -> None:
        self._placing = placing
        self._last: dict[Hashable, int] = {}

    def leave_out(self, key: Hashable, at_s: int, age_s: int | None) -> bool:
        """Return whether a sample of an unusual age is to be left out.

        Readings whose own time stands still are the one before again; those of a gateway whose
        clock is only wrong move on.
        """
        if age_s is not None and age_s > STALE_S:
            before, self._last[key] = self._last.get(key), at_s - age_s
            if before == at_s - age_s:
                return True
        return self._placing.is_misplaced(at_s, age_s)


def _is_usual(age_s: int | None) -> bool:
    return age_s is None or -WRONG_S <= age_s <= STALE_S


class Span(NamedTuple):
    """Of whom and when to read."""

    connection: Connection
    gateway_id: int
    placing: Placing
    since_s: int
    until_s: int
    gap_s: int  #: so much before ``since_s`` is read to know what the readings before were

    def query(self, model: Any, *names: str) -> Select[Any]:
        """Return the query for the epoch second and some columns of a raw table."""
        table = table_of(model)
        return (
            select(epoch(table.c.polled_at), *(table.c[name] for name in names))
            .where(
                table.c.gateway_id == self.gateway_id,
                table.c.polled_at > from_epoch_s(self.since_s - self.gap_s),
                table.c.polled_at <= from_epoch_s(self.until_s),
            )
            .order_by(table.c.polled_at)
        )


def read(span: Span) -> Stretch:
    """Return what was sampled after ``since_s`` up to and including ``until_s``."""
    stretch = Stretch()
    invalid = _read_production(span, stretch)
    battery_w = _read_meters(span, stretch, invalid)
    _read_consumption(span, stretch, battery_w)
    return stretch


def _read_production(span: Span, stretch: Stretch) -> set[int]:
    """Read production; return when its CT was reported inactive (firmware 8.3, rule P1a)."""
    since_s = span.since_s
    query = span.query(
        ProductionSampleRow, "phase", "power_w", "energy_lifetime_wh", "reading_age_s", "source"
    )
    counter, peaks = stretch.samples.counter, stretch.production_peaks
    invalid: set[int] = set()
    doubts = _Doubts(span.placing)
    series: dict[str, Series] = {}
    for at_s, phase, power_w, energy_wh, age_s, source in rows(span.connection, query):
        if energy_wh is None:
            if phase == "total" and power_w is None:
                invalid.add(at_s)
            continue
        if not _is_usual(age_s) and doubts.leave_out(phase, at_s, age_s):
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


def _read_meters(span: Span, stretch: Stretch, invalid: set[int]) -> dict[int, float]:
    """Read the CTs' counters; return the storage CT's power by time."""
    since_s = span.since_s
    query = span.query(
        MeterReadingRow,
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
    doubts = _Doubts(span.placing)
    #: what each meter and phase feeds: the series of its two directions
    fed: dict[tuple[str, str], tuple[Series | None, Series | None]] = {}
    for at_s, measurement, phase, power_w, delivered, received, age_s in rows(
        span.connection, query
    ):
        key = (measurement, phase)
        pair = fed.get(key)
        if pair is None:
            names: tuple[str | None, str | None] = METERS.get(measurement, (None, None))
            if measurement == "production" and phase in sampled:
                names = (None, STANDBY)
            out, back = (counter(name, phase) if name else None for name in names)
            pair = fed[key] = out, back
        if not _is_usual(age_s) and doubts.leave_out(key, at_s, age_s):
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


def _read_consumption(span: Span, stretch: Stretch, battery_w: dict[int, float]) -> None:
    since_s, samples = span.since_s, stretch.samples
    counted = {name for name, _ in samples.counters}
    query = span.query(
        ConsumptionSampleRow,
        "measurement",
        "phase",
        "power_w",
        "energy_lifetime_wh",
        "reading_age_s",
        "source",
    )
    doubts = _Doubts(span.placing)
    if IMPORT in counted:
        table = table_of(ConsumptionSampleRow)
        query = query.where(table.c.measurement == "total-consumption", table.c.phase == "total")
    for at_s, measurement, phase, power_w, energy_wh, age_s, source in rows(span.connection, query):
        key = (measurement, phase)
        if not _is_usual(age_s) and doubts.leave_out(key, at_s, age_s):
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
