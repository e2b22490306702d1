"""``envoylog panels``."""

from dataclasses import asdict

import click

from logger.cli.everywhere import echo_json
from logger.cli.options import complete_gateway, load_settings, reading
from logger.clock import local_day, time_zone, to_epoch_s, utc_now
from logger.errors import NoDataError
from logger.exports import panel_lines
from logger.reports.energy import sites_of
from logger.reports.panels import NOT_JUDGED, STANDS, last_judged, standing_panels


@click.command()
@click.option("--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.")
@click.option("--for-installer", is_flag=True, help="Only panels that are not fine, with what an installer asks for.")
@click.option("--json", "as_json", is_flag=True, help="Print one record per panel.")
def panels(gateway: str | None, for_installer: bool, as_json: bool) -> None:
    """Compare each panel with its neighbours.

    A panel is fine, weak, shaded, silent, dead or removed; the reports of its inverter tell.
    """
    now_s, found = to_epoch_s(utc_now()), []
    with reading(load_settings()) as connection:
        for site in sites_of(connection, gateway, inverters=True):
            today = local_day(now_s, time_zone(site.zone))
            found += standing_panels(connection, site, today, is_old=True)
            last = last_judged(connection, site, today)
            if last is not None and last < today - STANDS:
                click.echo(f"{site.name}: as of {last}; no later day of its inverters was recorded.", err=True)
    if not found:
        raise NoDataError(NOT_JUDGED)
    if for_installer:
        found = [panel for panel in found if panel.state not in {None, "fine"}]
    if as_json:
        echo_json([asdict(panel) | {"since": str(panel.since)} for panel in found])
    elif not found:
        click.echo("All panels are fine.")
    else:
        click.echo("\n".join(panel_lines.lines(found, for_installer=for_installer)))
