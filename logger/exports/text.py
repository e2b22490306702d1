"""Reports as text: csv, json and Markdown; and what every format for people shares.

csv and json hold the bare columns for programs; totals and headings are for people.

Walk: reports.Report -> here -> exports
"""

import csv
import io
import json
from datetime import date, datetime
from typing import Any

from logger.exports import language
from logger.exports.language import WORDED, say
from logger.reports import Report
from logger.settings.document import LANGUAGES

#: How people see what is not known.
UNKNOWN = "\N{EN DASH}"
#: Text that a spreadsheet would run as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
#: where spreadsheets want a decimal comma, and a semicolon between cells; some of these speak no language of ours
COMMA_LOCALES = (*LANGUAGES[1:], "pt", "da", "sv", "nb", "fi", "pl", "cs")
LOCALES = ("en", *COMMA_LOCALES)


def to_csv(report: Report, locale: str | None = None) -> bytes:
    """Return comma-separated values, one header line, no totals; empty where unknown.

    With a ``locale`` it is for a spreadsheet there: a byte-order mark, so that Excel reads UTF-8, and for most of
    Europe semicolons and decimal commas.
    """
    comma = locale in COMMA_LOCALES
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";" if comma else ",", lineterminator="\n")
    writer.writerow(report.names)
    for row in report.rows:
        cells = [escape_formula(_plain(value)) for value in row]
        if comma:
            cells = [str(cell).replace(".", ",") if type(cell) is float else cell for cell in cells]
        writer.writerow(cells)
    return out.getvalue().encode("utf-8-sig" if locale else "utf-8")


def to_json(report: Report) -> bytes:
    """Return a list of records, one per period; null where unknown."""
    records = [dict(zip(report.names, map(_plain, row), strict=True)) for row in report.rows]
    return (json.dumps(records, indent=2, ensure_ascii=False) + "\n").encode()


def to_markdown(report: Report) -> bytes:
    """Return a Markdown table with its totals row; numbers are aligned to the right."""
    names = report.names
    rules = ["---:" if name in report.columns else "---" for name in names]
    rows = [[language.heading(report, name) for name in names], rules]
    rows += [[cell.replace("|", "\\|") for cell in row] for row in text_cells(report)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).encode()


def text_cells(report: Report) -> list[list[str]]:
    """Return each row's cells as people read them; the last row holds the totals."""
    decimals = [report.columns[name].decimals if name in report.columns else 0 for name in report.names]
    worded = [name in WORDED for name in report.names]
    rows = [
        [say(value) if is_word and value else _text_cell(value, digits)
         for value, digits, is_word in zip(row, decimals, worded, strict=True)]
        for row in report.rows
    ]  # fmt: skip
    totals = [
        _text_cell(report.totals[name], digits) if name in report.columns else ""
        for name, digits in zip(report.names, decimals, strict=True)
    ]
    totals[1] = say("Total")
    return [*rows, totals]


def escape_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _text_cell(value: Any, decimals: int) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        return language.number(value, f"z.{decimals}f")  # No -0.00.
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, date) else value
