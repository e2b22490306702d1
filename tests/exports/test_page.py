"""The page of a month or year: the reports' figures, one file that needs nothing else, honest about what lacks."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text

from logger.cli import run
from logger.clock import day_start_s, from_epoch_s, time_zone
from logger.errors import NoDataError, UsageError
from logger.exports.page import to_html, words
from logger.reports.energy import energy_report
from logger.reports.page import Page, pages, period_named
from logger.store.database import opened
from logger.store.models import ENERGY_15MIN, ENERGY_DAILY, EVENTS, GATEWAYS, INVERTER_DAILY, PANEL_DAILY, PANELS
from tests.conftest import Opening
from tests.sample_data import utc

ZONE = "Europe/Berlin"
NOW = utc(2026, 7, 2, 10)
NAME = 'Jörg\'s <b>"roof"</b> & barn'
GAP, SUSPECT = date(2026, 6, 12), date(2026, 6, 20)
VOID = {"meta", "br"}


def kwh(day: date) -> float:
    return 10 + day.day / 7 + (3 if day.year == 2026 else 0)


def fill(engine: Engine, first: date, last: date, *, panels: int = 3, gateway_id: int = 1) -> None:
    """Fill in what was counted: each quarter hour the same part of its day."""
    days, quarters, inverters, judged = [], [], [], []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        start_s, wh = day_start_s(day, time_zone(ZONE)), 1000 * kwh(day)
        flows = {"production_wh": wh, "consumption_wh": 8000.0, "grid_import_wh": 3000.0, "grid_export_wh": wh - 5000}
        key = {"gateway_id": gateway_id, "phase": "total"}
        days.append(
            {**key, "day": day, "period_s": 86_400, **flows, "covered_s": 40_000 if day == GAP else 86_400,
             "bridged_wh": 500.0 if day == GAP else 0.0}
        )  # fmt: skip
        for quarter in range(0, 86_400, 6 * 3600):
            at = from_epoch_s(start_s + quarter)
            part = {name: value / 4 for name, value in flows.items()}
            quarters.append({**key, "starts_at": at, "utc_offset_s": 7200, **part, "covered_s": 900, "bridged_wh": 0.0})
        for panel in range(panels):
            dead = panel == 1 and day > GAP
            made = {"gateway_id": gateway_id, "day": day, "serial": f"12{panel}"}
            inverters.append({**made, "energy_wh": 0.0 if dead else wh / panels, "peak_power_w": 200.0, "covered_s": 1})
            judged.append(
                {**made, "array": "all", "energy_wh": 0.0 if dead else wh / panels, "peers_median_wh": wh / panels,
                 "state": "dead" if dead else "fine"}
            )  # fmt: skip
    with engine.begin() as connection:
        name = NAME if gateway_id == 1 else f"site{gateway_id}"
        gateway = {"gateway_id": gateway_id, "name": name, "serial": str(gateway_id), "time_zone": ZONE}
        connection.execute(insert(GATEWAYS), gateway)
        for table, rows in ((ENERGY_DAILY, days), (ENERGY_15MIN, quarters), (INVERTER_DAILY, inverters),
                            (PANEL_DAILY, judged)):  # fmt: skip
            if rows:
                connection.execute(insert(table), rows)
        if panels:
            connection.execute(insert(PANELS), {"gateway_id": gateway_id, "serial": "121", "name": "Süd <3>"})
        events = [
            (utc(2026, 6, 12, 6), "outage", "gateway", "nothing measured for 600 min, until 2026-06-12 16:00:00"),
            (utc(2026, 6, 12, 22), "dead_panel", "panel 121", "makes nothing while its neighbours do"),
            (utc(2026, 6, 20, 9), "clamp_missing", "can't be: grid", "is there a clamp?"),
            *((utc(2026, 6, day), "counter_dip", "production total", f"number {day}") for day in range(2, 6)),
        ]
        names = ("at", "kind", "subject", "detail")
        rows = [{"gateway_id": gateway_id, **dict(zip(names, event, strict=True))} for event in events]
        connection.execute(insert(EVENTS), rows)


@pytest.fixture(scope="module")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site from June 2025 to the second of July 2026."""
    path = tmp_path_factory.mktemp("page") / "filled.db"
    shutil.copy(sqlite_template, path)
    with opened(f"sqlite:///{path}") as engine:
        fill(engine, date(2025, 6, 1), date(2026, 7, 2))
    return path


@pytest.fixture
def connection(filled: Path, tmp_path: Path) -> Iterator[Connection]:
    """That site, for a test to change."""
    shutil.copy(filled, tmp_path / "envoylog.db")
    with opened(f"sqlite:///{tmp_path / 'envoylog.db'}") as engine, engine.connect() as connection:
        yield connection


def one(connection: Connection, now: datetime = NOW, **chosen: Any) -> Page:
    (page,) = pages(connection, now=now, **chosen)
    return page


class Parsed(HTMLParser):
    """What a page consists of; fails where an element is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def values(self) -> list[str]:
        return [attributes["value"] or "" for tag, attributes in self.elements if tag == "data"]


def shown(connection: Connection, **chosen: Any) -> Parsed:
    return Parsed(to_html(pages(connection, now=NOW, **chosen)).decode())


def test_every_engine_gives_the_same_page(connection: Connection, postgresql_url: str, opening: Opening) -> None:
    engine = opening(postgresql_url)
    fill(engine, date(2025, 6, 1), date(2026, 7, 2))
    with engine.connect() as other:
        for chosen in ({"month": "2026-06"}, {"year": "2026"}):
            assert to_html(pages(other, now=NOW, **chosen)) == to_html(pages(connection, now=NOW, **chosen))


def test_the_figures_are_the_reports_to_the_last_digit(connection: Connection) -> None:
    for chosen, kind, below in (("2026-06", "monthly", "daily"), ("2026", "yearly", "monthly")):
        values = shown(connection, **{"month" if kind == "monthly" else "year": chosen}).values
        for each in (kind, below):
            report = energy_report(connection, each, now=NOW, since=chosen, until=chosen)  # type: ignore[arg-type]
            for name in ("production_kwh", "consumption_kwh", "grid_import_kwh", "grid_export_kwh"):
                assert {str(value) for value in report.column(name)} <= set(values)


def test_a_month_is_compared_with_the_days_that_both_years_know(connection: Connection) -> None:
    days = [date(2026, 6, number) for number in range(1, 31)]
    made = one(connection, month="2026-06").figures[0]
    assert made.name == "production_kwh"
    assert (made.days, made.of_days) == (30, 30)
    assert made.before == pytest.approx(sum(kwh(day.replace(year=2025)) for day in days))
    assert made.same == pytest.approx(made.value)
    assert made.before is not None
    assert words.change(made) == f"+{100 * (made.value / made.before - 1):.0f} %"
    connection.execute(text("DELETE FROM energy_daily WHERE day < '2025-06-21'"))
    late = one(connection, month="2026-06").figures[0]
    assert (late.days, late.of_days) == (10, 30)
    assert late.same == pytest.approx(sum(map(kwh, days[20:])))
    assert "10 days" in (words.against(one(connection, month="2026-06"), late) or "")


def test_what_runs_is_compared_without_today(connection: Connection) -> None:
    page = one(connection)
    assert (page.name, page.is_running) == ("2026-07", True)
    assert page.figures[0].before is not None
    assert (page.figures[0].days, page.figures[0].of_days) == (1, 1)
    assert "so far, to 2 Jul 2026" in words.subtitle(page)
    assert "The period runs: its figures grow." in shown(connection).text


def test_the_first_year_has_nothing_to_compare_with(connection: Connection) -> None:
    page = one(connection, month="2025-06")
    assert all(figure.before is None for figure in page.figures)
    assert "in 2024" not in shown(connection, month="2025-06").text
    connection.execute(text("UPDATE energy_daily SET grid_import_wh = NULL WHERE day < '2026-01-01'"))
    assert shown(connection, month="2026-06").text.count("not known in 2025") == 2


def test_nothing_is_written_as_nothing() -> None:
    assert [words.number(value) for value in (0.0, -0.004, 0.0049, 0.05, 1234.5)] == ["0", "0", "0", "0.05", "1,234"]
    assert words.quantity("self_sufficiency_pct", -0.6) == ("0", "%")


def test_the_mean_day_is_the_mean_of_its_quarter_hours_in_local_time(connection: Connection) -> None:
    quarters = one(connection, month="2026-06").mean_day
    assert [quarter.number for quarter in quarters] == [0, 24, 48, 72]
    mean_kwh = sum(kwh(date(2026, 6, number)) for number in range(1, 31)) / 30
    assert quarters[1].production_w == pytest.approx(1000 * mean_kwh)
    connection.execute(
        text("UPDATE energy_15min SET covered_s = 100, production_wh = 1000000 WHERE production_wh > 4000")
    )
    assert all((quarter.production_w or 0) < 20_000 for quarter in one(connection, month="2026-06").mean_day)


def test_days_that_are_not_whole_are_hatched_and_named(connection: Connection) -> None:
    page = shown(connection, month="2026-06")
    hatched = [attributes for _, attributes in page.elements if "hatch" in (attributes.get("class") or "").split()]
    assert len(hatched) == 2
    assert "less sure: 12 Jun." in page.text
    assert "Not to be believed, 20 Jun: is there a clamp?" in page.text
    assert "12 Jun: " in page.text
    assert "(incomplete)" in page.text
    assert "28 of 30 days are complete." in page.text
    assert "0.50 kWh (0.1 %) of what was made was counted over gaps" in page.text


def test_a_day_of_which_nothing_is_known_is_no_zero(connection: Connection) -> None:
    connection.execute(text("DELETE FROM energy_daily WHERE day = '2026-06-09'"))
    page = shown(connection, month="2026-06")
    assert "Nothing is known of 9 Jun." in page.text
    assert "9 Jun: nothing known" in page.text


def test_what_happened_is_said_once_in_local_time(connection: Connection) -> None:
    page = shown(connection, month="2026-06")
    for sentence in (
        "12 Jun, 08:00 Nothing measured for 10 hours, until 18:00",
        "13 Jun Panel Süd <3> makes nothing while its neighbours do",
        "number 2 (and 3 more alike)",
        "Best day",
    ):
        assert sentence in page.text
    assert "number 3" not in page.text


def test_panels_stand_beside_their_neighbours_those_that_are_not_fine_first(connection: Connection) -> None:
    panels = one(connection, month="2026-06").panels
    assert [panel.serial for panel in panels] == ["121", "120", "122"]
    assert panels[0].relative_pct == pytest.approx(100 * sum(map(kwh, (date(2026, 6, d) for d in range(1, 13)))) / sum(
        map(kwh, (date(2026, 6, d) for d in range(1, 31)))
    ))  # fmt: skip
    page = shown(connection, month="2026-06")
    assert "2 of 3 panels are fine." in page.text
    assert "have the panel, its plug and its inverter looked at" in page.text


def test_panels_of_which_nothing_is_known_are_left_out(connection: Connection) -> None:
    connection.execute(text("DELETE FROM panel_daily"))
    connection.execute(text("UPDATE inverter_daily SET energy_wh = NULL WHERE serial <> '120'"))
    assert [panel.energy_kwh is None for panel in one(connection, month="2026-06").panels] == [False, True, True]
    connection.execute(text("UPDATE inverter_daily SET energy_wh = NULL"))
    assert one(connection, month="2026-06").panels == []


@pytest.mark.parametrize("chosen", [{"month": "2026-06"}, {"year": "2026"}, {"month": "2025-06"}])
def test_it_is_one_file_without_script_or_request_and_small(connection: Connection, chosen: dict[str, str]) -> None:
    content = to_html(pages(connection, now=NOW, **chosen))
    assert len(content) < 300_000
    page = Parsed(content.decode())
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base"})
    for _, attributes in page.elements:
        assert {"src", "href", "xlink:href", "srcset", "action"}.isdisjoint(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(rb"https?:|@import|url\((?!#)", content)
    assert b"default-src 'none'" in content


def test_every_picture_is_well_formed_and_keeps_within_its_width(connection: Connection) -> None:
    content = to_html(pages(connection, now=NOW, year="2026") + pages(connection, now=NOW, month="2026-06")).decode()
    pictures = re.findall(r"<svg.*?</svg>(?=\s*<(?!polygon))", content, re.DOTALL)
    assert len(pictures) > 10
    for mark in re.findall(r'<rect[^>]*x="([\d.]+)%" width="([\d.]+)%"', content):
        assert sum(map(float, mark)) <= 100.05
    assert "NaN" not in content
    assert not re.search(r'(?:width|height)="-', content)
    assert not re.search(r'(?<!viewBox)="[^"]*\bnan\b', content)
    ET.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", content))


def test_names_stay_text(connection: Connection) -> None:
    content = to_html(pages(connection, now=NOW, month="2026-06")).decode()
    assert '<b>"roof' not in content
    assert NAME in shown(connection, month="2026-06").text


def test_a_site_that_measures_production_alone_has_five_figures_too(connection: Connection) -> None:
    nothing = ", ".join(f"{name} = NULL" for name in ("consumption_wh", "grid_import_wh", "grid_export_wh"))
    for table in ("energy_daily", "energy_15min"):
        connection.execute(text(f"UPDATE {table} SET peak_production_w = 4000, {nothing}"))
    page = one(connection, month="2026-06")
    names = ["production_kwh", "best_day_kwh", "peak_production_w", "coverage_pct"]
    assert [figure.name for figure in page.figures] == names
    said = shown(connection, month="2026-06").text
    assert "Where energy came from" not in said
    assert "to the grid" not in said


def test_eighty_panels_show_those_that_matter(sqlite_url: str, opening: Opening) -> None:
    engine = opening(sqlite_url)
    fill(engine, date(2026, 6, 1), date(2026, 7, 2), panels=80)
    with engine.connect() as connection:
        page = one(connection, month="2026-06")
    many = [replace(panel, state="weak") for panel in page.panels]
    said = Parsed(to_html([replace(page, panels=many)]).decode()).text
    assert said.count(" weak ") == words.MOST_PANELS
    assert "look for dirt" not in said
    assert "79 of 80 panels are fine." in Parsed(to_html([page]).decode()).text
    assert len(words.panels(page)[0]) == words.MOST_PANELS
    assert words.panels(page)[1] == 80 - words.MOST_PANELS


def test_several_gateways_have_a_page_each_in_one_file(sqlite_url: str, opening: Opening) -> None:
    engine = opening(sqlite_url)
    fill(engine, date(2026, 6, 1), date(2026, 7, 2), panels=0)
    fill(engine, date(2026, 7, 1), date(2026, 7, 2), panels=0, gateway_id=2)
    with engine.connect() as connection:
        assert [page.site.name for page in pages(connection, now=NOW)] == [NAME, "site2"]
        assert [page.site.name for page in pages(connection, now=NOW, month="2026-06")] == [NAME]
        assert [page.site.name for page in pages(connection, now=NOW, gateway="site2")] == ["site2"]
        with pytest.raises(NoDataError, match=r"site2: 2026-07-01 to 2026-07-02"):
            pages(connection, now=NOW, month="2026-05")


@pytest.mark.parametrize(
    ("month", "year", "kind", "name"),
    [(None, None, "monthly", "2026-07"), ("last-month", None, "monthly", "2026-06"),
     ("2024-02", None, "monthly", "2024-02"),
     (None, "2024", "yearly", "2024"), (None, "last-year", "yearly", "2025"), (None, "this-year", "yearly", "2026")],
)  # fmt: skip
def test_a_month_or_year_goes_by_name_or_word(month: str | None, year: str | None, kind: str, name: str) -> None:
    assert period_named(month, year, NOW.date()) == (kind, name)


@pytest.mark.parametrize("wrong", [("2026-06-01", None), ("2026", None), (None, "2026-06"), ("x", None), ("7d", None),
                                   ("2026-06", "2026"), ("2026-13", None), (None, "yesterday")])  # fmt: skip
def test_what_is_no_month_or_year_is_refused(wrong: tuple[str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        period_named(*wrong, NOW.date())


def test_the_command_writes_the_file(
    sqlite_url: str, opening: Opening, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(opening(sqlite_url), date(2026, 6, 1), date(2026, 6, 30))
    words = ["--database-url", sqlite_url, "report", "page", "--month", "2026-06"]
    assert run([*words, "-o", str(tmp_path / "june.html")]) == 0
    assert Parsed((tmp_path / "june.html").read_text(encoding="utf-8")).text.count("June 2026") >= 2
    capsys.readouterr()
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert run([*words, "-o", str(tmp_path / "june.xlsx")]) == 2
    assert "june.html" in capsys.readouterr().err


def test_many_doubts_and_many_panels_are_said_briefly(connection: Connection) -> None:
    connection.execute(text("DELETE FROM events"))
    details = dict.fromkeys((3, 4, 9), "look at it") | {number: f"no {number}" for number in (11, 12, 15, 16)}
    rows = [
        {"gateway_id": 1, "at": utc(2026, 6, number, 9), "kind": "ct_disagrees", "subject": "x", "detail": detail}
        for number, detail in details.items()
    ]
    connection.execute(insert(EVENTS), rows)
    connection.execute(text("UPDATE panel_daily SET state = 'weak'"))
    said = shown(connection, month="2026-06").text
    assert "Not to be believed, 3 Jun to 4 Jun, 9 Jun: look at it." in said
    assert "Not to be believed, 12 Jun: no 12." in said
    assert "Not to be believed either: 15 Jun to 16 Jun." in said
    assert said.count("weak: look for dirt") == 3
