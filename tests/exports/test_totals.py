"""The totals row has the same figures in every format, and they are right."""

import io
import random
import re
from datetime import date, timedelta
from typing import Any

import openpyxl
import pandas as pd
import pytest

from logger import exports
from logger.reports import Report
from logger.reports.columns import ENERGY
from logger.reports.energy import KNOWN

COLUMNS = {column.name: column for column in ENERGY}
NAMES = ["gateway", "day", *COLUMNS, "status"]
Day = dict[str, Any]


def report(*days: Day) -> Report:
    """Return a report of some days: flows in kWh, seconds covered, the gateway's peak power."""
    rows = []
    for number, day in enumerate(days):
        produced, exported = day.get("production"), day.get("grid_export")
        known = {f"{name}_kwh": value for name, value in day.items() if f"{name}_kwh" in COLUMNS}
        if produced is not None and exported is not None:
            known["self_consumption_kwh"] = produced - exported
        known["coverage_pct"] = 100 * day.get("covered_s", 86_400) / day.get("period_s", 86_400)
        known["gateway"] = day.get("gateway", "roof")
        known["day"] = date(2026, 5, 1) + timedelta(days=number)
        known["status"] = "final"
        rows.append(tuple(known.get(name) for name in NAMES))
    weights = {
        "covered_s": [day.get("covered_s", 86_400) for day in days],
        "period_s": [day.get("period_s", 86_400) for day in days],
        "peak_power_kwp": [day.get("kwp") for day in days],
        **{weight: [both_known(day, *names) for day in days] for weight, names in KNOWN.items()},
    }
    return Report("daily", NAMES[:2], ENERGY, NAMES[-1:], rows, weights)


def both_known(day: Day, name: str, other: str) -> float | None:
    value = day.get(name.removesuffix("_kwh"))
    return None if day.get(other.removesuffix("_kwh")) is None else value


def two_sites(seed: int, kwp: tuple[float | None, float | None], unknown: float) -> list[Day]:
    """Return days of random numbers, of which some are not known."""
    rng = random.Random(seed)
    flows = ("production", "consumption", "grid_import", "grid_export")
    return [
        {
            "gateway": gateway, "kwp": peak, "period_s": rng.choice([82_800, 86_400, 90_000]),
            "covered_s": rng.randrange(82_800),
            **{flow: None if rng.random() < unknown else rng.random() * 30 for flow in flows},
        }
        for gateway, peak in zip(("roof", "barn"), kwp, strict=True)
        for _ in range(5)
    ]  # fmt: skip


CASES = {
    "one gateway": two_sites(1, (5.6, 3.0), 0.0)[:5],
    "without peak power": two_sites(2, (None, 3.0), 0.0)[:5],
    "two gateways": two_sites(3, (5.6, 3.0), 0.0),
    "one of two without peak power": two_sites(4, (5.6, None), 0.0),
    "some values unknown": two_sites(5, (5.6, 3.0), 0.4),
    "nothing known but coverage": two_sites(6, (5.6, 3.0), 1.0),
    "no production": [{"production": 0.0, "grid_export": 0.0, "kwp": 5.6}],
    "nothing lasted": [{"production": 1.0, "covered_s": 0, "period_s": 1}],
}


def evaluated(content: bytes, visible: set[int] | None = None) -> dict[str, float | None]:
    """Return the totals that the formulas of a workbook give, with only some rows visible."""
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    last = next(row for row in range(2, 99) if sheet.cell(row, 1).value == "Total")

    def subtotal(match: re.Match[str]) -> str:
        how, letter = match[1], match[2]
        assert (int(match[3]), int(match[4])) == (2, last - 1)
        rows = [row for row in range(2, last) if visible is None or row - 2 in visible]
        cells = [sheet[f"{letter}{row}"].value for row in rows]
        numbers = [cell for cell in cells if isinstance(cell, (int, float))]
        return repr(sum(numbers) if how == "109" else max(numbers, default=0))

    heads = [cell.value for cell in sheet[1]]
    totals: dict[str, float | None] = {}
    for name, column in COLUMNS.items():
        # What is not known at all, or never happened, has no column.
        formula = sheet.cell(last, heads.index(column.heading) + 1).value if column.heading in heads else None
        if formula is None:
            totals[name] = None
            continue
        plain = re.sub(r"SUBTOTAL\((\d+),([A-Z]+)(\d+):\2(\d+)\)", subtotal, formula)
        quotient = re.fullmatch(r'=IF\(\((.*)\)<?=0,"",(.*)\)', plain.replace("MAX(0,", "max(0,"))
        if quotient is None:
            totals[name] = eval(plain[1:])
        else:
            totals[name] = eval(quotient[2]) if eval(quotient[1]) else None
    return totals


def shown(totals: dict[str, float | None]) -> list[str]:
    return ["\N{EN DASH}" if total is None else f"{total:.{COLUMNS[name].decimals}f}" for name, total in totals.items()]


@pytest.mark.parametrize("days", CASES.values(), ids=CASES)
def test_the_totals_row_is_the_same_in_every_format(days: list[Day]) -> None:
    result = report(*days)
    markdown = exports.to_markdown(result).decode().splitlines()[-1].split("|")
    assert [cell.strip() for cell in markdown[2:-2]] == ["Total", *shown(result.totals)]
    lines = exports.to_table(result).decode().splitlines()
    in_table = next(line for line in lines if line.lstrip().startswith("Total")).split()
    assert in_table == ["Total", *(cell for cell in shown(result.totals) if cell != "\N{EN DASH}")]
    workbook = exports.to_xlsx(result)
    totals = {name: None if name == "bridged_kwh" and not total else total for name, total in result.totals.items()}
    assert evaluated(workbook) == pytest.approx(totals, abs=1e-9)
    cached = openpyxl.load_workbook(io.BytesIO(workbook), data_only=True).worksheets[0]
    heads = [cell.value for cell in cached[1]]
    known = [name for name in COLUMNS if COLUMNS[name].heading in heads]
    cells = [cached.cell(2 + len(days), heads.index(COLUMNS[name].heading) + 1).value for name in known]
    assert cells == pytest.approx([totals[name] for name in known], abs=1e-9)
    sheet = pd.read_excel(io.BytesIO(exports.to_ods(result)), engine="odf")
    last = [
        None if pd.isna(sheet[COLUMNS[name].heading].iloc[-1]) else sheet[COLUMNS[name].heading].iloc[-1]
        for name in known
    ]
    assert last == pytest.approx([totals[name] for name in known], abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_the_totals_of_a_workbook_follow_its_filter(seed: int) -> None:
    days = two_sites(seed, (5.6, 3.0), 0.2)
    rng = random.Random(seed)
    visible = set(rng.sample(range(len(days)), 6))
    whole, part = report(*days), report(*(days[number] for number in sorted(visible)))
    found = evaluated(exports.to_xlsx(whole), visible)
    for name, total in part.totals.items():
        # A sum of nothing is 0 in a spreadsheet.
        assert found[name] == pytest.approx(total, abs=1e-9) or (found[name], total) == (0, None)


def test_coverage_weighs_by_time() -> None:
    result = report({"covered_s": 82_800, "period_s": 82_800}, {"covered_s": 0, "period_s": 90_000})
    assert result.totals["coverage_pct"] == pytest.approx(100 * 82_800 / 172_800)


def test_the_specific_yield_of_two_sites_is_their_energy_over_their_peak_power() -> None:
    roof, barn = {"production": 10.0, "kwp": 5.0}, {"gateway": "barn", "production": 30.0}
    both = report(roof, roof, {**barn, "kwp": 15.0}, {**barn, "kwp": 15.0})
    assert both.totals["specific_yield_kwh_per_kwp"] == pytest.approx(80 / 20)
    assert report(roof, barn).totals["specific_yield_kwh_per_kwp"] is None
    assert report(roof, {**barn, "production": None}).totals["specific_yield_kwh_per_kwp"] == pytest.approx(2)


def test_a_ratio_leaves_out_the_days_on_which_an_input_is_unknown() -> None:
    metered = {"production": 10.0, "consumption": 8.0, "grid_import": 2.0, "grid_export": 4.0}
    result = report(metered, {"production": 100.0}, {"grid_import": 50.0})
    assert result.totals["production_kwh"] == 110
    assert result.totals["self_consumption_pct"] == pytest.approx(60)
    assert result.totals["self_sufficiency_pct"] == pytest.approx(75)


def test_what_no_row_knows_or_divides_by_nothing_has_no_total() -> None:
    result = report({"production": 0.0, "grid_export": 0.0, "kwp": 5.0})
    assert result.totals["self_consumption_pct"] is None
    assert result.totals["consumption_kwh"] is None
    assert result.totals["self_sufficiency_pct"] is None
    assert result.totals["specific_yield_kwh_per_kwp"] == 0


def test_columns_that_this_house_cannot_have_are_left_out_of_a_workbook() -> None:
    for content in (exports.to_xlsx(report({"production": 1.0})), exports.to_ods(report({"production": 1.0}))):
        engine: Any = "odf" if b"opendocument" in content[:200] else "openpyxl"
        heads = {head for head in pd.read_excel(io.BytesIO(content), engine=engine).columns if "Unnamed" not in head}
        assert heads == {"Day", "Production (kWh)", "Coverage (%)", "Status"}
