"""``envoylog demo``: the walk ends well at any time of day."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from logger import clock
from logger.demo import Demo


@pytest.mark.slow
@pytest.mark.parametrize("now", ["2026-06-01T10:04:59", "2026-05-31T22:04:00"], ids=["midday", "midnight"])
def test_a_demo_without_live_slots_is_compared_up_to_its_last_poll(
    now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: datetime.fromisoformat(now).replace(tzinfo=UTC))
    lines: list[str] = []
    Demo(tmp_path / "demo", lines.append).run(days=1, live_s=0)
    assert any("largest difference 0.0" in line for line in lines)
    assert (tmp_path / "demo/month.html").stat().st_size > 10_000
