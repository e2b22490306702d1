"""``envoylog doctor``."""

import json
import logging
import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logger.cli import everywhere
from logger.doctor import bundle as recording
from logger.doctor import examination, findings, installation
from logger.errors import CheckFailedError
from logger.exports import replacing

if TYPE_CHECKING:
    from logger.doctor.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}
WIDTH = 80
INDENT = 23


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per finding.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), metavar="FILE",
    help="Also write a recording for whoever helps you, without serials, names, addresses or secrets.",
)  # fmt: skip
def doctor(as_json: bool, bundle: Path | None) -> int:
    """Check everything, and say what to do about it.

    It looks at the configuration, the database, the clock and the disks, polls each gateway once, and stores nothing.
    It ends with 8 where something is an error.
    """
    chosen = click.get_current_context().find_root().ensure_object(dict)
    here = installation.found(chosen.get("config"), os.environ, database_url=chosen.get("database_url"))
    tell = examination.unheard if as_json else _tell
    with everywhere.quiet(logging.ERROR):  # What a look notices is in the findings.
        found, visits = examination.examine(here, tell, with_more_pages=bundle is not None)
    if as_json:
        everywhere.echo_json([finding.record() for finding in found])
    else:
        click.echo(f"\n{summary(found)}")
    if bundle is not None:
        content = recording.bundle(here.settings, found, visits)
        with replacing(bundle) as out:
            out.write(json.dumps(content, indent=1).encode())
        empty = "" if content["gateways"] else " It has no answer of a gateway; the findings say why."
        click.echo(f"{bundle} is written; look through it before you send it.{empty}", err=True)
    return CheckFailedError.exit_code if findings.has_errors(found) else 0


def _tell(finding: "Finding") -> None:
    click.echo("\n".join(lines([finding])), color=everywhere.wants_colour())


def lines(found: "Sequence[Finding]") -> Iterator[str]:
    """Yield findings for people."""
    for finding in found:
        head = click.style(f"{finding.level:<9}", COLOURS[finding.level]) + f"{finding.check:<{INDENT - 9}}"
        text = finding.finding if finding.gateway is None else f"{finding.gateway}: {finding.finding}"
        first, *rest = _wrapped(text)
        yield head + first
        yield from (" " * INDENT + line for line in rest)
        if finding.to_do is not None:
            yield from (" " * INDENT + line for line in _wrapped(f"-> {finding.to_do}"))


def summary(found: "Sequence[Finding]") -> str:
    """Return how many findings are not fine."""
    counts = {level: sum(finding.level == level for finding in found) for level in ("error", "warning")}
    words = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items() if count]
    return f"{' and '.join(words)}: do first what stands first." if words else "All is well."


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - INDENT, break_long_words=False, break_on_hyphens=False) or [""]
