"""Short days of the houses that ``scripts/soak houses`` leads through a month."""

import pytest

from logger.simulator.houses import HOUSES, LOADS, House
from logger.simulator.site import Shape
from tests import houses


@pytest.mark.parametrize(("name", "every_s"), [("acb", 300), ("iq", 60)])
def test_what_is_reported_as_final_is_what_flowed_in_the_house(name: str, every_s: int) -> None:
    result = houses.run(name, days=1, every_s=every_s)
    assert result.statuses == ["final"]
    assert result.broken == []
    assert result.unknown == {}


def test_what_unused_channels_pick_up_is_nobodys_energy() -> None:
    house = House(Shape(appliances=LOADS), {"cts": "net", "has_seven_slots": True})
    result = houses.run("per-phase", days=1, every_s=300, house=house)
    assert result.statuses == ["final"]
    assert result.broken == []


def test_days_on_which_more_is_exported_than_made_are_suspect() -> None:
    result = houses.run("unseen", days=1, every_s=300)
    assert result.statuses == ["suspect"]
    assert len(result.impossible) == 1
    assert result.broken == []


def test_days_that_a_site_cannot_have_are_known_by_what_flows() -> None:
    for name, is_impossible in (("unseen", True), ("per-phase", False)):
        simulation = houses.simulated(HOUSES[name])
        assert houses.impossible(simulation, houses.START, houses.START + houses.DAY) == is_impossible


def test_a_house_within_its_limits_is_whole_and_one_beyond_is_named() -> None:
    good = houses.Result("iq", ["final", "partial"], {"consumption": 2.9})
    bad = houses.Result("per-phase", ["final", "suspect"], {"consumption": 2.9}, changed=1)
    assert good.broken == []
    assert bad.broken == ["consumption off by 2.90 %", "1 days change by a rebuild"]
    lines = houses.table([good, bad])
    assert [line.split()[:4] for line in lines[1:]] == [["iq", "1", "0", "1"], ["per-phase", "1", "1", "0"]]
    assert "BROKEN" in lines[2]
