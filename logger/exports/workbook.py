"""A workbook: Summary, Daily, Monthly, Yearly, Battery, Inverters, Quality and About, ready to read.

Real dates and numbers, units in the headings, a totals row of live formulas that follow a filter (their values are
cached), partial days shaded, native charts. The same reports give the same bytes.

Walk: reports.Report -> here -> exports
"""

import io
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell

from logger import __version__
from logger.exports.text import escape_formula
from logger.reports import Report
from logger.reports.columns import BATTERY, ENERGY, NOTES, STATUS, STATUSES, Column, Ratio, Status

WIDTHS = {"gateway": 16, "day": 12, "serial": 16, NOTES: 46} | dict.fromkeys(
    ("quarter_starts_at", "local_quarter", "hour_starts_at", "local_hour"), 17
)
COLOURS = {
    "production_kwh": "#F2A900",
    "self_consumption_kwh": "#F2A900",
    "grid_export_kwh": "#7FB069",
    "grid_import_kwh": "#4A6FA5",
    "energy_kwh": "#F2A900",
    "charge_kwh": "#4A6FA5",
    "discharge_kwh": "#7FB069",
    "coverage_pct": "#4A6FA5",
}
#: status -> the colour of its rows
SHADES: dict[Status, str] = {"partial": "#FCE8D5", "suspect": "#F6C7C7"}
#: of Excel: they leave out what a filter hides
SUBTOTALS = {"sum": 109, "max": 104, "min": 105}
ABOUT = (
    "Energy is the difference of lifetime counters, never power times an interval.",
    "Ratios come from summed energies; they are empty where an input is missing.",
    "Shaded rows are partial; red ones are suspect, and the sheet Quality has what to look at.",
    "Days are those of the gateway's time zone. An empty cell is not known; it is not zero.",
    "Totals follow the filter of their sheet; hidden columns at its end hold what they weigh by.",
)


class Table:
    """A report on a sheet: a heading, its rows, and the totals below."""

    def __init__(self, sheet: Any, report: Report) -> None:
        self.sheet, self.report = sheet, report
        self.last = max(1, len(report.rows))  #: row of the last record, 0-based; the first is 1
        self._columns = [report.column(name) for name in report.names]

    def span(self, name: str) -> list[Any]:
        """Return a column's cells, as a chart wants them."""
        x = self.report.names.index(name)
        return [self.sheet.get_name(), 1, x, self.last, x]

    def formula(self, column: Column) -> str:
        """Return the formula of a column's total, from the column's definition."""
        ratio = column.total
        if not isinstance(ratio, Ratio):
            return f"={self._subtotal(str(ratio), self.report.names.index(column.name))}"
        numerator, divisors = ratio.terms(self.report.column)
        how = "max" if ratio.per_gateway else "sum"
        above = "-".join(self._subtotal("sum", self._where(values)) for values in numerator)
        below = "+".join(self._subtotal(how, self._where(values)) for values in divisors)
        quotient = f'IF(({below})=0,"",{ratio.factor:g}*({above})/({below}))'
        if ratio.least is None:
            return f"={quotient}"
        first = self._subtotal("sum", self._where(numerator[0]))
        least = self._subtotal("max", self._where(self.report.column(ratio.least)))
        return f'=IF({first}<{least},"",{quotient})'

    def _subtotal(self, how: str, x: int) -> str:
        letter = xl_col_to_name(x)
        return f"SUBTOTAL({SUBTOTALS[how]},{letter}2:{letter}{self.last + 1})"

    def _where(self, values: Sequence[Any]) -> int:
        """Return the column that holds some numbers; what is not shown gets a hidden one."""
        cells = list(values)
        if cells not in self._columns:
            x = len(self._columns)
            self._columns.append(cells)
            self.sheet.set_column(x, x, None, None, {"hidden": True})
            self.sheet.write_column(1, x, ["" if value is None else value for value in cells])
        return self._columns.index(cells)


class Workbook:
    """Collects sheets; ``content`` is the file."""

    def __init__(self, title: str) -> None:
        self._out = io.BytesIO()
        self._book: Any = xlsxwriter.Workbook(
            self._out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        # The same reports give the same bytes.
        created = datetime(2000, 1, 1)  # noqa: DTZ001 - the format knows no zone
        self._book.set_properties({"title": title, "created": created})
        self._formats: dict[tuple[Any, ...], Any] = {}

    def content(self) -> bytes:
        """Return the finished file."""
        self._book.close()
        return self._out.getvalue()

    def style(self, **properties: Any) -> Any:
        """Return a cell format; the same one for the same properties."""
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self._book.add_format(properties)
        return self._formats[key]

    def add_sheet(self, name: str) -> Any:
        """Add an empty sheet that prints well."""
        sheet = self._book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(0.4, 0.4, 0.5, 0.5)
        sheet.set_footer("&L&A&R&P / &N")
        return sheet

    def table(self, title: str, report: Report) -> Table:
        """Write a report with its totals row on a sheet of its own."""
        table = Table(self.add_sheet(title), report)
        sheet = table.sheet
        head = {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#F3F3F3"}
        sheet.set_row(0, 48)
        for x, name in enumerate(report.names):
            column, cells = report.columns.get(name), report.column(name)
            align = {"align": "right" if column else "left", "indent": int(name in {STATUS, NOTES})}
            sheet.write_string(0, x, report.heading(name), self.style(**head, **align))
            is_narrow = name == STATUS or (column is not None and column.decimals == 0)
            # Nobody without a battery wants to see two empty columns.
            hidden = {"hidden": not any(value is not None for value in cells)}
            sheet.set_column(x, x, WIDTHS.get(name, 10.5 if is_narrow else 14), None, hidden)
            for y, value in enumerate(cells, start=1):
                if value is not None:
                    self._cell(sheet, y, x, column or name, value)
        self._totals(table)
        sheet.freeze_panes(1, 2)
        sheet.autofilter(0, 0, table.last, len(report.names) - 1)
        sheet.repeat_rows(0)
        if STATUS in report.names:
            letter = xl_col_to_name(report.names.index(STATUS))
            for status, colour in SHADES.items():
                shade = {
                    "type": "formula",
                    "criteria": f'=${letter}2="{status}"',
                    "format": self.style(bg_color=colour),
                }
                sheet.conditional_format(1, 0, table.last, len(report.names) - 1, shade)
        return table

    def _cell(self, sheet: Any, y: int, x: int, column: Column | str, value: Any) -> None:
        if isinstance(column, Column):
            sheet.write_number(y, x, value, self.number_style(column))
        elif isinstance(value, date):
            hours = " hh:mm" if isinstance(value, datetime) else ""
            sheet.write_datetime(y, x, value, self.style(num_format=f"yyyy-mm-dd{hours}", align="left"))
        elif column == NOTES:
            sheet.write_string(y, x, escape_formula(value), self.style(indent=1, text_wrap=True, valign="top"))
        else:
            sheet.write(y, x, escape_formula(value), self.style(indent=int(column == STATUS), align="left"))

    def number_style(self, column: Column, **look: Any) -> Any:
        """Return the format of a column's numbers."""
        return self.style(num_format=f"{0:.{column.decimals}f}", **look)

    def _totals(self, table: Table) -> None:
        """Write live formulas below the rows, with their values for viewers that don't compute."""
        y, look = table.last + 1, {"bold": True, "top": 1}
        table.sheet.write_string(y, 0, "Total", self.style(**look))
        for x, name in enumerate(table.report.names[1:], start=1):
            column = table.report.columns.get(name)
            total = table.report.totals[name] if column else None
            if column is None or total is None:
                table.sheet.write_blank(y, x, None, self.style(**look))
            else:
                table.sheet.write_formula(y, x, table.formula(column), self.number_style(column, **look), total)

    def chart(
        self, sheet: Any, at: tuple[int, int], table: Table, names: Sequence[str], labels: str,
        title: str, kind: str = "column",
    ) -> None:  # fmt: skip
        """Put a native chart of some columns on a sheet."""
        subtype = "stacked" if kind == "column" else None
        chart = self._book.add_chart({"type": kind, "subtype": subtype})
        for name in names:
            series = {"name": table.report.columns[name].title, "categories": table.span(labels), "gap": 40}
            colour = {"color": COLOURS[name]}
            chart.add_series(series | {"values": table.span(name), "fill": colour, "line": colour})
        unit = table.report.columns[names[0]].unit
        lines = {"visible": True, "line": {"color": "#E0E0E0"}}
        values = {"name": unit, "min": 0, "max": 100 if unit == "%" else None, "major_gridlines": lines}
        axis: dict[str, Any] = {"num_font": {"size": 8}, "date_axis": labels == "day", "num_format": "d mmm"}
        if kind == "bar":
            # Bars lie: what is across is their value. The best comes first, from above.
            axis, values = values | {"label_position": "high"}, axis | {"reverse": True}
        chart.set_x_axis(axis)
        chart.set_y_axis(values)
        chart.set_title({"name": title, "name_font": {"size": 12}})
        chart.set_legend({"position": "bottom"} if len(names) > 1 else {"none": True})
        height = max(320, 22 * (table.last + 3)) if kind == "bar" else 320
        chart.set_size({"width": 860, "height": height})
        sheet.insert_chart(*at, chart)


def full(reports: dict[str, Report], ranking: Report) -> bytes:
    """Return the workbook of a range.

    ``reports`` has daily, monthly, yearly and quality, and battery where there is one; ``ranking`` a row per inverter.
    """
    daily = reports["daily"]
    gateways = ", ".join(dict.fromkeys(daily.column("gateway")))
    days = daily.column("day")
    title = f"{gateways}: energy from {min(days)} to {max(days)}"
    book = Workbook(title)
    summary = book.add_sheet("Summary")
    tables = {kind: book.table(kind.capitalize(), reports[kind]) for kind in ("daily", "monthly", "yearly")}
    if "battery" in reports:
        tables["battery"] = book.table("Battery", reports["battery"])
    if ranking.rows:
        inverters = book.table("Inverters", ranking)
        if len(set(ranking.column("gateway"))) == 1:
            book.chart(inverters.sheet, (1, len(ranking.names) + 1), inverters, ["energy_kwh"],
                       "serial", "Inverters, best first", "bar")  # fmt: skip
    tables["quality"] = book.table("Quality", reports["quality"])
    _summary(book, summary, title, tables)
    _about(book, title, has_battery="battery" in reports)
    return book.content()


def single(report: Report) -> bytes:
    """Return a workbook of one sheet."""
    book = Workbook(report.kind)
    book.table(report.kind.capitalize(), report)
    return book.content()


def _summary(book: Workbook, sheet: Any, title: str, tables: dict[str, Table]) -> None:
    daily = tables["daily"].report
    for x, width in enumerate((30, 14, 10)):
        sheet.set_column(x, x, width)
    sheet.write_string(0, 0, title, book.style(bold=True, font_size=14))
    y = 2
    for name, column in daily.columns.items():
        total = daily.totals[name]
        if total is None and name.startswith("battery_"):
            continue
        sheet.write_string(y, 0, column.title)
        if total is None:
            sheet.write_string(y, 1, "not known", book.style(align="right"))
        else:
            # The same number as below the days.
            cell = xl_rowcol_to_cell(tables["daily"].last + 1, daily.names.index(name))
            sheet.write_formula(y, 1, f"=Daily!{cell}", book.number_style(column), total)
            sheet.write_string(y, 2, column.unit or "", book.style(indent=1))
        y += 1
    for status in STATUSES:
        sheet.write_row(y, 0, [f"Days {status}", daily.column(STATUS).count(status)])
        y += 1
    if len(set(daily.column("gateway"))) > 1:
        return
    flows = ["self_consumption_kwh", "grid_export_kwh", "grid_import_kwh"]
    known = [name for name in flows if daily.totals[name] is not None] or ["production_kwh"]
    for kind, names, labels, words, look in (
        ("daily", known, "day", "Each day", "column"),
        ("monthly", known, "month", "Each month", "column"),
        ("battery", ["charge_kwh", "discharge_kwh"], "day", "What the battery took and gave", "column"),
        ("quality", ["coverage_pct"], "day", "How much was measured", "line"),
    ):
        if kind not in tables:
            continue
        book.chart(sheet, (y + 1, 0), tables[kind], names, labels, words, look)
        y += 17
        if kind == "daily":
            sheet.set_h_pagebreaks([y + 1])  # A chart stays on one page.


def _about(book: Workbook, title: str, *, has_battery: bool) -> None:
    sheet = book.add_sheet("About")
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, title, book.style(bold=True, font_size=14))
    sheet.write_string(1, 0, f"Made by envoylog {__version__}")
    for y, line in enumerate(ABOUT, start=3):
        sheet.write_string(y, 0, line)
    meanings = [(column.heading, column.meaning) for column in ENERGY]
    if has_battery:
        meanings += [(f"{column.heading} of a battery", column.meaning) for column in BATTERY]
    meanings += [(f"Status {status}", meaning) for status, meaning in STATUSES.items()]
    for y, (heading, meaning) in enumerate(meanings, start=4 + len(ABOUT)):
        sheet.write_string(y, 0, heading, book.style(bold=True, valign="top"))
        sheet.write_string(y, 1, meaning, book.style(text_wrap=True, valign="top"))
