"""The README names everything that a user can type, set or read."""

from pathlib import Path

import click
import pytest

from logger.cli import cli
from logger.reports.columns import ENERGY, QUALITY, STATUS
from logger.settings import GATEWAY_KEYS, TOP_KEYS
from logger.store.models import METADATA

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / ".github" / "GLOSSARY.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    found = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            found += [f"{name} {sub}" for sub in command.commands]
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    group, _, sub = command.partition(" ")
    lines = [line for line in README.splitlines() if f"envoylog {group}" in line]
    assert any(sub in line for line in lines), command


@pytest.mark.parametrize("key", [*TOP_KEYS, *GATEWAY_KEYS])
def test_every_setting_is_in_the_readme(key: str) -> None:
    assert f"`{key}`" in README or key == "gateways"


@pytest.mark.parametrize("column", [*(column.name for column in (*ENERGY, *QUALITY)), STATUS])
def test_every_report_column_is_in_the_readme(column: str) -> None:
    assert f"`{column}`" in README


def test_every_table_is_in_the_readme() -> None:
    internal = {"rollup_checkpoints"}
    missing = [name for name in METADATA.tables if f"{name}" not in README]
    assert set(missing) <= internal


def test_every_table_and_event_is_in_the_glossary() -> None:
    events = README[README.index("## Events") : README.index("## SQL cookbook")]
    rows = [line.split("|")[1] for line in events.splitlines() if line.startswith("| `")]
    kinds = [kind for row in rows[1:] for kind in row.split("`")[1::2]]
    assert len(kinds) > 20
    missing = [name for name in (*METADATA.tables, *kinds) if f"`{name}`" not in GLOSSARY]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", ".github/CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    words = (ROOT / page).read_text(encoding="utf-8").split("`")[1::2]
    named = [word for word in words if word.startswith(("logger/", "tests/", "scripts/"))]
    assert named
    missing = [word for word in named if not (ROOT / word.partition(" ")[0]).exists()]
    assert missing == []
