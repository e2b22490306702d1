"""A report as a table for the terminal, as wide as the window.

By hand and without pandas: a library that measures and styles each cell takes seconds for ten years of days.

Walk: reports.Report -> text -> here -> exports
"""

import shutil
import sys
import textwrap

from logger.exports.text import UNKNOWN, text_cells
from logger.reports import Report
from logger.reports.columns import NOTES

#: what a narrow terminal does without, in this order
DROP_ORDER = (
    "notes", "hour_starts_at", "specific_yield_kwh_per_kwp", "peak_production_w",
    "self_consumption_kwh", "battery_charge_kwh", "battery_discharge_kwh", "source_changes",
    "wraps", "stalls", "polls", "missing_s", "bridged_kwh", "self_consumption_pct", "dips",
    "suspects", "resets", "inverters_kwh", "gaps", "polls_failed", "grid_export_kwh",
    "self_sufficiency_pct", "grid_import_kwh", "outage_minutes", "outages", "estimated_pct",
)  # fmt: skip
#: between two columns
GAP = "  "
#: Notes are never narrower than this.
NOTES_WIDTH = 24


def to_table(report: Report) -> bytes:
    """Return a table that fits the terminal; columns without any value are left out.

    Where the terminal is too narrow the least important columns are left out too, and named.
    """
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 250
    cells = dict(zip(report.names, map(list, zip(*text_cells(report), strict=True)), strict=True))
    gateways = list(dict.fromkeys(cells["gateway"][:-1]))
    columns = [
        Shown(report, name, texts)
        for name, texts in cells.items()
        if not {"", UNKNOWN}.issuperset(texts) and (name != "gateway" or len(gateways) > 1)
    ]
    dropped = []
    for name in DROP_ORDER:
        if _needed(columns) > width:
            dropped += [column for column in columns if column.name == name]
            columns = [column for column in columns if column.name != name]
    columns[-1].widen(width - _needed(columns))
    subject = report.heading(report.labels[-1]).lower()
    title = {"quality": "how sure the totals are", "battery": f"batteries by {subject}"}.get(report.kind)
    title = title or f"energy by {subject}"
    text = f"{', '.join(gateways)}: {title}\n\n{_laid_out(columns)}"
    if dropped:
        words = ", ".join(dict.fromkeys(column.title.lower() for column in dropped))
        hint = f"No room for: {words}. A wider window shows them, and so does -o FILE."
        text += f"\n{textwrap.fill(hint, width)}\n"
    return text.encode()


class Shown:
    """A column of the table: its cells as text, its heading in lines, its width."""

    def __init__(self, report: Report, name: str, texts: list[str]) -> None:
        self.name, self.texts, self.is_number = name, texts, name in report.columns
        self.title, _, unit = report.heading(name).partition(" (")
        widest = max(map(len, texts))
        self.width = min(widest, NOTES_WIDTH) if name == NOTES else widest
        words = self.title.replace("-", "- ").split()
        self.width = max(self.width, *map(len, words), len(unit) + 1)
        self.heading = [*textwrap.wrap(self.title, self.width), *([f"({unit}"] if unit else [])]

    def widen(self, room: int) -> None:
        """Use what room is left for a long text."""
        self.width = min(self.width + max(0, room), max(self.width, *map(len, self.texts)))


def _needed(columns: list[Shown]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _laid_out(columns: list[Shown]) -> str:
    """Return columns side by side: headings, rows, and the totals below a rule.

    Only the last column may be text that is longer than its column is wide.
    """
    form = GAP.join(f"{{:{'>' if own.is_number else '<'}{own.width}}}" for own in columns)
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * _needed(columns)
    tall = max(len(column.heading) for column in columns)
    heads = [[""] * (tall - len(column.heading)) + column.heading for column in columns]
    lines = [form.format(*parts).rstrip() for parts in zip(*heads, strict=True)]
    for texts in zip(*(column.texts for column in columns), strict=True):
        lines.append(form.format(*texts).rstrip())
        if len(texts[-1]) > columns[-1].width:
            first, *more = textwrap.wrap(texts[-1], columns[-1].width)
            blank = [""] * (len(columns) - 1)
            lines[-1:] = [form.format(*texts[:-1], first).rstrip()]
            lines += [form.format(*blank, part).rstrip() for part in more]
    return "\n".join([*lines[:tall], rule, *lines[tall:-1], rule, lines[-1]]) + "\n"
