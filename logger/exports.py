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

from logger.errors import UsageError
from logger.reports.columns import COLUMNS, LABELS, NOTES
from logger.reports.tables import Report

#: How people see what is not known.
UNKNOWN = "\N{EN DASH}"
#: Text that a spreadsheet would run as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_csv(report: Report) -> bytes:
    """Return comma-separated values, one header line, no totals; empty where unknown."""
    frame = report.frame.copy(deep=False)
    for name in frame.columns:
        if name not in COLUMNS:
            frame[name] = frame[name].map(_disarmed)
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
    from rich import box  # noqa: PLC0415 - only terminals need it
    from rich.console import Console  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    head, rows = _cells(report)
    used = [i for i in range(len(head)) if any(row[i] not in {"", UNKNOWN} for row in rows)]
    if len(set(report.frame["gateway"])) == 1:
        used.remove(0)
    table = Table(box=box.SIMPLE_HEAD, title=_title(report), title_justify="left", pad_edge=False)
    names = list(report.frame.columns)
    for i in used:
        is_number = names[i] in COLUMNS
        table.add_column(
            head[i].replace(" (", "\n("),
            justify="right" if is_number else "left",
            no_wrap=not is_number and names[i] != NOTES,
        )
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
        name: book.add_format(
            {"num_format": "0" if not column.decimals else "0." + "0" * column.decimals}
        )
        for name, column in COLUMNS.items()
    }
    names = list(report.frame.columns)
    sheet.set_row(0, 32)
    for x, name in enumerate(names):
        sheet.write_string(0, x, _heading(name), bold)
        sheet.set_column(
            x, x, 18 if name in {"hour_starts_at", "local_hour"} else 14, formats.get(name)
        )
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
        column = COLUMNS[name]
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


TITLES = {
    "hourly": "energy by hour",
    "daily": "energy by day",
    "monthly": "energy by month",
    "yearly": "energy by year",
    "inverters": "energy by inverter",
    "phases": "energy by phase",
    "quality": "how sure the totals are",
}


def _title(report: Report) -> str:
    gateways = ", ".join(dict.fromkeys(report.frame["gateway"]))
    return f"{gateways}: {TITLES[report.kind]}"


def _heading(name: str) -> str:
    return COLUMNS[name].title if name in COLUMNS else LABELS[name]


def _cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings, and each row's cells as text; the last row holds the totals."""
    names = list(report.frame.columns)
    decimals = [COLUMNS[name].decimals if name in COLUMNS else 0 for name in names]
    records = report.frame.itertuples(index=False, name=None)
    rows = [
        [_cell(value, digits) for value, digits in zip(record, decimals, strict=True)]
        for record in records
    ]
    totals = [
        _cell(report.totals.get(name), digits) if name in COLUMNS else ""
        for name, digits in zip(names, decimals, strict=True)
    ]
    totals[1] = "Total"
    rows.append(totals)
    return [_heading(name) for name in names], rows


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
