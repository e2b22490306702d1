"""The manual page, made from the commands themselves."""

from collections.abc import Iterator

import click

from logger import __version__, docs
from logger.cli import COMMANDS, examples

FILES = {
    "~/.config/envoylog/config.toml, /etc/envoylog/config.toml": "the configuration: the first that exists",
    "~/.local/state/envoylog": "pinned certificates, tokens, what waits for the database, and the default database",
    "/var/lib/envoylog": "the same for the service",
}
ENVIRONMENT = {
    "ENVOYLOG_CONFIG": "the configuration's file",
    "ENVOYLOG_DATABASE_URL": "the database",
    "NO_COLOR": "no colours, whatever its value",
}
EXIT_STATUS = {
    "0": "ok", "1": "unexpected", "2": "usage", "3": "configuration", "4": "authentication",
    "5": "gateway unreachable", "6": "database", "7": "no data in the range", "8": "a check failed",
}  # fmt: skip


def page(root: click.Command) -> str:
    """Return the manual page of the whole command line, in roff's man macros."""
    return "\n".join(_lines(root)) + "\n"


def _lines(root: click.Command) -> Iterator[str]:
    context = click.Context(root, info_name="envoylog", **root.context_settings)
    yield f'.TH ENVOYLOG 1 "" "envoylog {__version__}" "User Commands"'
    yield from (".ad l", ".nh")
    yield from (".SH NAME", _escaped(f"envoylog - {_first_words(root)}"))
    yield from (".SH SYNOPSIS", ".B envoylog", _escaped(" ".join(root.collect_usage_pieces(context))))
    yield from (".SH DESCRIPTION", _escaped(root.help or ""))
    yield ".SH OPTIONS"
    yield from _options(root, context)
    yield ".SH COMMANDS"
    for name in COMMANDS:
        yield from _command(name, context)
    for title, entries in (("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_STATUS)):
        yield f".SH {title}"
        yield from _entries(entries)
    yield ".SH SEE ALSO"
    yield from (_escaped(f"envoylog docs {topic}: {title}") + "\n.br" for topic, title in docs.topics().items())


def _command(path: str, above: click.Context) -> Iterator[str]:
    """Yield a command, or those below it."""
    group = above.command
    assert isinstance(group, click.Group)  # noqa: S101 - only groups have commands below
    command = group.get_command(above, path.rpartition(" ")[2])
    assert command is not None  # noqa: S101 - it was listed
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=above)
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from _command(f"{path} {name}", context)
        return
    yield f".SS {_escaped(' '.join([f'envoylog {path}', *command.collect_usage_pieces(context)]))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield from (_escaped(" ".join(paragraph.split())), ".PP")
    yield from _options(command, context)
    for typed, why in examples.of(path):
        yield from (".PP", _escaped(why[0].upper() + why[1:]) + ":", ".PP", ".in +4n", ".nf")
        yield from (_escaped(f"envoylog {typed}"), ".fi", ".in")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    everywhere = {option for parameter in context.find_root().command.params for option in parameter.opts}
    is_root = context.parent is None
    own = [parameter for parameter in command.params if is_root or everywhere.isdisjoint(parameter.opts)]
    yield from _entries(dict(record for parameter in own if (record := parameter.get_help_record(context))))


def _entries(entries: dict[str, str]) -> Iterator[str]:
    for name, text in entries.items():
        yield from (".TP", f".B {_escaped(name)}", _escaped(text) or "\\&")


def _first_words(root: click.Command) -> str:
    text = (root.help or "").rstrip(".")
    return text[0].lower() + text[1:]


def _escaped(text: str) -> str:
    """Return text that roff prints as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{text}" if text.startswith((".", "'")) else text
