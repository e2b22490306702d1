"""Whether the CTs of one poll have clamps, and all of them the same way round.

What a gateway's own setup calls enabled may have no clamp at all: then it shows next to no power, and its counters have
stood still since it was installed. Nothing here knows of polls before; ``anomalies.Watch`` does.
"""

from collections import defaultdict
from collections.abc import Iterable

from logger.gateway.anomalies import Anomaly
from logger.readings import Measurement, MeterReading, Phase

#: A CT without a clamp shows less, and one that is reversed more the other way, W.
IDLE_W, OTHER_WAY_W = 2.0, 50.0
#: One that has counted less than this in all, where another has counted much, never measured, Wh. After a reset it has
#: more within a day.
NEVER_WH, MUCH_WH = 500.0, 200_000.0
MEASURED = (Measurement.PRODUCTION, Measurement.NET_CONSUMPTION, Measurement.TOTAL_CONSUMPTION)


def in_readings(readings: Iterable[MeterReading], *, has_batteries: bool) -> list[Anomaly]:
    """Return the CTs that measure nothing, or the wrong way round."""
    phases: defaultdict[str, dict[Phase, MeterReading]] = defaultdict(dict)
    for reading in readings:
        phases[reading.measurement][reading.phase] = reading
    totals = {name: of[Phase.TOTAL] for name, of in phases.items() if Phase.TOTAL in of}
    found = [*_without_clamp(totals), *_reversed_phase(phases.get(Measurement.PRODUCTION, {}))]
    if not has_batteries and Measurement.STORAGE not in totals:
        found += _negative_load(totals.get(Measurement.TOTAL_CONSUMPTION))
    return found


def _without_clamp(totals: dict[str, MeterReading]) -> Iterable[Anomaly]:
    """Find CTs that show no power and have never counted any, beside one that has."""
    counted_wh = {name: (ct.delivered_wh or 0.0) + (ct.received_wh or 0.0) for name, ct in totals.items()}
    most = max(MEASURED, key=lambda name: counted_wh.get(name, 0.0))
    if counted_wh.get(most, 0.0) < MUCH_WH:
        return
    for name in MEASURED:
        ct = totals.get(name)
        if ct is None or ct.power_w is None or ct.delivered_wh is None or abs(ct.power_w) > IDLE_W:
            continue
        if counted_wh[name] < NEVER_WH:
            detail = (
                f"it is enabled, shows {ct.power_w:.1f} W and has counted {counted_wh[name] / 1000:.1f} kWh in all, "
                f"{most} {counted_wh[most] / 1000:.0f} kWh; look whether its clamp is there and plugged in"
            )
            yield Anomaly("clamp_missing", name, detail)


def _reversed_phase(production: dict[Phase, MeterReading]) -> Iterable[Anomaly]:
    """Find phases on which inverters seem to draw what those of another give."""
    powers_w = {phase: ct.power_w for phase, ct in production.items() if phase is not Phase.TOTAL and ct.power_w}
    against = [phase for phase, power_w in powers_w.items() if power_w < -OTHER_WAY_W]
    if against and max(powers_w.values()) > OTHER_WAY_W:
        shown = ", ".join(f"{phase} {power_w:.0f} W" for phase, power_w in sorted(powers_w.items()))
        detail = f"its phases go opposite ways ({shown}); look at the clamp on {' and '.join(sorted(against))}"
        yield Anomaly("clamp_reversed", Measurement.PRODUCTION, detail)


def _negative_load(ct: MeterReading | None) -> Iterable[Anomaly]:
    """Find a load below zero; with a battery behind its CT, it may be."""
    if ct is not None and ct.power_w is not None and ct.power_w < -OTHER_WAY_W:
        detail = (
            f"it is set up to measure the load and shows {ct.power_w:.0f} W; look whether it sits at the grid, or is "
            "reversed"
        )
        yield Anomaly("ct_disagrees", ct.measurement, detail)
