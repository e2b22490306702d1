"""What all formats share: headings, what is not known, and text that no spreadsheet runs."""

from typing import Any

from logger.reports.columns import COLUMNS, LABELS

#: Text that a spreadsheet would run as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def heading(name: str) -> str:
    """Return a column's heading for people."""
    return COLUMNS[name].title if name in COLUMNS else LABELS[name]


def is_unknown(value: Any) -> bool:
    """Return whether a cell holds nothing."""
    return value is None or value != value  # noqa: PLR0124 - only NaN and NaT are not themselves


def disarmed(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
