"""Reports into files: csv, json, xlsx, markdown, and a table for the terminal.

Data goes to stdout or, with a file name, into a temporary file that is renamed when complete.
"""

import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from logger.errors import UsageError
from logger.reports.columns import ENERGY, PERIOD_NAMES, PERIOD_TITLES, STATUS
from logger.reports.tables import Report

#: How people see what is not known.
UNKNOWN = "\N{EN DASH}"
#: Text that a spreadsheet would run as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_csv(report: Report) -> bytes:
    """Return comma-separated values, one header line, no totals; empty where unknown."""
    frame = report.frame.map(_disarmed)
    return frame.to_csv(index=False, lineterminator="\n").encode()


def to_json(report: Report) -> bytes:
    """Return a list of records, one per period; null where unknown."""
    records = [
        {str(name): _plain(value) for name, value in record.items()}
        for record in report.frame.to_dict("records")
    ]
    return (json.dumps(records, indent=2, ensure_ascii=False) + "\n").encode()


def to_markdown(report: Report) -> bytes:
    """Return a Markdown table with its totals row."""
    head, rows = _cells(report)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ("\n".join(lines) + "\n").encode()


def to_table(report: Report) -> bytes:
    """Return a table that fits the terminal; columns without any value are left out."""
    head, rows = _cells(report)
    used = [i for i in range(len(head)) if any(row[i] not in {"", UNKNOWN} for row in rows)]
    if len(set(report.frame["gateway"])) == 1:
        used.remove(0)
    table = Table(box=box.SIMPLE_HEAD, title=_title(report), title_justify="left", pad_edge=False)
    text_columns = {0, 1, len(head) - 1}
    for i in used:
        name = head[i].replace(" (", "\n(")
        table.add_column(name, justify="left" if i in text_columns else "right", no_wrap=i < 2)
    for number, row in enumerate(rows):
        if number == len(rows) - 1:
            table.add_section()
        table.add_row(*(row[i] for i in used))
    out = io.StringIO()
    width = None if sys.stdout.isatty() else 200
    Console(file=out, width=width, highlight=False).print(table)
    text = "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())
    return (text + "\n").encode()


def to_xlsx(report: Report) -> bytes:
    """Return a workbook with real dates and numbers and a totals row of live formulas."""
    import xlsxwriter  # noqa: PLC0415 - only spreadsheets need it

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True, "default_date_format": "yyyy-mm-dd"})
    book.set_properties({"title": _title(report), "created": datetime(2000, 1, 1)})  # noqa: DTZ001 - same input, same bytes
    sheet = book.add_worksheet(report.kind.capitalize())
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
    formats = {
        column.name: book.add_format(
            {"num_format": "0" if not column.decimals else "0." + "0" * column.decimals}
        )
        for column in ENERGY
    }
    names = list(report.frame.columns)
    sheet.set_row(0, 32)
    for x, name in enumerate(names):
        sheet.write_string(0, x, _heading(report, name), bold)
        sheet.set_column(x, x, 18 if name == "hour_starts_at" else 14, formats.get(name))
    stamp = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    for y, row in enumerate(report.frame.to_dict("records"), start=1):
        for x, name in enumerate(names):
            value = _disarmed(row[name])
            if isinstance(value, datetime):
                sheet.write_datetime(y, x, value, stamp)
            elif not _unknown(value):
                sheet.write(y, x, value)
    last = len(report.frame)
    total = book.add_format({"bold": True, "top": 1})
    sheet.write_string(last + 1, 0, "Total", total)
    for x, name in enumerate(names):
        value = report.totals.get(name)
        if value is None or math.isnan(value):
            continue
        column = next(column for column in ENERGY if column.name == name)
        style = book.add_format(
            {"bold": True, "top": 1, "num_format": "0." + "0" * column.decimals}
        )
        letter = chr(ord("A") + x)
        if column.total == "sum":
            formula = f"=SUBTOTAL(109,{letter}2:{letter}{last + 1})"
            sheet.write_formula(last + 1, x, formula, style, value)
        else:
            sheet.write_number(last + 1, x, value, style)
    sheet.freeze_panes(1, 2)
    sheet.autofilter(0, 0, last, len(names) - 1)
    book.close()
    return out.getvalue()


EXPORTERS: dict[str, Callable[[Report], bytes]] = {
    "table": to_table,
    "csv": to_csv,
    "json": to_json,
    "md": to_markdown,
    "xlsx": to_xlsx,
}


def format_for(name: str | None, path: Path | None) -> str:
    """Return the format that was asked for, else the one of the file's suffix, else a table."""
    if name:
        return name
    if path is None:
        return "table"
    suffix = path.suffix.lstrip(".").lower()
    if suffix in EXPORTERS:
        return suffix
    known = ", ".join("." + one for one in EXPORTERS if one != "table")
    raise UsageError(f"{path.name}: no format goes by this suffix; use one of {known} or --format.")


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step: complete, or not at all.

    Raises:
        UsageError: the path can't be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"{path} can't be written ({error.strerror}); choose another path."
        ) from error


def _title(report: Report) -> str:
    period = {"hourly": "hour", "daily": "day", "monthly": "month", "yearly": "year"}[report.kind]
    gateways = ", ".join(dict.fromkeys(report.frame["gateway"]))
    return f"{gateways}: energy by {period}"


def _heading(report: Report, name: str) -> str:
    if name == PERIOD_NAMES[report.kind]:
        return PERIOD_TITLES[report.kind]
    known = {column.name: column.title for column in ENERGY}
    return known.get(name, name.capitalize())


def _cells(report: Report) -> tuple[list[str], list[list[str]]]:
    names = list(report.frame.columns)
    decimals = {column.name: column.decimals for column in ENERGY}
    rows = [
        [_cell(row[name], decimals.get(name, 0)) for name in names]
        for row in report.frame.to_dict("records")
    ]
    totals: dict[Any, Any] = {**report.totals, PERIOD_NAMES[report.kind]: "Total"}
    rows.append(
        [
            "" if name in {"gateway", STATUS} else _cell(totals.get(name), decimals.get(name, 0))
            for name in names
        ]
    )
    return [_heading(report, name) for name in names], rows


def _cell(value: Any, decimals: int) -> str:
    if _unknown(value):
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:.{decimals}f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> Any:
    if _unknown(value):
        return None
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, date) else value


def _unknown(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _disarmed(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
