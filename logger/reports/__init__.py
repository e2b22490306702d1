"""Rollups in, tables for people out; what a report is.

Walk: the views -> energy, details, quality -> here -> exports
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from logger.reports.columns import LABELS, STATUS, Column

#: No day is the best with less.
NOTHING_KWH = 0.05


@dataclass(frozen=True)
class Report:
    """Rows of labels and numbers, None where unknown; for people also a row of totals."""

    kind: str
    labels: Sequence[str]  #: columns that name a row
    numbers: Sequence[Column]
    remarks: Sequence[str]  #: columns of text behind the numbers
    rows: list[tuple[Any, ...]]
    #: what ratios weigh rows by, a value for each row: covered_s, period_s, peak_power_kwp
    weights: Mapping[str, list[float | None]] = field(default_factory=dict)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns of numbers by name."""
        return {column.name: column for column in self.numbers}

    @cached_property
    def names(self) -> list[str]:
        """The names of all columns, in order."""
        return [*self.labels, *self.columns, *self.remarks]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column or weight."""
        if name in self.weights:
            return self.weights[name]
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def heading(self, name: str) -> str:
        """Return what people read above a column."""
        if name in self.columns:
            return self.columns[name].heading
        return LABELS.get(name, name.capitalize())

    @cached_property
    def totals(self) -> dict[str, float | None]:
        """The row of totals for people: a value for each column of numbers, None where unknown."""
        return {column.name: column.total_of(self.column) for column in self.numbers}

    def extremes(self, name: str) -> tuple[tuple[Any, float], tuple[Any, float]] | None:
        """Return the final periods with the most and the least of a column, as label and value.

        None where none is final, or all of them have nothing.
        """
        rows = zip(self.column(name), self.column(self.labels[-1]), self.column(STATUS), strict=True)
        known = [(value, label) for value, label, status in rows if status == "final" and value is not None]
        if not known or max(known)[0] < NOTHING_KWH:
            return None
        (most, best), (least, poorest) = max(known), min(known)
        return (best, most), (poorest, least)
