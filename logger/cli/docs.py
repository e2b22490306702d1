"""``envoylog docs``."""

import click

from logger import docs as pages


@click.command()
@click.argument("topic", required=False)
def docs(topic: str | None) -> None:
    """Read the documentation, offline."""
    if topic is None:
        titles = pages.topics()
        click.echo("envoylog docs TOPIC shows one of:\n")
        for name, title in titles.items():
            click.echo(f"  {name:<{max(map(len, titles))}}  {title}")
        return
    click.echo_via_pager(pages.page(topic))
