"""Help, examples, completion and the manual: what they name exists, and fits on a screen."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from logger import docs
from logger.cli import COMMANDS, cli, examples
from logger.reports import periods

ROOT = Path(__file__).parent.parent.parent
Known = dict[str, click.Command]


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command and group with what is typed for it."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


KNOWN: Known = dict(commands())


def split(line: str) -> tuple[str, list[str]]:
    """Return the command that a line names, without ``envoylog``, and the words behind it."""
    words = shlex.split(re.split(r" [|>&;] ?", line, maxsplit=1)[0].removeprefix("envoylog "), comments=True)
    while words and words[0] in {"--config", "--database-url"}:
        words = words[2:]
    length = 2 if isinstance(KNOWN.get(words[0]), click.Group) else 1
    return " ".join(words[:length]), words[length:]


def complaint(line: str) -> str | None:
    """Return what the command line would say against a line that somebody reads and types."""
    name, words = split(line)
    if name not in KNOWN:
        return f"no command: {line}"
    command = KNOWN[name]
    context = click.Context(command, info_name=name)
    try:
        chosen, _, _ = command.make_parser(context).parse_args(words)
        for parameter in command.get_params(context):
            value = chosen.get(parameter.name or "")
            if parameter.name in {"since", "until"} and isinstance(value, str):
                periods.parse(value, date(2026, 6, 15))
            elif isinstance(value, str) and not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)
            elif parameter.required and not value:
                return f"{parameter.name} is missing: {line}"
    except click.UsageError as error:
        return f"{error.format_message()}: {line}"
    return None


def help_of(name: str) -> str:
    return CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="envoylog", terminal_width=80).output


@pytest.mark.parametrize("name", KNOWN)
def test_help_fits_into_80_columns_and_cuts_nothing(name: str) -> None:
    lines = help_of(name).splitlines()
    assert [line for line in lines if len(line) > 80 or (line.endswith("...") and not line.startswith("Usage"))] == []
    assert "Examples:" in " ".join(lines) or not name
    if not name or isinstance(KNOWN[name], click.Group):
        assert [line for line in lines if line.startswith(" " * 9) and not line.lstrip().startswith("-")] == []


def test_every_example_can_be_typed() -> None:
    assert [text for typed, _ in examples.EXAMPLES if (text := complaint(typed))] == []


def test_every_command_has_an_example() -> None:
    single = [name for name, command in KNOWN.items() if not isinstance(command, click.Group)]
    assert [name for name in single if not examples.of(name)] == []


PAGES = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
PAGES |= {topic: docs.page(topic) for topic in docs.topics()}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_the_documentation_can_be_typed(page: str) -> None:
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", PAGES[page], re.DOTALL | re.MULTILINE)
    lines = [line.strip() for language, block in blocks if language in {"", "sh"} for line in block.splitlines()]
    lines = [re.sub(r"^(sudo )?\S*envoylog ", "envoylog ", line) for line in lines]
    assert [text for line in lines if line.startswith("envoylog ") if (text := complaint(line))] == []


def named(text: str) -> list[str]:
    """Return what stands as a command in running text and in tables: without brackets and alternatives."""
    return re.findall(r"`envoylog ((?:[^`|]|\\\|)+)`", re.sub(r"\s*\n\s*", " ", text))


@pytest.mark.parametrize("page", [*PAGES, "sources"])
def test_every_command_and_option_that_is_named_exists(page: str) -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "logger").rglob("*.py"))
    wrong = []
    for line in named(sources if page == "sources" else PAGES[page]):
        words = line.replace("…", "").split()
        while words and words[0].startswith("-"):
            words = words[2 if words[0] in {"--config", "--database-url"} else 1 :]
        if not words or words[0] in {"COMMAND", "docs"}:
            continue
        command: click.Command | None = KNOWN.get(words[0])
        names = words[1].split("\\|") if len(words) > 1 else []
        if isinstance(command, click.Group):
            wrong += [f"{words[0]} {name}" for name in names if f"{words[0]} {name}" not in KNOWN]
            command = KNOWN.get(f"{words[0]} {names[0]}") if names else command
        options = {option for parameter in (command.params if command else []) for option in parameter.opts}
        typed = {word.strip("[],").partition("=")[0] for word in words if word.strip("[").startswith("-")}
        wrong += [line] if command is None or typed - options - {"--help"} else []
    assert wrong == []


@pytest.mark.parametrize("topic", docs.topics())
def test_a_page_is_shown_whole_in_80_columns(topic: str) -> None:
    text = docs.page(topic)
    lines = CliRunner().invoke(cli, ["docs", topic], env={"COLUMNS": "80"}).output.splitlines()
    code = {f"    {line}" for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()}
    assert [line for line in lines if len(line) > 80 and line not in code] == []
    words = re.findall(r"\w+", re.sub(r"```\w+|\]\([^)]+\)", " ", text))
    shown = set(re.findall(r"\w+", "\n".join(lines)))
    heads = set(re.findall(r"\w+", " ".join(re.findall(r"^\|.*\n(?=\|[-|: ]+\n)", text, re.MULTILINE))))
    assert [word for word in words if word not in shown | heads] == []


def completions(*words: str) -> list[str]:
    complete = ShellComplete(cli, {}, "envoylog", "_ENVOYLOG_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_the_shell_completes_commands_options_and_values() -> None:
    assert completions("re") == ["report"]
    assert completions("report", "da") == ["daily"]
    assert completions("report", "daily", "--form") == ["--format"]
    assert completions("report", "daily", "--format", "x") == ["xlsx"]
    assert completions("docs", "conf") == ["configuration"]
    assert set(completions("")) >= set(COMMANDS)


def test_the_shell_completes_gateways_and_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[[gateways]]\nname = "roof"\nhost = "a"\n[[gateways]]\nname = "barn"\nhost = "b"\n')
    monkeypatch.setenv("ENVOYLOG_CONFIG", str(path))
    assert completions("report", "daily", "--gateway", "r") == ["roof"]
    assert completions("token", "show", "") == ["roof", "barn"]
    assert completions("export", "polls", "--from", "last") == ["last-month", "last-year"]
    path.write_text("nonsense")
    assert completions("report", "daily", "--gateway", "") == []


def test_completing_a_command_imports_none_of_them() -> None:
    environ = {**os.environ, "_ENVOYLOG_COMPLETE": "bash_complete", "COMP_WORDS": "envoylog st", "COMP_CWORD": "1"}
    code = (
        "import sys\n"
        "from logger.cli import COMMANDS, cli\n"
        "try:\n    cli.main([], prog_name='envoylog')\n"
        "finally:\n    print([m for m, _ in COMMANDS.values() if f'logger.cli.{m}' in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ)
    assert found.stdout.split("\n")[:2] == ["plain,status", "[]"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_each_shell(shell: str) -> None:
    script = CliRunner().invoke(cli, ["completion", shell], prog_name="envoylog").output
    assert f"_ENVOYLOG_COMPLETE={shell}_complete" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, check=True, text=True)


def test_the_manual_has_every_command_option_and_example() -> None:
    page = CliRunner().invoke(cli, ["docs", "--man"], prog_name="envoylog").output
    lines: list[str] = page.replace("\\-", "-").replace("\\e", "\\").splitlines()
    assert lines[0].startswith(".TH ENVOYLOG 1")
    for name, command in KNOWN.items():
        heading = f".SS envoylog {name}"
        assert isinstance(command, click.Group) or any(line.startswith(heading) for line in lines), name
        shown: list[Any] = [option for parameter in command.params for option in parameter.opts if option[:2] == "--"]
        assert [option for option in shown if not any(option in line for line in lines)] == [], name
    assert [typed for typed, _ in examples.EXAMPLES if f"envoylog {typed}" not in lines] == []
    # A line that begins so would be a request to roff.
    requests = {line.split()[0] for line in lines if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".in", ".nf", ".fi", ".br", ".ad", ".nh"}
