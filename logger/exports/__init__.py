"""Reports into bytes of a format, and bytes into files.

What needs a library of its own (pandas, XlsxWriter) is imported when it is asked for: a report for the terminal or as
text has to start quickly.

Walk: reports.Report -> text, terminal, workbook -> here -> cli
"""

import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from logger.errors import UsageError
from logger.exports.files import replacing
from logger.exports.terminal import to_table
from logger.exports.text import to_csv, to_json, to_markdown
from logger.reports import Report

if TYPE_CHECKING:
    from logger.reports.summary import Book

__all__ = [
    "EXPORTERS", "format_for", "need", "replacing", "to_csv", "to_full_xlsx", "to_json",
    "to_markdown", "to_ods", "to_parquet", "to_table", "to_xlsx",
]  # fmt: skip


def to_xlsx(report: Report) -> bytes:
    """Return a workbook of one sheet: real dates and numbers, a totals row of live formulas."""
    from logger.exports.workbook import single  # noqa: PLC0415 - only spreadsheets need it

    return single(report)


def to_full_xlsx(book: "Book") -> bytes:
    """Return the workbook of a range."""
    from logger.exports.summary_sheet import full  # noqa: PLC0415 - only spreadsheets need it

    return full(book)


def to_ods(report: Report) -> bytes:
    """Return an OpenDocument sheet: real dates and numbers, a totals row of live formulas.

    Raises:
        UsageError: the extra that it needs is not installed.
    """
    need("odf", "ods")
    from logger.exports.opendocument import sheet  # noqa: PLC0415 - only spreadsheets need it

    return _timeless(sheet(report))


def to_parquet(report: Report) -> bytes:
    """Return Parquet with the column names of csv and json, and no totals.

    Raises:
        UsageError: the extra that it needs is not installed.
    """
    need("pyarrow", "parquet")
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    kinds = {name: pa.float64() for name in report.columns}
    arrays = {name: pa.array(report.column(name), kinds.get(name)) for name in report.names}
    out = io.BytesIO()
    parquet.write_table(pa.table(arrays), out)
    return out.getvalue()


def _timeless(content: bytes) -> bytes:
    """Return a zip file without the time of its making: the same report, the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.infolist():
            timeless = zipfile.ZipInfo(item.filename, (2000, 1, 1, 0, 0, 0))
            timeless.compress_type = item.compress_type
            target.writestr(timeless, source.read(item))
    return out.getvalue()


def need(module: str, extra: str) -> None:
    """Check that an extra is installed.

    Raises:
        UsageError: it is not; with how to install it.
    """
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"This needs an extra; install it: {sys.executable} -m pip install 'envoylog[{extra}]', "
            f"or for the service: sudo scripts/install {extra}"
        )


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
    if path is None or (not path.suffix and path.exists() and not path.is_file()):
        return "table"  # A pipe or a device has no suffix.
    suffix = path.suffix.lstrip(".").lower()
    if suffix in EXPORTERS:
        return suffix
    known = ", ".join("." + form for form in EXPORTERS if form != "table")
    raise UsageError(f"{path.name}: no format goes by this suffix; use one of {known} or --format.")
