"""Sheets of colours: a calendar of days, and panels by month; and the sheet that says what all of it means.

Walk: reports.summary -> workbook, here -> summary_sheet
"""

import calendar
from collections.abc import Sequence
from datetime import date
from typing import Any

from xlsxwriter.utility import xl_rowcol_to_cell

from logger import __version__
from logger.exports import language
from logger.exports.language import say
from logger.exports.text import escape_formula
from logger.exports.workbook import Workbook
from logger.reports import Report
from logger.reports.columns import BATTERY, ENERGY, STATUS, STATUSES, Column
from logger.reports.summary import Book, PanelMonth

#: More panels than that begin their energy on a page of its own.
ON_A_PAGE = 15
HEAD = {"bold": True, "bottom": 1, "bg_color": "#F3F3F3"}
#: from a dark day to a bright one
SUN = {"type": "2_color_scale", "min_color": "#FFFFFF", "max_color": "#F2A900", "min_type": "num", "min_value": 0}
#: of what a panel makes, in percent of its neighbours: red, then white, then green
SHARES = {
    "type": "3_color_scale", "min_type": "num", "mid_type": "num", "max_type": "num",
    "min_value": 70, "mid_value": 95, "max_value": 115,
    "min_color": "#E67C73", "mid_color": "#FFFFFF", "max_color": "#8CC69A",
}  # fmt: skip
ABOUT = (
    "Energy is the difference of lifetime counters, never power times an interval.",
    "Ratios come from summed energies; they are empty where an input is missing.",
    "Shaded rows are partial; red ones are suspect, and the sheet Quality has what to look at.",
    "Days are those of the gateway's time zone. An empty cell is not known; it is not zero.",
    "Totals follow the filter of their sheet; hidden columns at its end hold what they weigh by.",
    "Summary compares days that are over with the same days of the year before.",
    "Columns that this house cannot have, or that say nothing, are left out.",
)


def days(out: Workbook, report: Report) -> None:
    """Write a calendar: a row for each month, the newest first, with the production of its days."""
    sheet = out.add_sheet(say("Calendar"))
    produced = dict(zip(report.column("day"), report.column("production_kwh"), strict=True))
    unsure = {
        day for day, status in zip(report.column("day"), report.column(STATUS), strict=True)
        if status in {"partial", "suspect"}
    }  # fmt: skip
    months = sorted({(day.year, day.month) for day in produced}, reverse=True)
    sheet.set_column(0, 0, 10)
    sheet.set_column(1, 31, 5)
    sheet.set_column(32, 32, 9)
    sheet.write_string(0, 0, say("Production of each day (kWh); days in brackets are partial or suspect"),
                       out.style(bold=True, font_size=12))  # fmt: skip
    sheet.write_row(1, 0, [say("Month"), *range(1, 32), say("Total")], out.style(**HEAD, align="center"))
    for y, (year, month) in enumerate(months, start=2):
        sheet.set_row(y, 24)
        sheet.write_string(y, 0, f"{language.month(month)} {year}", out.style(bold=True, valign="vcenter"))
        known = []
        for day in range(1, calendar.monthrange(year, month)[1] + 1):
            at = date(year, month, day)
            if (value := produced.get(at)) is not None:
                known.append(value)
                brackets = at in unsure
                form = "(0)" if brackets else "0" if value >= 9.95 else "0.0"
                sheet.write_number(y, day, value, out.style(num_format=form, align="center", valign="vcenter"))
        if known:
            sheet.write_formula(
                y,
                32,
                f"=SUM(B{y + 1}:AF{y + 1})",
                out.style(num_format="#,##0", bold=True, valign="vcenter"),
                sum(known),
            )
    sheet.conditional_format(2, 1, len(months) + 1, 31, SUN)
    sheet.freeze_panes(2, 1)
    sheet.repeat_rows(1)
    sheet.fit_to_pages(1, 0)


def panels(out: Workbook, book: Book) -> None:
    """Write a row for each panel with a column for each month, the newest first: beside its neighbours, and in kWh."""
    sheet = out.add_sheet(say("Panels"))
    months = sorted({row.month for row in book.panel_months}, reverse=True)
    states = {panel.serial: panel.state or "" for panel in book.panels}
    cells = {(row.serial, row.month): row for row in book.panel_months}
    names = {row.serial: row.name or row.serial for row in book.panel_months}
    serials = sorted(names, key=lambda serial: (states.get(serial, "") in {"", "fine"}, names[serial], serial))
    labels = [(names[serial], states.get(serial, "")) for serial in serials]
    shares = [[_share_pct(cells.get((serial, month))) for month in months] for serial in serials]
    heads = [f"{language.month(int(month[5:]))} {month[:4]}" for month in months]
    sheet.write_row(0, 0, [say("Panel"), say("State")], out.style(**HEAD))
    sheet.write_row(0, 2, [*heads, say("Total")], out.style(**HEAD, align="right"))
    title, y = out.style(bold=True, font_size=12), 1
    if any(value is not None for row in shares for value in row):
        sheet.write_string(y, 0, say("In % of its neighbours"), title)
        _rows(out, sheet, y + 1, labels, shares, "0")
        sheet.conditional_format(y + 1, 2, y + len(serials), len(months) + 1, SHARES)
        y += len(serials) + 2
        if len(serials) > ON_A_PAGE:
            sheet.set_h_pagebreaks([y])
    sheet.write_string(y, 0, f"{say('Energy')} (kWh)", title)
    energies = [[_energy_kwh(cells.get((serial, month))) for month in months] for serial in serials]
    _rows(out, sheet, y + 1, labels, energies, "#,##0.0")
    total = out.style(num_format="#,##0.0", bold=True)
    for at, row in enumerate(energies, start=y + 1):
        known = [value for value in row if value is not None]
        if known:
            ends = (xl_rowcol_to_cell(at, x) for x in (2, len(months) + 1))
            sheet.write_formula(at, len(months) + 2, f"=SUM({':'.join(ends)})", total, sum(known))
    sheet.freeze_panes(1, 2)
    sheet.repeat_rows(0)
    widths = [18, 9, *[9] * len(months), 10]
    for x, width in enumerate(widths):
        sheet.set_column(x, x, width)
    out.paginate(sheet, widths, 2)


def _rows(
    out: Workbook, sheet: Any, y: int, labels: Sequence[tuple[str, str]], rows: Sequence[Sequence[float | None]],
    form: str,
) -> None:  # fmt: skip
    """Write a row of numbers for each panel behind its name and state."""
    for at, ((name, state), row) in enumerate(zip(labels, rows, strict=True), start=y):
        sheet.write_string(at, 0, escape_formula(name))
        sheet.write_string(at, 1, say(state), None if state in {"", "fine"} else out.style(font_color="#B00020"))
        for x, value in enumerate(row, start=2):
            if value is not None:
                sheet.write_number(at, x, value, out.style(num_format=form))


def _share_pct(row: PanelMonth | None) -> float | None:
    if row is None or not row.peers_kwh or row.judged_kwh is None:
        return None
    return 100 * row.judged_kwh / row.peers_kwh


def _energy_kwh(row: PanelMonth | None) -> float | None:
    return None if row is None else row.energy_kwh


def about(out: Workbook, title: str, *, has_battery: bool) -> None:
    """Write what columns and colours mean."""
    sheet = out.add_sheet(say("About"))
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 100)
    sheet.fit_to_pages(1, 0)
    sheet.write_string(0, 0, escape_formula(title), out.style(bold=True, font_size=14))
    sheet.write_string(1, 0, say("Made by envoylog {version}", version=__version__))
    for y, line in enumerate(ABOUT, start=3):
        sheet.write_string(y, 0, say(line))
    meanings = [
        (_head(column), say(column.meaning)) for column in ENERGY if has_battery or "attery" not in column.title
    ]
    if has_battery:
        meanings += [(say("{heading} of a battery", heading=_head(column)), say(column.meaning)) for column in BATTERY]
    meanings += [(f"{say('Status')} {say(status)}", say(meaning)) for status, meaning in STATUSES.items()]
    for y, (heading, meaning) in enumerate(meanings, start=4 + len(ABOUT)):
        sheet.write_string(y, 0, heading, out.style(bold=True, valign="top"))
        sheet.write_string(y, 1, meaning, out.style(text_wrap=True, valign="top"))


def _head(column: Column) -> str:
    return f"{language.title(column)} ({column.unit})" if column.unit else language.title(column)
