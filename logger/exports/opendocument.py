"""A report as an OpenDocument sheet, with the columns, formats and live totals of a workbook's.

Walk: reports.Report -> workbook.Table -> here -> exports
"""

import io
import re
from datetime import date, datetime
from typing import Any

from odf import number, style, table, text
from odf.opendocument import OpenDocumentSpreadsheet

from logger.exports import language
from logger.exports.language import WORDED, say
from logger.exports.text import escape_formula
from logger.exports.workbook import WIDTHS, Table
from logger.reports import Report
from logger.reports.columns import Column

#: characters of a column, and in a cm; what a page is wide, and how small it may get
WIDTH, IN_A_CM, PAGE_CM, LEAST_PCT = 12.5, 5, 27.3, 55
#: above numbers, and above what names a row
HEADS = ("head", "label")
#: Text stands apart from the numbers before it.
ALIGNED = {
    "head": {"textalign": "end"},
    "label": {"textalign": "start", "marginleft": "0.15cm"},
    "date": {"textalign": "start", "marginleft": "0.15cm"},
    "time": {"textalign": "start", "marginleft": "0.15cm"},
    "text": {"textalign": "start", "marginleft": "0.15cm"},
    "total": {"textalign": "start", "marginleft": "0.15cm"},
}
_CELLS = re.compile(r"\b([A-Z]+\d+):([A-Z]+\d+)\b")


def sheet(report: Report) -> bytes:
    """Return the file."""
    document, own = OpenDocumentSpreadsheet(), Table(report)
    _lay_out(document, sum(WIDTHS.get(name, WIDTH) for name in own.names))
    styles = _Styles(document)
    rows = [_row(language.heading(report, name) for name in own.names)]
    for head, name in zip(rows[0].childNodes, own.names, strict=True):
        head.setAttribute("stylename", styles.of("head" if name in report.columns else "label"))
    totals = [_total(own, styles, name) for name in own.names]
    formats = [styles.of(report.columns.get(name)) for name in own.names]
    plain = styles.of(None)
    for y in range(len(report.rows)):
        row = table.TableRow()
        for x, cells in enumerate(own.columns):
            value = say(cells[y]) if x < len(own.names) and own.names[x] in WORDED and cells[y] else cells[y]
            row.addElement(_cell(value, formats[x] if x < len(formats) else plain, styles))
        rows.append(row)
    last = table.TableRow()
    for cell in totals:
        last.addElement(cell)
    result = table.Table(name=say(report.kind.capitalize()))
    for x in range(len(own.columns)):
        name = own.names[x] if x < len(own.names) else ""
        result.addElement(table.TableColumn(**styles.width(WIDTHS.get(name, WIDTH), hidden=x >= len(own.names))))
    # Formulas are made last, and know of the columns that they need.
    heads = table.TableHeaderRows()
    heads.addElement(rows[0])
    for element in [heads, *rows[1:], last]:
        result.addElement(element)
    document.spreadsheet.addElement(result)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def _lay_out(document: Any, characters: float) -> None:
    """Have pages of A4 across, and columns of so many characters on one of them while they can be read."""
    page = style.PageLayout(name="page")
    size = {"pagewidth": "29.7cm", "pageheight": "21cm", "printorientation": "landscape", "margin": "1.2cm"}
    size["scaleto"] = f"{max(LEAST_PCT, min(100, int(100 * PAGE_CM / (characters / IN_A_CM))))}%"
    page.addElement(style.PageLayoutProperties(**size))
    document.automaticstyles.addElement(page)
    document.masterstyles.addElement(style.MasterPage(name="Default", pagelayoutname=page))


class _Styles:
    """The styles of a document, each made once."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._made: dict[Any, Any] = {}

    def of(self, what: Column | str | None, *, bold: bool = False) -> Any:
        """Return the style of a column's cells, of a ``date``, a ``time`` or ``text``, or of a heading."""
        digits = what.decimals if isinstance(what, Column) else what
        key = (digits, bold)
        if key not in self._made:
            self._made[key] = self._make(digits, bold=bold)
        return self._made[key]

    def width(self, characters: float, *, hidden: bool) -> dict[str, Any]:
        """Return what a column of some width is made with."""
        key = ("width", characters)
        if key not in self._made:
            own = style.Style(name=f"width{len(self._made)}", family="table-column")
            own.addElement(style.TableColumnProperties(columnwidth=f"{characters / IN_A_CM:.2f}cm"))
            self._document.automaticstyles.addElement(own)
            self._made[key] = own
        return {"stylename": self._made[key], **({"visibility": "collapse"} if hidden else {})}

    def _make(self, what: Any, *, bold: bool) -> Any:
        name = f"cell{len(self._made)}"
        form: Any = None
        if isinstance(what, int):
            form = number.NumberStyle(name=f"{name}format")
            form.addElement(number.Number(decimalplaces=what, minintegerdigits=1, grouping="true"))
        elif what in {"date", "time"}:
            form = number.DateStyle(name=f"{name}format")
            parts = [number.Year(style="long"), "-", number.Month(style="long"), "-", number.Day(style="long")]
            if what == "time":
                parts += [" ", number.Hours(style="long"), ":", number.Minutes(style="long")]
            for part in parts:
                form.addElement(number.Text(text=part) if isinstance(part, str) else part)
        if form is not None:
            self._document.automaticstyles.addElement(form)
        own = style.Style(name=name, family="table-cell", **({} if form is None else {"datastylename": form}))
        if bold or what in HEADS:
            own.addElement(style.TextProperties(fontweight="bold"))
        if what in HEADS:
            look = {"wrapoption": "wrap", "backgroundcolor": "#F3F3F3", "verticalalign": "top"}
            own.addElement(style.TableCellProperties(**look))
        if what in ALIGNED:
            own.addElement(style.ParagraphProperties(**ALIGNED[what]))
        self._document.automaticstyles.addElement(own)
        return own


def _row(values: Any) -> Any:
    row = table.TableRow()
    for value in values:
        row.addElement(_text(value))
    return row


def _text(value: str, **look: Any) -> Any:
    cell = table.TableCell(valuetype="string", **look)
    cell.addElement(text.P(text=escape_formula(value)))
    return cell


def _cell(value: Any, form: Any, styles: _Styles) -> Any:
    if value is None or value == "":
        return table.TableCell()
    if isinstance(value, date):
        is_time = isinstance(value, datetime)
        return table.TableCell(
            valuetype="date", datevalue=value.isoformat(), stylename=styles.of("time" if is_time else "date")
        )
    if isinstance(value, (int, float)):
        return table.TableCell(valuetype="float", value=repr(value), stylename=form)
    return _text(str(value), stylename=styles.of("text"))


def _total(own: Table, styles: _Styles, name: str) -> Any:
    """Return the cell below a column: what it adds up to, with its formula."""
    if name == own.names[0]:
        return _text(say("Total"), stylename=styles.of("total", bold=True))
    column = own.report.columns.get(name)
    total = own.report.totals[name] if column else None
    if column is None or total is None:
        return table.TableCell()
    formula = _CELLS.sub(r"[.\1:.\2]", own.formula(column)).replace(",", ";")
    look = styles.of(column, bold=True)
    return table.TableCell(valuetype="float", value=repr(total), formula=f"of:{formula}", stylename=look)
