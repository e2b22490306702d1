"""``envoylog run`` and ``envoylog poll``."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from logger.cli.options import gateways_of, load_settings, prepared_database
from logger.clock import utc_now
from logger.errors import GatewayError, LoggerError
from logger.readings import Outcome, Phase, Poll

log = logging.getLogger(__name__)


@click.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Collect from every gateway until stopped (SIGTERM or Ctrl-C)."""
    from logger.collector import service, wiring  # noqa: PLC0415 - only what is called
    from logger.store.lock import CollectorDatabase  # noqa: PLC0415 - the same

    loaded = load_settings(ctx)
    gateways_of(loaded)
    with contextlib.closing(CollectorDatabase(loaded.database_url)) as database:
        made = service.Service(
            wiring.durable_pollers(loaded, database, os.environ),
            poll_every_s=loaded.poll_every_s,
            inverters_every_s=loaded.inverters_every_s,
        )
        service.catch_signals(made)
        names = ", ".join(one.name for one in loaded.gateways)
        log.info("collecting gateways=%s every %d s", names, loaded.poll_every_s)
        made.run()
    log.info("stopped")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
@click.option("--no-store", is_flag=True, help="Only show; write nothing to the database.")
@click.pass_context
def poll(ctx: click.Context, as_json: bool, no_store: bool) -> int:
    """Poll every gateway once, store what it says, and show it."""
    loaded = load_settings(ctx)
    gateways_of(loaded)
    at = utc_now()
    if no_store:
        from logger.gateway.client import Gateway  # noqa: PLC0415 - only what is called

        gateways = [Gateway(loaded, one, os.environ) for one in loaded.gateways]
        outcomes = [_asked(gateway, at) for gateway in gateways]
    else:
        from logger.collector import wiring  # noqa: PLC0415 - the same

        engine = prepared_database(loaded)
        pollers = wiring.pollers(loaded, engine, os.environ)
        outcomes = []
        for one in pollers:
            polled = one.poll(at, inverters=True)
            stored = one.keeper.store_all()
            outcomes.append((polled, one.last_error or one.keeper.error, one.gateway))
            if not stored and one.keeper.error is not None:
                click.echo(f"envoylog: nothing was stored: {one.keeper.error}", err=True)
        engine.dispose()
    _show(outcomes, loaded.gateways, as_json=as_json)
    return _exit_code(outcomes)


def _asked(gateway: Any, at: datetime) -> tuple[Poll | None, LoggerError | None, Any]:
    try:
        return gateway.poll(at=at, inverters=True), None, gateway
    except LoggerError as error:
        return None, error, gateway


def _exit_code(outcomes: list[tuple[Poll | None, LoggerError | None, Any]]) -> int:
    for polled, error, gateway in outcomes:
        if error is not None:
            return error.exit_code
        if gateway.endpoints.refused_user is not None:
            return int(gateway.endpoints.refused_user.exit_code)
        if polled is not None and polled.outcome is Outcome.FAILED:
            return GatewayError.exit_code
    return 0


def _show(outcomes: list[Any], names: Any, *, as_json: bool) -> None:
    from logger.gateway.client import unreachable  # noqa: PLC0415 - loaded by now

    records = []
    for (polled, error, gateway), settings in zip(outcomes, names, strict=True):
        if error is not None:
            shown = unreachable(settings, error) if isinstance(error, GatewayError) else error
            click.echo(f"envoylog: {shown}", err=True)
        elif polled.failures:
            for failure in polled.failures:
                click.echo(
                    f"envoylog: {settings.name}: {failure.source}: {failure.error}", err=True
                )
        if polled is not None and gateway.is_nightly_outage(polled.polled_at):
            click.echo(
                f"envoylog: {settings.name}: inverters are not asked from 22:58 to 23:06, while "
                "gateways restart",
                err=True,
            )
        if as_json:
            records.append({"gateway": settings.name, **_record(polled, error)})
        elif polled is not None and error is None:
            click.echo("\n".join(_lines(settings.name, polled)))
    if as_json:
        click.echo(json.dumps(records, indent=2, default=str, ensure_ascii=False))


def _record(polled: Poll | None, error: LoggerError | None) -> dict[str, Any]:
    if polled is None:
        return {"outcome": Outcome.FAILED, "error": str(error)}
    record = asdict(polled)
    return {**record, "outcome": polled.outcome, "error": polled.error}


def _lines(name: str, polled: Poll) -> Iterator[str]:
    info = polled.info
    firmware = f", firmware {info.firmware}" if info else ""
    when = polled.polled_at.strftime("%Y-%m-%d %H:%M:%S")
    yield f"{name}  serial {polled.gateway_serial}{firmware}  {when} UTC  {polled.outcome}"
    for made in polled.production:
        yield _line("production", made.phase, made.power_w, made.energy_lifetime_wh, made.source)
    for used in polled.consumption:
        yield _line(
            used.measurement, used.phase, used.power_w, used.energy_lifetime_wh, used.source
        )
    for meter in polled.meter_readings:
        if meter.phase is Phase.TOTAL:
            volts = "" if meter.voltage_v is None else f"{meter.voltage_v:10.1f} V"
            yield _line(f"{meter.measurement} CT", meter.phase, meter.power_w, None, "") + volts
    reporting = [one for one in polled.inverters if one.power_w is not None]
    if polled.inverters:
        watts = sum(one.power_w or 0 for one in reporting)
        yield f"  {len(polled.inverters)} inverters, last reports add up to {watts:.0f} W"


def _line(
    what: str, phase: str, power_w: float | None, energy_wh: float | None, source: str
) -> str:
    watts = "unknown" if power_w is None else f"{power_w:.1f} W"
    energy = "" if energy_wh is None else f"{energy_wh / 1000:.3f} kWh lifetime"
    return f"  {what:<22}{phase:<7}{watts:>12}{energy:>28}  {source}".rstrip()
