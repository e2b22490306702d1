"""``envoylog docs`` and ``envoylog completion``."""

import os
import shutil

import click
from click.shell_completion import get_completion_class

from logger import docs as pages
from logger.cli import manual, markdown

SHELLS = ("bash", "zsh", "fish")


def _topics(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    return [topic for topic in pages.topics() if topic.startswith(typed)]


@click.command()
@click.argument("topic", required=False, shell_complete=_topics)
@click.option("--man", is_flag=True, help="Print the manual page, for man.")
def docs(topic: str | None, man: bool) -> None:
    """Read the documentation, offline."""
    if man:
        click.echo(manual.page(click.get_current_context().find_root().command), nl=False)
    elif topic:
        # As git has it: what fits on the screen is shown without waiting for a key.
        os.environ.setdefault("LESS", "-FRX")
        click.echo_via_pager(markdown.render(pages.page(topic), shutil.get_terminal_size().columns))
    else:
        titles = pages.topics()
        click.echo("envoylog docs TOPIC shows one of:\n")
        for name, title in titles.items():
            click.echo(f"  {name:<{max(map(len, titles))}}  {title}")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what completes commands and options with Tab."""
    click.echo(script(click.get_current_context().find_root().command, shell), nl=False)


def script(root: click.Command, shell: str) -> str:
    """Return what a shell reads to complete the words of the command line."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click knows these
    # Not the instance's source(): that starts the shell to ask for its version.
    return found.source_template % found(root, {}, "envoylog", "_ENVOYLOG_COMPLETE").source_vars()
