"""What is answered to words that the command line does not know: a sentence with the nearest that it knows."""

import difflib
from collections.abc import Iterator, Sequence

import click

#: command -> what its argument is, and how it is written
NEEDED = {
    "db copy": "the empty database to copy into: sqlite:////mnt/usb/envoylog.db or postgresql://user@host/name",
    "db publish": "the file to write: /mnt/nas/energy.db",
    "db restore": "the backup to put in the place of the database",
    "sql create-reader": "the name of the role to make",
}
#: what other programs call it -> how it is typed here
CALLED = {
    "help": "--help",
    "version": "--version",
    "start": "run",
    "collect": "run",
    "init": "setup",
    "configure": "setup",
    "scan": "discover",
    "xlsx": "report daily -o energy.xlsx",
    "excel": "report daily -o energy.xlsx",
}


def sentence_of(error: click.UsageError) -> str:
    """Return what is wrong with a command line, and what to type instead."""
    if error.ctx is None:
        return error.format_message()
    context = error.ctx
    if isinstance(error, click.MissingParameter) and error.param is not None:
        text = f"{_needed(context, error.param)}."
    elif isinstance(error, click.BadParameter) and error.param is not None:
        text = _refused(error.param, context, error.message)
    elif isinstance(error, click.NoSuchOption):
        text = f"There is no option {error.option_name}{_or_else(error.possibilities or ())}"
    elif (word := _unknown_command(error)) is not None and isinstance(context.command, click.Group):
        if context.parent is None and word in CALLED:
            return f"There is no command {word!r}; type: {context.command_path} {CALLED[word]}"
        text = _unknown(context, context.command, word)
    elif error.message.startswith("Got unexpected extra"):
        words = error.message.partition("(")[2].rstrip(").")
        text = f"`{context.command_path}` takes no {words!r}.{_days_hint(context.command)}"
    else:
        text = error.format_message()
    return f"{text} See: {context.command_path} --help"


def _unknown_command(error: click.UsageError) -> str | None:
    """Return the word that is no command; click has an error of its own for it from 8.4 on."""
    start = "No such command '"
    return error.message.removeprefix(start).split("'")[0] if error.message.startswith(start) else None


def _unknown(context: click.Context, group: click.Group, word: str) -> str:
    """Return what a group has instead of an unknown word; at the top also what lies in other groups."""
    is_top = context.parent is None
    paths = list(_paths(context, group, context.command_path)) if is_top else []
    paths += [f"{context.command_path} {name}" for name in group.list_commands(context)]
    by_last = {path.rpartition(" ")[2]: path for path in paths}
    near = difflib.get_close_matches(word, by_last, n=2, cutoff=0.7)
    kind = "report" if context.command_path.endswith(" report") else "command"
    text = f"There is no {kind} {word!r}"
    if near:
        return text + _or_else([f"`{by_last[name]}`" for name in near])
    return text + ("." if is_top else f"; there are {', '.join(group.list_commands(context))}.")


def _paths(context: click.Context, group: click.Group, path: str) -> Iterator[str]:
    """Yield how the commands of a group's groups are typed."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from (f"{path} {name} {inner}" for inner in command.list_commands(context))


def _or_else(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else "."


def _needed(context: click.Context, param: click.Parameter) -> str:
    command = context.command_path.partition(" ")[2]
    what = NEEDED.get(command)
    if what is None and isinstance(param.type, click.Choice):
        what = "one of " + ", ".join(map(str, param.type.choices))
    return f"`{context.command_path}` needs {_written(param, context)}{f', {what}' if what else ''}"


def _written(param: click.Parameter, context: click.Context) -> str:
    """Return how a parameter is typed."""
    return max(param.opts, key=len) if isinstance(param, click.Option) else param.make_metavar(context)


def _refused(param: click.Parameter, context: click.Context, message: str) -> str:
    """Return what a parameter takes, where click would say what it does not."""
    written, kind, given = _written(param, context), param.type, message.partition("'")[2].partition("'")[0]
    if isinstance(kind, click.Choice):
        choices = list(map(str, kind.choices))
        near = difflib.get_close_matches(given, choices, n=1)
        return f"{written} is one of {', '.join(choices)}, not {given!r}{_or_else(near)}"
    if isinstance(kind, click.IntRange | click.FloatRange) and kind.min is not None:
        most = "or more" if kind.max is None else f"to {kind.max:g}"
        return f"{written} is a number, {kind.min:g} {most}, not {given or message.split(' ', maxsplit=1)[0]}."
    return f"{written}: {message}"


def _days_hint(command: click.Command) -> str:
    takes_days = any("--from" in param.opts for param in command.params)
    return " Days are chosen with --from and --to, as in --from yesterday." if takes_days else ""
