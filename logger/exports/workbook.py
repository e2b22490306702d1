"""A workbook: Summary, Daily, Monthly, Yearly, Inverters, Quality and About, ready to read.

Real dates and numbers, units in the headings, a totals row of live formulas with their values
cached, partial days shaded, native charts. The same reports give the same bytes.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import xlsxwriter

from logger import __version__
from logger.exports.cells import disarmed, heading, is_unknown
from logger.reports.columns import COLUMNS, NOTES, STATUS, TEXTS
from logger.reports.tables import COVERED_PCT, Report

if TYPE_CHECKING:
    import pandas as pd

SHEETS = ("Summary", "Daily", "Monthly", "Yearly", "Inverters", "Quality", "About")
KIND_OF = {"daily": "Daily", "monthly": "Monthly", "yearly": "Yearly", "hourly": "Hourly"}
#: ratios of a totals row: (numerator minus subtrahend) over the divisor, in percent
RATIOS = {
    "self_consumption_pct": ("self_consumption_kwh", None, "production_kwh"),
    "self_sufficiency_pct": ("consumption_kwh", "grid_import_kwh", "consumption_kwh"),
}
WIDTHS = {"gateway": 16, "day": 12, "hour_starts_at": 17, "local_hour": 17, "serial": 16, NOTES: 46}
#: columns of small whole numbers
NARROW = {"polls", "polls_failed", "gaps", "resets", "wraps", "dips", "suspects", "stalls",
          "source_changes", "missing_s", STATUS}  # fmt: skip
COLOURS = {
    "self_consumption_kwh": "#F2A900",
    "grid_export_kwh": "#7FB069",
    "grid_import_kwh": "#4A6FA5",
    "energy_kwh": "#F2A900",
    "coverage_pct": "#4A6FA5",
}
ABOUT = (
    "Energy is the difference of lifetime counters, never power times an interval.",
    "Ratios come from summed energies; they are empty where an input is missing.",
    f"Shaded rows are days of which less than {COVERED_PCT:.0f} % was measured.",
    "Coverage is the part of a period that was measured at the normal cadence.",
    "Bridged is how much of the production came from one difference over an outage.",
    "Days are those of the gateway's time zone. An empty cell is not known; it is not zero.",
)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a frame lies on its sheet: data rows ``first`` to ``last`` (0-based)."""

    sheet: str
    names: list[str]
    first: int
    last: int

    def column(self, name: str) -> int:
        """Return the column's index."""
        return self.names.index(name)

    def series(self, name: str, labels: str) -> dict[str, Any]:
        """Return a chart's series of a column."""
        x, label = self.column(name), self.column(labels)
        made: dict[str, Any] = {
            "name": COLUMNS[name].title,
            "categories": [self.sheet, self.first, label, self.last, label],
            "values": [self.sheet, self.first, x, self.last, x],
        }
        if name in COLOURS:
            made["fill"] = {"color": COLOURS[name]}
            made["line"] = {"color": COLOURS[name]}
        return made


class Workbook:
    """Collects sheets; ``content`` is the file."""

    def __init__(self, title: str) -> None:
        self._out = io.BytesIO()
        self._book: Any = xlsxwriter.Workbook(
            self._out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        )
        # A fixed date, so that the same reports give the same bytes.
        created = datetime(2000, 1, 1)  # noqa: DTZ001 - the format knows no zone
        self._book.set_properties({"title": title, "created": created})
        self._formats: dict[tuple[Any, ...], Any] = {}

    def content(self) -> bytes:
        """Return the finished file."""
        self._book.close()
        return self._out.getvalue()

    def style(self, **properties: Any) -> Any:
        """Return a cell format, made once."""
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

    def table(self, name: str, frame: "pd.DataFrame", sheet: Any = None) -> Placed:
        """Write a frame with its totals row on a sheet of its own."""
        sheet = sheet or self.add_sheet(name)
        names = [str(one) for one in frame.columns]
        placed = Placed(name, names, 1, max(1, len(frame)))
        look = {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1}
        head = self.style(**look, bg_color="#F3F3F3", indent=0)
        number_head = self.style(**look, bg_color="#F3F3F3", align="right")
        sheet.set_row(0, 48)
        for x, one in enumerate(names):
            style = number_head if one in COLUMNS else head
            sheet.write_string(0, x, heading(one), style)
            sheet.set_column(x, x, WIDTHS.get(one, 10.5 if one in NARROW else 14))
        for y, record in enumerate(frame.itertuples(index=False, name=None), start=1):
            for x, value in enumerate(record):
                self._cell(sheet, y, x, names[x], value)
        self._totals(sheet, placed, frame)
        sheet.freeze_panes(1, 2)
        sheet.autofilter(0, 0, placed.last, len(names) - 1)
        sheet.repeat_rows(0)
        if "coverage_pct" in names:
            self._shade(sheet, placed)
        return placed

    def _cell(self, sheet: Any, y: int, x: int, name: str, value: Any) -> None:
        if is_unknown(value):
            return
        if isinstance(value, datetime):
            sheet.write_datetime(y, x, value, self.style(num_format="yyyy-mm-dd hh:mm"))
        elif isinstance(value, date):
            sheet.write_datetime(y, x, value, self.style(num_format="yyyy-mm-dd"))
        elif isinstance(value, str):
            look: dict[str, Any] = {"indent": 1} if name in {STATUS, NOTES} else {}
            if name == NOTES:
                look |= {"text_wrap": True, "valign": "top"}
            sheet.write_string(y, x, disarmed(value), self.style(**look))
        else:
            sheet.write_number(y, x, value, self.style(num_format=_number_format(name)))

    def _totals(self, sheet: Any, placed: Placed, frame: "pd.DataFrame") -> None:
        """Write live formulas below the data, with their values for viewers that don't compute."""
        y = placed.last + 1
        bold = {"bold": True, "top": 1}
        sheet.write_string(y, 0, "Total", self.style(**bold))
        for x, name in enumerate(placed.names[1:], start=1):
            found = total_of(name, frame)
            style = self.style(num_format=_number_format(name), **bold)
            if found is None or math.isnan(found):
                sheet.write_blank(y, x, None, style)
            else:
                sheet.write_formula(y, x, _formula(name, placed), style, found)

    def _shade(self, sheet: Any, placed: Placed) -> None:
        letter = column_letter(placed.column("coverage_pct"))
        rule = f"=AND(ISNUMBER(${letter}2),${letter}2<{COVERED_PCT:.0f})"
        sheet.conditional_format(
            1, 0, placed.last, len(placed.names) - 1,
            {"type": "formula", "criteria": rule, "format": self.style(bg_color="#FCE8D5")},
        )  # fmt: skip

    def chart(
        self,
        sheet: Any,
        at: tuple[int, int],
        placed: Placed,
        names: Sequence[str],
        labels: str,
        title: str,
        kind: str = "column",
    ) -> None:
        """Put a native chart of some columns on a sheet."""
        options = {"type": kind}
        if kind == "column":
            options["subtype"] = "stacked"
        chart: Any = self._book.add_chart(options)
        for name in names:
            chart.add_series({**placed.series(name, labels), "gap": 40})
        unit = COLUMNS[names[0]].title.rpartition("(")[2].rstrip(")")
        chart.set_title({"name": title, "name_font": {"size": 12}})
        values: dict[str, Any] = {
            "name": unit,
            "major_gridlines": {"visible": True, "line": {"color": "#E0E0E0"}},
        }
        if names[0] == "coverage_pct":
            values |= {"min": 0, "max": 100}
        axis: dict[str, Any] = {"num_font": {"size": 8}}
        if labels == "day":
            axis |= {"date_axis": True, "num_format": "d mmm"}
        if kind == "bar":
            # Bars lie: what is across is their value. The best comes first, from above.
            chart.set_x_axis(values | {"label_position": "high"})
            chart.set_y_axis(axis | {"reverse": True})
        else:
            chart.set_x_axis(axis)
            chart.set_y_axis(values)
        chart.set_legend({"position": "bottom"} if len(names) > 1 else {"none": True})
        chart.set_size({"width": 860, "height": 320 if kind != "bar" else max(320, 22 * (
            placed.last - placed.first + 4))})  # fmt: skip
        sheet.insert_chart(*at, chart)


def _number_format(name: str) -> str:
    column = COLUMNS.get(name)
    return "0." + "0" * column.decimals if column and column.decimals else "0"


def column_letter(index: int) -> str:
    """Return a column's letters: A, B, … Z, AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def total_of(name: str, frame: "pd.DataFrame") -> float | None:
    """Return a column's total as its formula would; None where it has none."""
    column = COLUMNS.get(name)
    if column is None or column.total == "none":
        return None
    if name in RATIOS:
        above, minus, below = (frame[one].sum() if one else 0.0 for one in RATIOS[name])
        return 100 * (above - minus) / below if below else None
    values = frame[name].dropna()
    if values.empty:
        return None
    how = {"sum": values.sum, "max": values.max, "ratio": values.mean}[column.total]
    return float(how())


def _formula(name: str, placed: Placed) -> str:
    def over(function: int, one: str) -> str:
        letter = column_letter(placed.column(one))
        return f"SUBTOTAL({function},{letter}{placed.first + 1}:{letter}{placed.last + 1})"

    if name in RATIOS:
        above, minus, below = RATIOS[name]
        difference = over(109, above) + (f"-{over(109, minus)}" if minus else "")
        return f'=IF({over(109, below)}=0,"",100*({difference})/{over(109, below)})'
    return "=" + over({"sum": 109, "max": 104, "ratio": 101}[COLUMNS[name].total], name)


def full(reports: dict[str, Report], ranking: Report) -> bytes:
    """Return the workbook of a range.

    ``reports`` has daily, monthly, yearly and quality; ``ranking`` a row per inverter.
    """
    daily = reports["daily"]
    gateways = ", ".join(dict.fromkeys(daily.column("gateway")))
    days = daily.column("day")
    title = f"{gateways}: energy from {min(days)} to {max(days)}"
    book = Workbook(title)
    summary = book.add_sheet("Summary")
    placed = {
        kind: book.table(KIND_OF[kind], reports[kind].frame)
        for kind in ("daily", "monthly", "yearly")
    }
    if ranking.rows:
        sheet = book.add_sheet("Inverters")
        units = book.table("Inverters", ranking.frame, sheet)
        if len(set(ranking.column("gateway"))) == 1:
            book.chart(sheet, (1, len(units.names) + 1), units, ["energy_kwh"], "serial",
                       "Inverters, best first", "bar")  # fmt: skip
    quality = book.table("Quality", reports["quality"].frame)
    _summary(book, summary, title, daily, placed, quality)
    _about(book, title)
    return book.content()


def single(report: Report) -> bytes:
    """Return a workbook of one sheet."""
    book = Workbook(report.kind)
    book.table(KIND_OF.get(report.kind, report.kind.capitalize()), report.frame)
    return book.content()


def _summary(
    book: Workbook,
    sheet: Any,
    title: str,
    daily: Report,
    placed: dict[str, Placed],
    quality: Placed,
) -> None:
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 14)
    sheet.set_column(2, 2, 10)
    sheet.write_string(0, 0, title, book.style(bold=True, font_size=14))
    y = 2
    for name, column in COLUMNS.items():
        if name not in daily.frame.columns or name == "bridged_kwh":
            continue
        found = total_of(name, daily.frame)
        words, _, unit = column.title.rpartition(" (")
        sheet.write_string(y, 0, words)
        if found is not None and not math.isnan(found):
            # The same number as below the days.
            cell = f"=Daily!{column_letter(placed['daily'].column(name))}{placed['daily'].last + 2}"
            sheet.write_formula(y, 1, cell, book.style(num_format=_number_format(name)), found)
            sheet.write_string(y, 2, unit.rstrip(")"), book.style(indent=1))
        else:
            sheet.write_string(y, 1, "not known", book.style(align="right"))
        y += 1
    states = daily.frame[STATUS].value_counts()
    for state in ("final", "partial", "provisional"):
        sheet.write_string(y, 0, f"Days {state}")
        sheet.write_number(y, 1, int(states.get(state, 0)))
        y += 1
    y += 1
    flows = [
        one
        for one in ("self_consumption_kwh", "grid_export_kwh", "grid_import_kwh")
        if daily.frame[one].notna().any()
    ] or ["production_kwh"]
    if len(set(daily.column("gateway"))) == 1:
        for kind, labels, words in (
            ("daily", "day", "Each day"), ("monthly", "month", "Each month")
        ):  # fmt: skip
            book.chart(sheet, (y, 0), placed[kind], flows, labels, words)
            y += 17
            if kind == "daily":
                sheet.set_h_pagebreaks([y])  # A chart stays on one page.
        book.chart(sheet, (y, 0), quality, ["coverage_pct"], "day", "How much was measured", "line")


def _about(book: Workbook, title: str) -> None:
    sheet = book.add_sheet("About")
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, title, book.style(bold=True, font_size=14))
    sheet.write_string(1, 0, f"Made by envoylog {__version__}")
    y = 3
    for line in ABOUT:
        sheet.write_string(y, 0, line)
        y += 1
    y += 1
    wrapped = book.style(text_wrap=True, valign="top")
    for name, words in TEXTS.items():
        sheet.write_string(y, 0, heading(name), book.style(bold=True, valign="top"))
        sheet.write_string(y, 1, words, wrapped)
        y += 1
