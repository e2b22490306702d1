"""The screen of a site: words and widths."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import click
import pytest

from logger.exports import language, panel_lines, screen
from logger.reports.overview import Comparison, Energy, Overview
from logger.reports.panels import Panel
from logger.reports.power import Power
from tests.sample_data import utc

NOW = utc(2026, 3, 10, 12)
POWER = Power(measured_at=NOW, production_w=None, consumption_w=None, grid_w=None, battery_w=None)


@pytest.mark.parametrize(
    ("flows", "words"),
    [
        ({"production_w": 3210.0, "consumption_w": 840.0, "grid_w": -2370.0},
         "making 3.21 kW, using 840 W, 2.37 kW to the grid"),
        ({"production_w": -4.0, "consumption_w": 840.0, "grid_w": 844.0},
         "making nothing, using 840 W, 844 W from the grid"),
        ({"production_w": 500.0, "consumption_w": 500.0, "grid_w": 3.0},
         "making 500 W, using 500 W, nothing from or to the grid"),
        ({"production_w": 999.7}, "making 1.00 kW"),
        ({}, "unknown"),
    ],
)  # fmt: skip
def test_what_flows_is_said_in_words(flows: dict[str, Any], words: str) -> None:
    assert screen.flowing(replace(POWER, **flows)) == words


@pytest.mark.parametrize(
    ("flows", "words"),
    [({"battery_w": -1200.0, "battery_soc_pct": 64.4}, "64 % charged, taking 1.20 kW"), ({"battery_w": 5.0}, "idle"),
     ({"battery_w": 300.0}, "giving 300 W"), ({}, None)],
)  # fmt: skip
def test_what_a_battery_does_is_said_in_words(flows: dict[str, Any], words: str | None) -> None:
    assert screen.battery(replace(POWER, **flows)) == words


def test_a_curve_shows_nothing_as_a_blank_and_its_highest_value_as_a_full_block() -> None:
    assert screen.sparkline([None, 0.0, -4.0, 1.0, 50.0, 100.0, None], 100.0) == "   \u2581\u2584\u2588"
    assert screen.sparkline([0.0, None], 0.0) == ""


@pytest.mark.parametrize(("share_pct", "words"), [(100.0, "100 %"), (99.97, "99.9 %"), (0.0, "0 %"), (41.26, "41.3 %")])
def test_a_share_is_whole_only_where_nothing_lacks(share_pct: float, words: str) -> None:
    assert language.percent(share_pct) == words


def energy(**numbers: Any) -> Energy:
    names = ("consumption_kwh", "grid_import_kwh", "grid_export_kwh", "battery_charge_kwh", "battery_discharge_kwh",
             "self_sufficiency_pct")  # fmt: skip
    known = dict.fromkeys(names) | {"production_kwh": 15.84, "coverage_pct": 100.0} | numbers
    return Energy(since=NOW.date(), until=NOW.date(), **known)


def site(**changes: Any) -> Overview:
    plain = Overview(
        gateway="roof", time_zone="Europe/Amsterdam", now=None, today=energy(), yesterday=None, this_month=None,
        this_year=None, production_curve_w=(), consumption_curve_w=(), best_day=None, best_day_kwh=None, panels=0,
        panels_not_fine=(),
    )  # fmt: skip
    return replace(plain, **changes)


def test_what_a_site_does_not_measure_has_no_column() -> None:
    lines = list(screen.energy_lines(site(), NOW))
    assert [line.split() for line in lines if line] == [["made"], ["today", "15.8", "kWh"]]
    lines = list(
        screen.energy_lines(
            site(today=energy(consumption_kwh=3.0), yesterday=replace(energy(), since=date(2026, 3, 9))), NOW
        )
    )
    assert lines[-1].split()[-1] == "\N{EN DASH}"


def test_in_its_first_days_a_site_has_each_period_once() -> None:
    first = energy(coverage_pct=0.03)
    found = site(today=first, this_month=first, this_year=first)
    lines = [*screen.energy_lines(found, NOW), *screen.care_lines(found)]
    assert [line.split()[0] for line in lines if line] == ["made", "today", "measured"]
    assert lines[-1] == "  measured    less than 1 % of today"


def test_nothing_is_wider_than_80_columns() -> None:
    most = dict.fromkeys(("consumption_kwh", "grid_import_kwh", "grid_export_kwh", "production_kwh"), 123456.7)
    against = Comparison(year=2025, production_kwh=123_456.7, before_kwh=123_456.7, change_pct=-100, days=3, of_days=60)
    year = energy(**most, self_sufficiency_pct=100.0, year_before=against)
    found = site(
        today=year, yesterday=replace(year, until=date(2026, 3, 9)), this_month=replace(year, since=date(2026, 3, 1)),
        this_year=replace(year, since=date(2026, 1, 1)), production_curve_w=(3000.0,) * 50,
        consumption_curve_w=(12_340.0,) * 50, best_day=date(2026, 9, 30), best_day_kwh=100.0, panels=80,
        panels_not_fine=[Panel(serial="122000000004", state="removed", since=date(2026, 9, 30))],
    )  # fmt: skip
    lines = [click.unstyle(line) for line in (*screen.energy_lines(found, NOW), *screen.care_lines(found))]
    assert max(map(len, lines)) <= 80
    assert "  2026        -100 % against 2025: 123457 kWh up to yesterday, 123457 kWh then" in lines
    assert "              (3 of 60 days)" in lines


@pytest.mark.parametrize(
    ("seconds", "words"), [(13, "13 s ago"), (-2, "0 s ago"), (600, "10 min ago"), (20_000, "5 hours ago"),
                           (400_000, "4 days ago")],
)  # fmt: skip
def test_how_long_ago_is_said_as_exactly_as_it_matters(seconds: float, words: str) -> None:
    assert screen.ago(seconds) == words


def test_an_instant_is_shown_as_the_sites_clocks_show_it() -> None:
    assert screen.at_local(NOW, "Europe/Amsterdam", NOW) == "13:00"
    assert screen.at_local(NOW - timedelta(days=1), "Europe/Amsterdam", NOW) == "9 Mar 2026 13:00"


def test_a_panel_of_which_nothing_is_known_has_no_bar_and_one_that_makes_nothing_an_empty_one() -> None:
    panels = [
        Panel(serial=serial, state=state, since=NOW.date(), relative_pct=share_pct)
        for serial, state, share_pct in (("a", None, None), ("b", "weak", 0.0), ("c", "fine", 100.0))
    ]
    bars = [line.count("\u2588") + 100 * line.count("\u2591") for line in panel_lines.lines(panels)]
    assert bars[1:4] == [0, 2000, 20]
