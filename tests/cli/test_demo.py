"""``envoylog demo``: the walk ends well at any time of day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from logger import clock, demo
from logger.demo import Demo
from logger.simulator import history
from logger.simulator.numbers import inverter_serial
from logger.simulator.site import Shape
from tests.conftest import Benches


@pytest.mark.slow
@pytest.mark.parametrize(
    ("now", "polled"), [("2026-06-01T10:04:59", 0), ("2026-05-31T22:04:00", 1)], ids=["midday", "midnight"]
)
def test_a_demo_without_live_slots_is_compared_up_to_its_last_poll(
    now: str, polled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: datetime.fromisoformat(now).replace(tzinfo=UTC))
    monkeypatch.setattr(demo, "POLLED_DAYS", polled)
    lines: list[str] = []
    Demo(tmp_path / "demo", lines.append).run(days=1, live_s=0)
    assert any("largest difference 0.0" in line for line in lines)
    assert [line.strip() for line in lines[-2:]] == ["envoylog setup", "envoylog run"]
    assert (tmp_path / "demo/month.html").stat().st_size > 10_000


def test_a_written_history_is_what_polls_would_have_stored(bench: Benches) -> None:
    roof = bench(cts="net", shape=Shape(phases=3))
    roof.simulation.fault("weak_inverter", argument="2")
    roof.clock.set(roof.clock() + timedelta(hours=1))
    poll = roof.poll(roof.gateway())
    written = history.rows([roof.simulation.numbers(poll.polled_at)])
    for table, samples in (
        ("production_samples", poll.production),
        ("consumption_samples", poll.consumption),
        ("meter_readings", poll.meter_readings),
    ):
        polled = {(str(getattr(own, "measurement", "")), str(own.phase)): own for own in samples}
        assert len(written[table]) == len(polled) > 3
        for row in written[table]:
            own = polled[row.get("measurement", ""), row["phase"]]
            for name in row.keys() - {"measurement", "phase", "polled_at"}:
                assert getattr(own, name) == pytest.approx(row[name], abs=2e-3), (table, name)
    reported = {own.serial: own.energy_lifetime_wh for own in poll.inverters}
    for row in written["inverter_samples"]:
        assert reported[row["serial"]] == pytest.approx(row["energy_lifetime_wh"], rel=0.01)
    weakest = min(written["inverter_samples"], key=lambda row: float(row["power_w"]))
    assert weakest["serial"] == inverter_serial(1)
