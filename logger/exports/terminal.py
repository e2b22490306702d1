"""A report as a table for the terminal, as wide as the window.

By hand and without pandas: a library that measures and styles each cell takes seconds for ten years of days.

Walk: reports.Report -> text -> here -> exports
"""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from logger.exports import language
from logger.exports.language import say
from logger.exports.text import UNKNOWN, text_cells
from logger.reports import Report
from logger.reports.columns import NOTES, STATUS

#: what a narrow terminal does without, in this order
DROP_ORDER = (
    "specific_yield_kwh_per_kwp", "peak_production_w",
    "self_consumption_kwh", "battery_charge_kwh", "battery_discharge_kwh", "source_changes",
    "wraps", "stalls", "polls", "missing_s", "bridged_kwh", "self_consumption_pct", "dips",
    "suspects", "resets", "inverters_kwh", "gaps", "polls_failed", "self_sufficiency_pct",
    "grid_export_kwh", "grid_import_kwh", "outage_minutes", "outages", "estimated_pct",
    "hour_starts_at", "quarter_starts_at",
)  # fmt: skip
#: of a comparison the columns of then go first, and of the rest with each column its change
COMPARED_ORDER = (
    *(f"{name}_then" for name in ("peak_production_w", "coverage_pct", "bridged_kwh", *DROP_ORDER)),
    *(each for name in DROP_ORDER for each in (f"{name.removesuffix('_kwh')}_change_pct", name)),
    "compared_with", "consumption_change_pct", "consumption_kwh_then", "coverage_pct",
)  # fmt: skip
#: counts that are left out where all of them are 0
RARE = ("polls_failed", "gaps", "resets", "wraps", "dips", "suspects", "stalls", "source_changes")
#: A gateway's name keeps at least so many characters.
SHORTEST_NAME = 12
#: between two columns; the narrower where not all columns have room
GAPS = ("  ", " ")
#: of fewer days none is called the best
FEW_DAYS = 7
#: of what goes to no terminal: no column is left out
WIDE = 250
#: kind of report -> what stands above it, where that is not energy
TITLES = {
    "quality": "how sure the totals are",
    "panels": "panels beside their neighbours",
    "battery": "batteries by {subject}",
}
#: how a status is shown, where there is colour
STYLES = {"suspect": {"fg": "red"}, "partial": {"fg": "yellow"}, "provisional": {"dim": True}}


def to_table(report: Report) -> bytes:
    """Return a table without colour that fits the terminal, or is wide where there is none."""
    return click.unstyle(table(report, width())).encode()


def width() -> int:
    """Return how many characters a line may have."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else WIDE


def table(report: Report, most: int) -> str:
    """Return a table of ``most`` columns, in the styles of click; columns without any value are left out.

    Where that is too narrow the least important columns are left out too, and named. Notes stand below.
    """
    cells = dict(zip(report.names, map(list, zip(*text_cells(report), strict=True)), strict=True))
    gateways = list(dict.fromkeys(cells["gateway"][:-1]))
    columns = [
        Shown(report, name, texts)
        for name, texts in cells.items()
        if not {"", UNKNOWN}.issuperset(texts)
        and (name != "gateway" or len(gateways) > 1)
        and (not name.endswith("_starts_at") or _has_an_hour_twice(report))
        and name != NOTES
    ]
    never = [column for column in columns if column.name in RARE and {"0"}.issuperset(column.texts)]
    columns = [column for column in columns if column not in never]
    gap = GAPS[_needed(columns, GAPS[0]) > most]
    for column in columns:
        if column.name == "gateway":
            column.shorten(_needed(columns, gap) - most)
    dropped: list[Shown] = []
    kept = list(columns)
    for name in COMPARED_ORDER:
        if _needed(kept, gap) > most:
            dropped += [column for column in kept if column.name == name]
            kept = [column for column in kept if column.name != name]
    for column in reversed(dropped):
        again = [own for own in columns if own in kept or own is column]
        kept = again if _needed(again, gap) <= most else kept
    dropped = [column for column in columns if column not in kept]
    label = next(column for column in kept if column.name != "gateway")
    if label.name in report.labels:
        label.texts[-1] = say("Total")  # The label before it may have been left out.
    title = say(TITLES.get(report.kind, "energy by {subject}"), subject=_subject(report))
    heading = textwrap.fill(f"{', '.join(gateways)}: {title}", most)
    statuses = report.column(STATUS) if STATUS in report.names else []
    parts = [f"{click.style(heading, bold=True)}\n", _laid_out(kept, gap, statuses)]
    if report.kind == "daily" and len(gateways) == 1 and len(report.rows) >= FEW_DAYS:
        found = report.extremes("production_kwh")
        said = [
            f"{say(how)} {day}: {language.number(kwh, '.2f')} kWh."
            for how, (day, kwh) in zip(("Best day", "Poorest day"), found or (), strict=False)
        ]
        parts += [textwrap.fill(" ".join(said), most) + "\n"] if said else []
    if NOTES in cells and any(cells[NOTES][:-1]):
        parts.append("\n".join(_notes(report, len(gateways) > 1, most)) + "\n")
    left_out = ""
    if never:
        left_out = _sentence(say("None of") + ": ", _titles(never, columns), ".", most)
    if dropped:
        hint = f". {say('A wider window shows them, and so does -o FILE.')}"
        left_out += _sentence(say("No room for") + ": ", _titles(dropped, columns), hint, most)
    parts += [left_out] if left_out else []
    return "\n".join(parts)


class Shown:
    """A column of the table: its cells as text, its heading in lines, its width."""

    def __init__(self, report: Report, name: str, texts: list[str]) -> None:
        self.name, self.texts, self.is_number = name, texts, name in report.columns
        self.title, _, unit = language.heading(report, name).partition(" (")
        self.unit = f"({unit}" if unit else ""
        words = self.title.replace("-", "- ").split()
        self.width = max(*map(len, texts), *map(len, words), len(self.unit))
        self.heading = [*textwrap.wrap(self.title, self.width), *([self.unit] if unit else [])]

    def shorten(self, by: int) -> None:
        """Make a long name shorter; it stands in full above the table."""
        if by > 0:
            self.width = max(SHORTEST_NAME, self.width - by)
            self.texts = [
                text if len(text) <= self.width else f"{text[: self.width - 1]}\N{HORIZONTAL ELLIPSIS}"
                for text in self.texts
            ]


def _has_an_hour_twice(report: Report) -> bool:
    """Whether local time does not tell two hours apart, as in autumn."""
    local = next((name for name in report.labels if name.startswith("local_")), None)
    if local is None:
        return False
    hours = list(zip(report.column("gateway"), report.column(local), strict=True))
    return len(set(hours)) < len(hours)


def _titles(columns: Sequence[Shown], all_columns: Sequence[Shown]) -> list[str]:
    """Return what stands above columns, with the unit where the title alone does not tell which."""
    titles = [column.title for column in all_columns]
    return [f"{own.title} {own.unit}" if titles.count(own.title) > 1 else own.title for own in columns]


def _sentence(start: str, names: Sequence[str], end: str, most: int) -> str:
    """Return names in a sentence, wrapped between them."""
    text = start + ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in names) + end
    lines = textwrap.wrap(text, min(most, 100), break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ") + "\n"


def _needed(columns: Sequence[Shown], gap: str) -> int:
    return sum(column.width for column in columns) + len(gap) * (len(columns) - 1)


def _subject(report: Report) -> str:
    """Return what the rows of a report are about, as within a sentence."""
    subject = say(report.heading(report.labels[-1]))
    return subject if language.spoken() == "de" else subject.lower()


def _laid_out(columns: Sequence[Shown], gap: str, statuses: Sequence[str]) -> str:
    """Return columns side by side: headings, rows, and the totals below a rule."""
    form = gap.join(f"{{:{'>' if own.is_number else '<'}{own.width}}}" for own in columns)
    rule = click.style("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * _needed(columns, gap), dim=True)
    tall = max(len(column.heading) for column in columns)
    heads = [[""] * (tall - len(column.heading)) + column.heading for column in columns]
    above = [form.format(*parts).rstrip() for parts in zip(*heads, strict=True)]
    *rows, total = [form.format(*texts).rstrip() for texts in zip(*(own.texts for own in columns), strict=True)]
    if columns[-1].name == STATUS:
        texts = columns[-1].texts
        rows = [_styled(row, text, status) for row, text, status in zip(rows, texts, statuses, strict=False)]
    return "\n".join([*above, rule, *rows, rule, click.style(total, bold=True)]) + "\n"


def _styled(row: str, text: str, status: str) -> str:
    """Return a row with its last cell, the status in words, in its style."""
    return row[: -len(text)] + click.style(text, **STYLES[status]) if status in STYLES else row  # type: ignore[arg-type]


def _notes(report: Report, names_gateway: bool, most: int) -> Iterator[str]:
    """Yield the notes of each row that has some, behind its label."""
    for label, name, notes in zip(
        report.column(report.labels[-1]), report.column("gateway"), report.column(NOTES), strict=True
    ):
        if notes:
            start = f"{name} {label}  " if names_gateway else f"{label}  "
            yield textwrap.fill(
                start + notes, min(most, 120), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
