"""Sheets of reports: real dates and numbers, units in the headings, totals that are live.

A totals row has formulas that follow a filter (their values are cached); partial days are shaded; columns that a house
cannot have are left out; pages are A4. The same reports give the same bytes.

Walk: reports.Report -> here -> summary_sheet, exports
"""

import io
import re
import textwrap
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from logger.exports import language
from logger.exports.language import WORDED, say
from logger.exports.terminal import RARE
from logger.exports.text import escape_formula
from logger.reports import Report
from logger.reports.columns import NOTES, STATUS, Column, Ratio, Status

WIDTHS = {"gateway": 16, "day": 12, "serial": 16, NOTES: 46, "compared_with": 26} | dict.fromkeys(
    ("quarter_starts_at", "local_quarter", "hour_starts_at", "local_hour"), 17
)
#: status -> the colour of its rows
SHADES: dict[Status, str] = {"partial": "#FCE8D5", "suspect": "#F6C7C7"}
#: of Excel: they leave out what a filter hides
SUBTOTALS = {"sum": 109, "max": 104, "min": 105}
#: what a page holds: columns, and pixels between the margins of A4 across
PAGE_COLUMNS, PAGE_WIDTH = 12, 1050
#: how many characters of a note stand in a line, and how high it is
NOTES_IN_A_LINE, ROW_HEIGHT = 42, 15
#: how wide a character is where the usual font is missing, in pixels
CHARACTER = 10
#: what no sheet may be called with
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_LONGEST_NAME = 31


def shown(report: Report) -> list[str]:
    """Return the columns that say something: not what this house can't have, nor what never happened."""
    names = []
    for name in report.names:
        cells = set(report.column(name))
        is_known = not cells <= {None, ""} or report.totals.get(name) is not None
        is_single = name == "gateway" and len(cells) <= 1
        is_never = name in {*RARE, "bridged_kwh", "bridged_kwh_then"} and cells <= {None, 0}
        if is_known and not is_single and not is_never:
            names.append(name)
    return names


def numbers(column: Column) -> str:
    """Return the format of a column's numbers."""
    return "#,##0" + (f".{'0' * column.decimals}" if column.decimals else "")


class Table:
    """A report on a sheet: a heading, its rows, and the totals below."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.names = shown(report)  #: of the columns on the sheet
        self.last = max(1, len(report.rows))  #: row of the last record, 0-based; the first is 1
        self.columns = [report.column(name) for name in self.names]  #: the cells of these, and of hidden ones behind

    def formula(self, column: Column) -> str:
        """Return the formula of a column's total, from the column's definition."""
        ratio = column.total
        if not isinstance(ratio, Ratio):
            return f"={self._subtotal(str(ratio), self.names.index(column.name))}"
        numerator, divisors = ratio.terms(self.report.column)
        how = "max" if ratio.per_gateway else "sum"
        above = "-".join(self._subtotal("sum", self._where(values)) for values in numerator)
        below = "+".join(self._subtotal(how, self._where(values)) for values in divisors)
        quotient = f"{ratio.factor:g}*({above})/({below})"
        quotient = f'IF(({below})<=0,"",MAX(0,{quotient}))' if ratio.is_share else f'IF(({below})=0,"",{quotient})'
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
        if cells not in self.columns:
            self.columns.append(cells)
        return self.columns.index(cells)


class Workbook:
    """Collects sheets; ``content`` is the file."""

    def __init__(self, title: str) -> None:
        self._out = io.BytesIO()
        self._book: Any = xlsxwriter.Workbook(
            self._out,
            {
                "in_memory": True,
                "default_date_format": "yyyy-mm-dd",
                "strings_to_formulas": False,
                "strings_to_urls": False,
            },
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
        """Add an empty sheet for A4; a name that no sheet may have is changed."""
        plain = _FORBIDDEN.sub("_", name).strip("'")[:_LONGEST_NAME] or "_"
        taken = {sheet.get_name().lower() for sheet in self._book.worksheets()} | {"history"}
        free = (plain if n == 1 else f"{plain[: _LONGEST_NAME - 4]} ({n})" for n in range(1, 99))
        sheet = self._book.add_worksheet(next(own for own in free if own.lower() not in taken))
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.set_margins(0.4, 0.4, 0.5, 0.5)
        sheet.set_footer("&L&A&R&P / &N")
        return sheet

    def add_chart(self, subtype: str) -> Any:
        """Return a chart of columns."""
        return self._book.add_chart({"type": "column", "subtype": subtype})

    def table(self, title: str, report: Report) -> tuple[str, Table]:
        """Write a report with its totals row on a sheet of its own; return the sheet's name too."""
        sheet, table = self.add_sheet(title), Table(report)
        head = {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#F3F3F3"}
        sheet.set_row(0, 48)
        widths = []
        for x, name in enumerate(table.names):
            column = report.columns.get(name)
            align = {"align": "right" if column else "left", "indent": int(name in {STATUS, NOTES})}
            sheet.write_string(0, x, language.heading(report, name), self.style(**head, **align))
            is_narrow = name == STATUS or (column is not None and column.decimals == 0)
            widths.append(WIDTHS.get(name, 11 if is_narrow else 13.5))
            sheet.set_column(x, x, widths[-1])
            for y, value in enumerate(table.columns[x], start=1):
                if value is not None:
                    self._cell(sheet, y, x, column or name, value)
        self._totals(sheet, table)
        labels = sum(name in report.labels for name in table.names)
        sheet.freeze_panes(1, labels)
        sheet.autofilter(0, 0, table.last, len(table.names) - 1)
        sheet.repeat_rows(0)
        self.paginate(sheet, widths, labels)
        if STATUS in table.names:
            letter = xl_col_to_name(table.names.index(STATUS))
            for status, colour in SHADES.items():
                shade = {
                    "type": "formula",
                    "criteria": f'=${letter}2="{say(status)}"',
                    "format": self.style(bg_color=colour),
                }
                sheet.conditional_format(1, 0, table.last, len(table.names) - 1, shade)
        return sheet.get_name(), table

    def paginate(self, sheet: Any, widths: Sequence[float], labels: int) -> None:
        """Break pages so that none has more than ``PAGE_COLUMNS``; each begins with the labels."""
        rest = len(widths) - labels
        pages = -(-rest // (PAGE_COLUMNS - labels))
        each = -(-rest // pages) if pages else 0
        sheet.repeat_columns(0, labels - 1)
        if pages <= 1:
            sheet.fit_to_pages(1, 0)
            return
        starts = range(labels, len(widths), each)
        widest = max(sum(widths[start : start + each]) for start in starts) + sum(widths[:labels])
        sheet.print_across()  # What belongs to a row comes one after another.
        sheet.set_print_scale(max(40, min(100, int(100 * PAGE_WIDTH / (CHARACTER * widest)))))
        sheet.set_v_pagebreaks(list(starts)[1:])

    def _cell(self, sheet: Any, y: int, x: int, column: Column | str, value: Any) -> None:
        if isinstance(column, Column):
            sheet.write_number(y, x, value, self.number_style(column, valign="top"))
        elif isinstance(value, date):
            hours = " hh:mm" if isinstance(value, datetime) else ""
            sheet.write_datetime(y, x, value, self.style(num_format=f"yyyy-mm-dd{hours}", align="left", valign="top"))
        elif column == NOTES:
            lines = len(textwrap.wrap(value, NOTES_IN_A_LINE))
            if lines > 1:  # Not every program grows a row by itself.
                sheet.set_row(y, ROW_HEIGHT * lines)
            sheet.write_string(y, x, escape_formula(value), self.style(indent=1, text_wrap=True, valign="top"))
        else:
            shown_value = say(value) if column in WORDED else escape_formula(value)
            sheet.write(y, x, shown_value, self.style(indent=int(column == STATUS), align="left", valign="top"))

    def number_style(self, column: Column, **look: Any) -> Any:
        """Return the format of a column's cells."""
        return self.style(num_format=numbers(column), **look)

    def _totals(self, sheet: Any, table: Table) -> None:
        """Write live formulas below the rows, with their values for viewers that don't compute."""
        y, look, width = table.last + 1, {"bold": True, "top": 1}, len(table.names)
        sheet.write_string(y, 0, say("Total"), self.style(**look))
        for x, name in enumerate(table.names[1:], start=1):
            column = table.report.columns.get(name)
            total = table.report.totals[name] if column else None
            if column is None or total is None:
                sheet.write_blank(y, x, None, self.style(**look))
            else:
                sheet.write_formula(y, x, table.formula(column), self.number_style(column, **look), total)
        for x, cells in enumerate(table.columns[width:], start=width):
            sheet.set_column(x, x, None, None, {"hidden": True})
            sheet.write_column(1, x, ["" if value is None else value for value in cells])
        sheet.print_area(0, 0, y, width - 1)


def single(report: Report) -> bytes:
    """Return a workbook of one sheet."""
    book = Workbook(report.kind)
    book.table(say(report.kind.capitalize()), report)
    return book.content()
