"""The simulated house counts exactly what flows, each phase for itself, and keeps its balance."""

from datetime import timedelta
from itertools import pairwise

import pytest

from logger.simulator.house import Batteries, Outage
from logger.simulator.loads import DAY_S, KINDS, Appliance, spans
from logger.simulator.site import Shape, Site
from tests.sample_data import utc

BORN = utc(2026, 4, 10)
APPLIANCES = (
    Appliance("hob", 2_000, 1),
    Appliance("heater", 2_000, 2),
    Appliance("heat pump", 2_600, 3),
    Appliance("oven", 2_400),
)
THREE = Shape(phases=3, panels=(2, 1, 0), appliances=APPLIANCES)
HOURS = (Outage(BORN.timestamp() + 9 * 3600, BORN.timestamp() + 20 * 3600),
         Outage(BORN.timestamp() + 15 * 3600, BORN.timestamp() + 18 * 3600, "generator"))  # fmt: skip
SITES = {
    "three phases": Site(THREE, BORN),
    "batteries": Site(Shape(phases=2, appliances=APPLIANCES[:2], batteries=Batteries()), BORN),
    "batteries that lag": Site(Shape(phases=2, appliances=APPLIANCES[:2], batteries=Batteries(lag_s=3)), BORN),
    "outage": Site(Shape(batteries=Batteries(), has_generator=True), BORN, HOURS),
    "unseen": Site(Shape(appliances=(Appliance("car", 3_700),), unseen=0.5), BORN),
}


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_what_comes_into_a_house_is_what_it_uses(site: Site) -> None:
    since, until = BORN, BORN + timedelta(days=2, hours=5, seconds=17)

    def energy(flow: str) -> float:
        return site.energy_between_wh(flow, since, until)

    given = energy("production") - energy("standby") + energy("unseen") + energy("generator")
    given += energy("grid_import") - energy("grid_export") + energy("battery_discharge") - energy("battery_charge")
    assert given == pytest.approx(energy("consumption"), abs=1e-6)


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_counters_are_the_sums_of_what_flows_second_by_second(site: Site) -> None:
    since_s = int(BORN.timestamp()) + 17 * 3600
    for phase in site.phases[-1:]:
        nets = [site.powers(since_s + second + 0.5, phase).net for second in range(3600)]
        counted = {
            flow: site.counter_wh(flow, since_s + 3600, phase) - site.counter_wh(flow, since_s, phase)
            for flow in ("grid_import", "grid_export")
        }
        assert counted["grid_import"] == pytest.approx(sum(max(0, net) for net in nets) / 3600, abs=0.5)
        assert counted["grid_export"] == pytest.approx(sum(max(0, -net) for net in nets) / 3600, abs=0.5)


def test_cts_count_each_phase_for_itself_and_a_balancing_meter_less() -> None:
    site, since, until = SITES["three phases"], BORN, BORN + timedelta(days=1)
    for flow in ("grid_import", "grid_export"):
        phases = sum(site.energy_between_wh(flow, since, until, phase) for phase in (1, 2, 3))
        at_s = until.timestamp()
        assert site.counter_wh(flow, at_s) == sum(site.counter_wh(flow, at_s, phase) for phase in (1, 2, 3))
        assert site.energy_between_wh(flow, since, until, grid_meter="per_phase") == pytest.approx(phases)
        assert site.energy_between_wh(flow, since, until) < 0.9 * phases
    balances = [
        site.energy_between_wh("grid_import", since, until, grid_meter=kind)
        - site.energy_between_wh("grid_export", since, until, grid_meter=kind)
        for kind in ("balancing", "per_phase")
    ]
    assert balances[0] == pytest.approx(balances[1])


def test_the_total_is_at_every_second_what_the_phases_are_together() -> None:
    site = SITES["three phases"]
    for at_s in range(site.born_s, site.born_s + DAY_S, 977):
        for name in ("production", "load", "net"):
            phases = [getattr(site.powers(at_s, phase), name) for phase in (1, 2, 3)]
            assert getattr(site.powers(at_s), name) == pytest.approx(sum(phases), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_switches_lies_in_the_day_and_never_twice_at_once(kind: str) -> None:
    for day in range(20):
        found = spans(Appliance(kind, 1), str(day), -100 + 10 * day)
        assert all(0 <= on < off <= DAY_S for on, off in found)
        assert all(first[1] <= second[0] for first, second in pairwise(found))


def test_batteries_stay_between_their_reserve_and_full() -> None:
    site = SITES["batteries"]
    assert site.shape.batteries is not None
    full = site.shape.batteries.all_wh
    stored = [site.stored_wh(site.born_s + 600 * number) for number in range(3 * 144)]
    assert 0.2 * full - 1e-6 <= min(stored) < 0.3 * full
    assert 0.9 * full < max(stored) <= full + 1e-6


def test_off_the_grid_nothing_comes_from_it() -> None:
    site = SITES["outage"]
    for at_s in range(int(BORN.timestamp()) + 9 * 3600, int(BORN.timestamp()) + 20 * 3600, 600):
        powers = site.powers(at_s)
        assert powers.net == pytest.approx(0, abs=1e-6)
        assert (powers.generator > 0) <= site.outage("generator", at_s)
    assert site.energy_between_wh("generator", BORN, BORN + timedelta(days=1)) > 100
