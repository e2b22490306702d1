"""Reports into files: csv, json, xlsx, ods, parquet, markdown, and a table for the terminal.

Data goes to stdout or, with a file name, into a temporary file that is renamed when complete.
"""

import csv
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from logger.errors import UsageError
from logger.exports.cells import disarmed, heading, is_unknown
from logger.reports.columns import COLUMNS, COMMA_LOCALES, NOTES
from logger.reports.tables import Report

#: How people see what is not known.
UNKNOWN = "\N{EN DASH}"


def to_csv(report: Report, locale: str | None = None) -> bytes:
    """Return comma-separated values, one header line, no totals; empty where unknown.

    With a ``locale`` it is for a spreadsheet there: a byte-order mark, so that Excel reads UTF-8,
    and for most of Europe semicolons and decimal commas.
    """
    comma = locale in COMMA_LOCALES
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";" if comma else ",", lineterminator="\n")
    writer.writerow(report.names)
    for row in report.rows:
        cells = [disarmed(_plain(value)) for value in row]
        if comma:
            cells = [str(one).replace(".", ",") if type(one) is float else one for one in cells]
        writer.writerow(cells)
    return out.getvalue().encode("utf-8-sig" if locale else "utf-8")


def to_json(report: Report) -> bytes:
    """Return a list of records, one per period; null where unknown."""
    names = report.names
    records = [dict(zip(names, map(_plain, row), strict=True)) for row in report.rows]
    return (json.dumps(records, indent=2, ensure_ascii=False) + "\n").encode()


def to_markdown(report: Report) -> bytes:
    """Return a Markdown table with its totals row."""
    head, rows = _cells(report)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ("\n".join(lines) + "\n").encode()


#: short headings for a terminal; the unit goes below
SHORT = {
    "production_kwh": "Made",
    "consumption_kwh": "Used",
    "grid_import_kwh": "Import",
    "grid_export_kwh": "Export",
    "battery_charge_kwh": "Charge",
    "battery_discharge_kwh": "Dischg.",
    "self_consumption_kwh": "Own use",
    "self_consumption_pct": "Own use",
    "self_sufficiency_pct": "Self-suff.",
    "specific_yield_kwh_per_kwp": "Yield",
    "peak_production_w": "Peak",
    "coverage_pct": "Covered",
    "bridged_kwh": "Bridged",
    "inverters_kwh": "Inverters",
    "inverters_difference_pct": "Inv. over",
    "polls_failed": "Failed",
    "suspects": "Suspects",
    "source_changes": "Source ch.",
}
#: what a narrow terminal does without first
SPARED_FIRST = (
    "notes", "hour_starts_at", "specific_yield_kwh_per_kwp", "peak_production_w",
    "self_consumption_kwh", "battery_charge_kwh", "battery_discharge_kwh", "source_changes",
    "wraps", "stalls", "polls", "missing_s", "bridged_kwh", "self_consumption_pct", "dips",
    "suspects", "resets", "inverters_kwh", "gaps", "polls_failed", "grid_export_kwh",
    "self_sufficiency_pct", "grid_import_kwh",
)  # fmt: skip


def to_table(report: Report) -> bytes:
    """Return a table that fits the terminal; columns without any value are left out.

    Where the terminal is too narrow the least telling columns are left out too, and named.
    """
    _, rows = _cells(report)
    names = report.names
    heads = [_short_heading(name) for name in names]
    used = [i for i in range(len(names)) if any(row[i] not in {"", UNKNOWN} for row in rows)]
    if len(set(report.column("gateway"))) == 1:
        used.remove(0)
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 250
    spared = _spare(names, heads, rows, used, width)
    right = [names[i] in COLUMNS for i in used]
    heads_used, rows_used = [heads[i] for i in used], [[row[i] for i in used] for row in rows]
    text = f"{_title(report)}\n\n" + _laid_out(heads_used, rows_used, right, width)
    if spared:
        words = ", ".join(heading(name).partition(" (")[0].lower() for name in spared)
        text += f"\nNo room for: {words}. A wider window shows them, and so does -o FILE.\n"
    return text.encode()


def _laid_out(heads: list[str], rows: list[list[str]], right: list[bool], width: int) -> str:
    """Return columns side by side; the last column, where it is text, is wrapped to the width.

    By hand: a library that measures and styles each cell takes seconds for ten years of days.
    """
    parts = [head.split("\n") for head in heads]
    tall = max(map(len, parts))
    parts = [[""] * (tall - len(part)) + part for part in parts]
    top = [list(line) for line in zip(*parts, strict=True)]
    widths = [max(map(len, column)) for column in zip(*top, *rows, strict=True)]
    if not right[-1]:
        room = max(24, width - sum(widths[:-1]) - 3 * (len(widths) - 1))
        widths[-1] = min(widths[-1], room)

    def line(cells: list[str]) -> str:
        aligned = [
            cell.rjust(size) if number else cell.ljust(size)
            for cell, size, number in zip(cells, widths, right, strict=True)
        ]
        return "   ".join(aligned).rstrip()

    def lines(cells: list[str]) -> list[str]:
        if len(cells[-1]) <= widths[-1]:
            return [line(cells)]
        first, *more = textwrap.wrap(cells[-1], widths[-1])
        blank = [""] * (len(cells) - 1)
        return [line([*cells[:-1], first]), *(line([*blank, rest]) for rest in more)]

    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (sum(widths) + 3 * (len(widths) - 1))
    body = [one for row in rows[:-1] for one in lines(row)]
    return "\n".join([*map(line, top), rule, *body, rule, line(rows[-1])]) + "\n"


def _short_heading(name: str) -> str:
    words, _, unit = heading(name).partition(" (")
    return SHORT.get(name, words) + (f"\n({unit}" if unit else "")


def _spare(
    names: list[str], heads: list[str], rows: list[list[str]], used: list[int], width: int
) -> list[str]:
    """Take columns out of ``used`` until the rest fits; return their names."""

    def needed() -> int:
        return sum(
            3 + max(*(len(line) for line in heads[i].split("\n")), *(len(row[i]) for row in rows))
            for i in used
            if names[i] != NOTES
        ) + (3 + 24 if any(names[i] == NOTES for i in used) else 0)

    spared = []
    for name in SPARED_FIRST:
        if needed() <= width:
            break
        if name in names and names.index(name) in used:
            used.remove(names.index(name))
            spared.append(name)
    return spared


def to_xlsx(report: Report) -> bytes:
    """Return a workbook of one sheet: real dates and numbers, a totals row of live formulas."""
    from logger.exports.workbook import single  # noqa: PLC0415 - only spreadsheets need it

    return single(report)


def to_ods(report: Report) -> bytes:
    """Return an OpenDocument sheet: headings for people, and a totals row.

    Raises:
        UsageError: the extra that it needs is not installed.
    """
    _need("odf", "ods")
    frame = report.frame.copy(deep=False)
    for name in frame.columns:
        if name not in COLUMNS:
            frame[name] = frame[name].map(disarmed)
    frame = frame.astype(object)
    totals: list[Any] = [report.totals.get(str(name)) for name in frame.columns]
    totals[1] = "Total"
    frame.loc[len(frame)] = totals
    frame = frame.rename(columns=heading)
    out = io.BytesIO()
    engine: Any = "odf"
    frame.to_excel(out, engine=engine, index=False, sheet_name=report.kind.capitalize())
    return _timeless(out.getvalue())


def to_parquet(report: Report) -> bytes:
    """Return Parquet with the column names of csv and json.

    Raises:
        UsageError: the extra that it needs is not installed.
    """
    _need("pyarrow", "parquet")
    out = io.BytesIO()
    report.frame.to_parquet(out, index=False, engine="pyarrow")
    return out.getvalue()


def _timeless(content: bytes) -> bytes:
    """Return a zip file without the time of its making: the same report, the same bytes."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(out, "w") as target,
    ):
        for item in source.infolist():
            made = zipfile.ZipInfo(item.filename, (2000, 1, 1, 0, 0, 0))
            made.compress_type = item.compress_type
            target.writestr(made, source.read(item))
    return out.getvalue()


def _need(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"This format needs an extra; install it: pip install 'envoylog[{extra}]'")


EXPORTERS: dict[str, Callable[[Report], bytes]] = {
    "table": to_table,
    "csv": to_csv,
    "json": to_json,
    "md": to_markdown,
    "xlsx": to_xlsx,
    "ods": to_ods,
    "parquet": to_parquet,
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
    gateways = ", ".join(dict.fromkeys(report.column("gateway")))
    return f"{gateways}: {TITLES[report.kind]}"


def _cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings, and each row's cells as text; the last row holds the totals."""
    names = report.names
    decimals = [COLUMNS[name].decimals if name in COLUMNS else 0 for name in names]
    rows = [
        [_cell(value, digits) for value, digits in zip(row, decimals, strict=True)]
        for row in report.rows
    ]
    totals = [
        _cell(report.totals.get(name), digits) if name in COLUMNS else ""
        for name, digits in zip(names, decimals, strict=True)
    ]
    totals[1] = "Total"
    rows.append(totals)
    return [heading(name) for name in names], rows


def _cell(value: Any, decimals: int) -> str:
    if is_unknown(value):
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:.{decimals}f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> Any:
    if is_unknown(value):
        return None
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, date) else value
