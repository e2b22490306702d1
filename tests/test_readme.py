"""The documentation names everything that a user can type, set or read."""

import re
from pathlib import Path

import click
import pytest

from logger import docs, settings
from logger.cli import cli
from logger.reports.columns import ENERGY, QUALITY, STATUS
from logger.settings import GATEWAY_KEYS, TOP_KEYS
from logger.store.models import METADATA

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {topic: docs.page(topic) for topic in docs.topics()}
DOCUMENTATION = "\n".join([README, *PAGES.values()])
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
def test_every_command_is_documented(command: str) -> None:
    group, _, sub = command.partition(" ")
    lines = [line for line in DOCUMENTATION.splitlines() if f"envoylog {group}" in line]
    assert any(sub in line for line in lines), command


@pytest.mark.parametrize("key", [*TOP_KEYS, *GATEWAY_KEYS])
def test_every_setting_is_documented(key: str) -> None:
    assert f"`{key}`" in PAGES["configuration"] or key == "gateways"


@pytest.mark.parametrize("column", [*(column.name for column in (*ENERGY, *QUALITY)), STATUS])
def test_every_report_column_is_documented(column: str) -> None:
    assert f"`{column}`" in PAGES["totals"]


def test_every_table_is_documented() -> None:
    internal = {"rollup_checkpoints", "inverter_hours"}
    missing = [name for name in METADATA.tables if name not in PAGES["database"]]
    assert set(missing) <= internal


def test_every_table_and_event_is_in_the_glossary() -> None:
    rows = [line.split("|")[1] for line in PAGES["events"].splitlines() if line.startswith("| `")]
    kinds = [kind for row in rows for kind in row.split("`")[1::2] if kind != "kind"]
    assert len(kinds) > 20
    missing = [name for name in (*METADATA.tables, *kinds) if f"`{name}`" not in GLOSSARY]
    assert missing == []


MARKDOWN = ["README.md", ".github/CONTRIBUTING.md", *(f".github/docs/{topic}.md" for topic in PAGES)]


def test_every_file_that_is_named_exists() -> None:
    words = [word for page in MARKDOWN for word in (ROOT / page).read_text(encoding="utf-8").split("`")[1::2]]
    named = [word for word in words if word.startswith(("logger/", "tests/", "scripts/"))]
    assert len(named) > 20
    missing = [word for word in named if not (ROOT / word.partition(" ")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if name.startswith("http"):
            continue
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target


def test_the_readme_lists_every_page() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(.github/docs/(\w+)\.md\)", README, re.MULTILINE)
    assert {topic for topic, file in listed if topic == file} == set(PAGES)


def test_the_status_screen_of_the_readme_has_the_labels_of_the_real_one() -> None:
    screen = README.partition("```text\n")[2].partition("```")[0]
    lines = screen.splitlines()
    assert len(lines) > 15
    assert max(map(len, lines)) <= 80
    labels = [line[2:14].strip() for line in lines[1:] if line[2:3].isalpha()]
    own = {label.removesuffix(" today") for label in labels} - {"June", "2026"}
    code = sources("exports/screen.py") + sources("cli/status.py")
    assert len(own) > 8
    assert [label for label in own if f'"{label}' not in code] == []


def sources(pattern: str = "**/*.py") -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "logger").glob(pattern))


def test_every_variable_and_place_that_is_named_exists() -> None:
    code = sources()
    keys = {f"ENVOYLOG_{key.upper()}" for key in TOP_KEYS}
    for name in set(re.findall(r"ENVOYLOG_[A-Z_]+", DOCUMENTATION)) - keys:
        assert name in code or name.startswith("ENVOYLOG_GATEWAYS__ROOF__"), name
    places = set(re.findall(r"(?<![\w.])/(?:etc|var/lib|opt)/envoylog\b|/usr/local/bin/envoylog\b", DOCUMENTATION))
    assert len(places) >= 3
    assert [place for place in places if place not in code + (ROOT / "scripts/install").read_text()] == []


def test_every_key_of_an_example_exists_and_the_example_can_be_used(tmp_path: Path) -> None:
    examples = [
        block for page in (README, *PAGES.values()) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    ]
    assert examples
    for number, block in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        assert settings.load(path, {}).gateways
    rows = re.findall(r"^\| `(\w+)` \|", PAGES["configuration"], re.MULTILINE)
    assert set(rows) == {*TOP_KEYS, *GATEWAY_KEYS} - {"gateways"}


def test_every_event_that_is_described_happens() -> None:
    code = sources()
    rows = re.findall(r"^\| (`.+?`) \|", PAGES["events"], re.MULTILINE)
    kinds = [kind for row in rows for kind in re.findall(r"`(\w+)`", row) if kind != "kind"]
    assert len(kinds) == len(set(kinds)) > 30
    made = {"meter_enabled", "meter_disabled"} if 'f"meter_{' in code else set()
    assert [kind for kind in kinds if f'"{kind}"' not in code and kind not in made] == []
