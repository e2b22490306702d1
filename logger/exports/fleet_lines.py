"""Many gateways for a terminal: how many are how, a line for each, and what to look at."""

import textwrap
from collections.abc import Iterator

import click

from logger.clock import in_words
from logger.exports.text import UNKNOWN, text_cells
from logger.reports import Report
from logger.reports.fleet import counts

#: column -> what stands above it, in two lines
HEADINGS = {
    "gateway": ("", "gateway"),
    "state": ("", "state"),
    "production_kwh": ("production", "kWh"),
    "specific_yield_kwh_per_kwp": ("yield", "kWh/kWp"),
    "relative_pct": ("neighbours", "%"),
    "coverage_pct": ("measured", "%"),
    "silent_s": ("last", ""),
    "token_days_left": ("token", "days"),
    "firmware": ("", "firmware"),
}
#: A name keeps this many characters.
LONGEST_NAME = 20
STYLES = {"silent": {"fg": "red"}, "weak": {"fg": "yellow"}, "token": {"fg": "yellow"}, "incomplete": {"dim": True}}
#: This many gateways are explained.
MOST_NOTES = 20


def lines(report: Report, subject: str, width: int) -> Iterator[str]:
    """Yield a report of the fleet, about a time."""
    total = len(report.rows)
    yield click.style(f"{total} {'gateway' if total == 1 else 'gateways'}, {subject}: {counts(report)}", bold=True)
    yield ""
    cells = [dict(zip(report.names, row, strict=True)) for row in text_cells(report)[:-1]]
    for cell, silent_s in zip(cells, report.column("silent_s"), strict=True):
        cell["silent_s"] = UNKNOWN if silent_s is None else in_words(silent_s)
        cell["firmware"] = UNKNOWN if cell["firmware"] in {None, "None"} else cell["firmware"]
        if len(cell["gateway"]) > LONGEST_NAME:
            cell["gateway"] = f"{cell['gateway'][: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    names = [name for name in HEADINGS if any(cell[name] not in {"", UNKNOWN} for cell in cells)]
    widths = {name: max(*map(len, HEADINGS[name]), *(len(cell[name]) for cell in cells)) for name in names}
    form = " ".join(
        f"{{{name}:{'<' if name in {'gateway', 'state', 'firmware'} else '>'}{widths[name]}}}" for name in names
    )
    for line in (0, 1):
        yield form.format(**{name: HEADINGS[name][line] for name in names}).rstrip()
    for cell in cells:
        text = form.format(**cell).rstrip()
        yield click.style(text, **STYLES[cell["state"]]) if cell["state"] in STYLES else text  # type: ignore[arg-type]
    noted = [cell for cell in cells if cell["note"]]
    if noted:
        yield ""
    for cell in noted[:MOST_NOTES]:
        yield from textwrap.wrap(f"{cell['gateway']}: {cell['note']}", width, subsequent_indent="  ")
    if len(noted) > MOST_NOTES:
        yield f"and {len(noted) - MOST_NOTES} more; --json has the note of each"
