"""What was counted is conserved, whatever the samples do, on both engines."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from logger.clock import from_epoch_s, to_epoch_s
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.sample_data import STATEMENTS, fill, instant, utc

SINCE = utc(2026, 3, 28, 20)
WRAP_WH = 2**32 / 3600
#: seconds to the next sample, and what was counted meanwhile (Wh per hour)
STEPS = st.lists(
    st.tuples(st.sampled_from([60, 60, 300, 840, 2_000, 40_000]), st.sampled_from([0, 1, 700, 5_000])),
    min_size=2,
    max_size=40,
)


def clear(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ("production_samples", "rollup_checkpoints", "energy_15min", "energy_hourly",
                     "energy_daily", "events"):  # fmt: skip
            connection.execute(text(f"DELETE FROM {name}"))


def insert(engine: Engine, points: list[tuple[int, float]]) -> None:
    rows = [
        {"gateway_id": 1, "at": instant(engine, from_epoch_s(at_s)), "phase": "total",
         "power_w": None, "energy_wh": value, "source": "inverters"}
        for at_s, value in points
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(text(STATEMENTS["production_samples"]), rows)


def quarters(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        query = text("SELECT starts_at, production_wh, covered_s, bridged_wh FROM energy_15min ORDER BY 1")
        return [tuple(row) for row in connection.execute(query)]


def rebuilt(engine: Engine, now_s: int) -> list[Any]:
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=from_epoch_s(now_s), gap_s=900, since=None)
    return quarters(engine)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_gaps_wraps_shuffles_and_thinning_change_no_total(
    engine: Engine, steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    clear(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM gateways"))
    fill(engine, Site(Shape(peak_power_w=10_000), SINCE), [], zone="Australia/Lord_Howe")
    at_s, value = to_epoch_s(SINCE), 8_000_000.0
    points = [(at_s, value)]
    for seconds, rate in steps:
        at_s, value = at_s + seconds, round(value + rate * seconds / 3600, 3)
        points.append((at_s, value))
    true = points[-1][1] - points[0][1]
    wraps_from = data.draw(st.integers(1, len(points)))
    points = points[:wraps_from] + [(t, round(v - WRAP_WH, 3)) for t, v in points[wraps_from:]]
    order = data.draw(st.permutations(points))
    cut = data.draw(st.integers(0, len(points)))
    # In any order, in two batches, the second of which may come late.
    late = [point for point in order[cut:] if point not in (points[0], points[-1])]
    early = [point for point in order if point not in late]
    insert(engine, early)
    now_s = points[-1][0] + 100_000
    thin = rebuilt(engine, now_s)
    if late:
        insert(engine, late)
    live = rebuilt(engine, now_s)
    assert abs(sum(row[1] for row in live) - true) < 0.002
    if wraps_from == len(points):
        assert abs(sum(row[1] for row in thin) - true) < 0.002
    assert live == rebuilt(engine, now_s)
    with engine.connect() as connection:
        for table in ("energy_hourly", "energy_daily"):
            total = connection.execute(text(f"SELECT SUM(production_wh) FROM {table}")).scalar_one()
            assert abs(total - true) < 0.002
