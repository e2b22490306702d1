"""The workbook of a range: Summary, days, months, years, a calendar, panels, quality, and what all of it means.

Walk: reports.summary -> workbook, here -> exports
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from xlsxwriter.utility import xl_rowcol_to_cell

from logger.exports import charts, colour_sheets, language
from logger.exports.language import number, say
from logger.exports.text import escape_formula
from logger.exports.workbook import Table, Workbook
from logger.reports.columns import BRIDGED, COVERAGE, ENERGY, STATUS, STATUSES
from logger.reports.panels import Panel
from logger.reports.summary import Book

#: what the summary compares
FIGURES = [column for column in ENERGY if column.unit in {"kWh", "kWh/kWp", "%"} and column not in {COVERAGE, BRIDGED}]
#: At most this many spans of days, and panels, are listed.
MAX_LISTED = 6
LAST_COLUMN = 4
#: what a heading has room for
IN_A_LINE = 21
#: Some days take two lines where months have long names.
BELOW = {"align": "right", "valign": "bottom", "text_wrap": True}


def full(book: Book) -> bytes:
    """Return the workbook of a range."""
    since, until = book.days
    title = say("{names}: energy from {since} to {until}", names=", ".join(book.gateways), since=since, until=until)
    out = Workbook(title)
    summary = out.add_sheet(say("Summary"))
    daily = out.table(say("Daily"), book.daily)
    for name, report in book.by_gateway.items():
        out.table(name, report)
    out.table(say("Monthly"), book.monthly)
    out.table(say("Yearly"), book.yearly)
    colour_sheets.days(out, book.daily)
    if book.battery is not None:
        out.table(say("Battery"), book.battery)
    if book.panel_months:
        colour_sheets.panels(out, book)
    if book.quality is not None:
        out.table(say("Quality"), book.quality)
    shown = charts.add(out, book.charted)
    _summary(out, summary, title, book, daily, shown)
    colour_sheets.about(out, title, has_battery=book.battery is not None)
    return out.content()


def _summary(out: Workbook, sheet: Any, title: str, book: Book, daily: tuple[str, Table], shown: Sequence[Any]) -> None:
    sheet.set_portrait()
    sheet.fit_to_pages(1, 1)
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, LAST_COLUMN, 19)
    sheet.write_string(0, 0, escape_formula(title), out.style(bold=True, font_size=14))
    y = _figures(out, sheet, 2, book, daily)
    y = _highlights(out, sheet, y + 1, book)
    for chart in shown:
        sheet.insert_chart(y + 1, 0, chart, {"object_position": 2})
        y += charts.ROWS
    sheet.print_area(0, 0, y + 1, LAST_COLUMN)


def _figures(out: Workbook, sheet: Any, y: int, book: Book, daily: tuple[str, Table]) -> int:
    """Write the range, this year, and the same days of the year before; return the row behind."""
    name, table = daily
    head = {"bold": True, "bottom": 1, "bg_color": "#F3F3F3"}
    parts = [part for part in (book.now, book.then) if part is not None]
    is_all = book.now is not None and (book.now.since, book.now.until) == book.days and book.then is None
    parts = [] if is_all else parts
    heads = [
        say("All days"),
        *(_span(part.since, part.until) for part in parts),
        *([say("Change")] if len(parts) > 1 else []),
    ]
    if max(map(len, heads)) > IN_A_LINE:
        sheet.set_row(y, 32)
    sheet.write_string(y, 0, say("Energy"), out.style(**head, valign="bottom"))
    for x in range(1, LAST_COLUMN + 1):
        sheet.write_string(y, x, heads[x - 1] if x <= len(heads) else "", out.style(**head, **BELOW))
    for column in FIGURES:
        total = book.daily.totals[column.name]
        if column.name not in table.names or total is None:
            continue
        y += 1
        sheet.write_string(y, 0, language.heading(book.daily, column.name))
        cell = xl_rowcol_to_cell(table.last + 1, table.names.index(column.name))
        sheet.write_formula(y, 1, f"='{name}'!{cell}", out.number_style(column), total)
        values = [part.numbers[column.name] for part in parts]
        for x, value in enumerate(values, start=2):
            if value is not None:
                sheet.write_number(y, x, value, out.number_style(column))
        known = [value for value in values if value is not None]
        if len(known) > 1 and (known[1] or column.unit == "%"):
            change = known[0] - known[1] if column.unit == "%" else 100 * (known[0] - known[1]) / known[1]
            unit = say("points") if column.unit == "%" else "%"
            form = f'+0.0" {unit}";-0.0" {unit}";0.0" {unit}"'
            sheet.write_number(y, 4, change, out.style(num_format=form))
    return y + 1


def _highlights(out: Workbook, sheet: Any, y: int, book: Book) -> int:
    """Write what stands out, and how sure all of it is; return the row behind."""
    look = out.style(bold=True, bottom=1, bg_color="#F3F3F3")
    for x, text in enumerate((say("What stands out"), *[""] * LAST_COLUMN)):
        sheet.write_string(y, x, text, look)
    for label, what, is_alarm in _lines(book):
        y += 1
        sheet.write_string(y, 0, label)
        sheet.write_string(y, 1, escape_formula(what), out.style(font_color="#B00020") if is_alarm else None)
    return y + 1


def _lines(book: Book) -> Iterator[tuple[str, str, bool]]:
    """Yield what stands out: a label, what there is to say, and whether it needs care."""
    for label, (day, kwh) in zip(("Best day", "Poorest day"), book.extremes or (), strict=False):
        when = {"weekday": language.weekday(day), "day": language.day(day)}
        yield say(label), say("{kwh} kWh on {weekday}, {day}", kwh=number(kwh, ",.2f"), **when), False
    bad = [panel for panel in book.panels if panel.state not in {None, "fine", "removed"}]
    expected = sum(panel.state != "removed" for panel in book.panels)
    if book.panels and not bad:
        alone = say("1, which has no neighbours to be compared with")
        yield say("Panels"), say("all {count} are fine", count=expected) if expected > 1 else alone, False
    for at, panel in enumerate(bad[:MAX_LISTED]):
        label = say("Panels ({bad} of {all} not fine)", bad=len(bad), all=expected)
        yield "" if at else label, _panel(panel), True
    if len(bad) > MAX_LISTED:
        yield "", say("and {count} more, see the sheet Panels", count=len(bad) - MAX_LISTED), True
    statuses = book.daily.column(STATUS)
    counts = [f"{statuses.count(status)} {say(status)}" for status in STATUSES if status in statuses]
    yield say("Days"), ", ".join(counts), False
    for status in ("suspect", "partial"):
        if spans := book.spans(status):
            listed = "; ".join(_span(*ends) for ends in spans[-MAX_LISTED:])
            earlier = len(spans) - MAX_LISTED
            more = say("; and {count} earlier, see the sheet Quality", count=earlier) if earlier > 0 else ""
            yield say(f"Days that are {status}"), listed + more, status == "suspect"
    if (measured := book.daily.totals[COVERAGE.name]) is not None:
        yield say("Measured"), say("{share} % of the time", share=number(measured, ".1f")), False


def _panel(panel: Panel) -> str:
    lost = number(panel.lost_kwh, ",.1f") if panel.lost_kwh else ""
    less = say(", {kwh} kWh less than its neighbours", kwh=lost) if lost else ""
    since = say("{state} since {day}", state=say(panel.state or ""), day=language.day(panel.since))
    return f"{panel.name or panel.serial}: {since}{less}"


def _span(since: date, until: date) -> str:
    """Return some days in words: 1 Jan to 25 Nov 2026."""
    if since == until:
        return language.day(since)
    if (since.year, since.month) == (until.year, until.month):
        first = say("{day} {month}", day=since.day, month="").strip()
    else:
        first = language.day(since, year=since.year != until.year)
    return say("{since} to {until}", since=first, until=language.day(until))
