"""``envoylog run`` and ``envoylog poll``."""

import contextlib
import json
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from logger.cli.options import gateways_of, load_settings, opened
from logger.clock import utc_now
from logger.collector import service, wiring
from logger.errors import GatewayError, LoggerError
from logger.gateway import client
from logger.store import lock

if TYPE_CHECKING:
    from logger.gateway.client import Gateway
    from logger.readings import ConsumptionSample, Poll, ProductionSample
    from logger.settings import Settings

log = logging.getLogger(__name__)


@click.command()
def run() -> None:
    """Collect from every gateway until stopped.

    Ctrl-C, SIGTERM and SIGHUP stop it: the poll in flight is finished and stored.
    """
    loaded = load_settings()
    names = ", ".join(gateway.name for gateway in gateways_of(loaded))
    with contextlib.closing(lock.CollectorDatabase(loaded.database_url)) as database:
        collector = service.Service(
            wiring.pollers(loaded, database, os.environ),
            poll_every_s=loaded.poll_every_s,
            inverters_every_s=loaded.inverters_every_s,
        )
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, collector.stop)
        log.info("collecting gateways=%s every %d s", names, loaded.poll_every_s)
        collector.run()
    log.info("stopped")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
@click.option("--no-store", is_flag=True, help="Only show; write nothing to the database.")
def poll(as_json: bool, no_store: bool) -> int:
    """Poll every gateway once, store what it reports, and show it."""
    gateways_of(loaded := load_settings())
    answers = list(_asked(loaded) if no_store else _stored(loaded))
    for answer in answers:
        for problem in answer.problems():
            click.echo(f"envoylog: {problem}", err=True)
        if not as_json and answer.poll is not None and answer.error is None:
            click.echo("\n".join(_lines(answer.gateway.settings.name, answer.poll)))
    if as_json:
        click.echo(json.dumps([answer.record() for answer in answers], indent=2, default=str, ensure_ascii=False))
    return next((code for answer in answers if (code := answer.exit_code)), 0)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one poll of one gateway."""

    gateway: "Gateway"
    poll: "Poll | None"
    error: LoggerError | None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        if (refused := self.gateway.endpoints.refused_user) is not None:
            return refused.exit_code
        return GatewayError.exit_code if self.poll is not None and self.poll.outcome == "failed" else 0

    def problems(self) -> Iterator[str]:
        """Yield what a person should hear."""
        settings = self.gateway.settings
        if isinstance(self.error, GatewayError):
            yield str(client.unreachable(settings, self.error))
        elif self.error is not None:
            yield str(self.error)
        elif self.poll is not None:
            for failure in self.poll.failures:
                yield f"{settings.name}: {failure.source}: {failure.error}"
        if self.poll is not None and self.gateway.is_nightly_outage(self.poll.polled_at):
            yield f"{settings.name}: inverters are not asked from 22:58 to 23:06, while gateways restart"

    def record(self) -> dict[str, Any]:
        """Return all of it for a program."""
        record: dict[str, Any] = {"gateway": self.gateway.settings.name}
        if self.poll is None:
            return record | {"outcome": "failed", "error": str(self.error)}
        record |= asdict(self.poll) | {"outcome": self.poll.outcome, "error": self.poll.error}
        del record["clock_set"]
        return record


def _asked(loaded: "Settings") -> Iterator[_Answer]:
    """Poll every gateway and keep nothing."""
    at = utc_now()
    for settings in loaded.gateways:
        gateway = client.Gateway(loaded, settings, os.environ)
        try:
            yield _Answer(gateway, gateway.poll(at=at, inverters=True), None)
        except LoggerError as error:
            yield _Answer(gateway, None, error)


def _stored(loaded: "Settings") -> Iterator[_Answer]:
    """Poll every gateway and store what it reports."""
    at = utc_now()
    with opened(loaded, prepare=True) as engine:
        for poller in wiring.pollers(loaded, engine, os.environ):
            polled = poller.poll(at, inverters=True)
            if not poller.keeper.store_all():
                click.echo(f"envoylog: nothing was stored: {poller.keeper.error}", err=True)
            yield _Answer(poller.gateway, polled, poller.last_error or poller.keeper.error)


#: kind -> what people call them
BATTERIES = {"encharge": "IQ Batteries", "acb": "AC Batteries"}


def _lines(name: str, polled: "Poll") -> Iterator[str]:
    firmware = f", firmware {polled.info.firmware}" if polled.info else ""
    when = f"{polled.polled_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"{name}  serial {polled.gateway_serial}{firmware}  {when}  {polled.outcome}"
    samples: list[ProductionSample | ConsumptionSample] = [*polled.production, *polled.consumption]
    for sample in samples:
        what, wh = getattr(sample, "measurement", "production"), sample.energy_lifetime_wh
        yield _line(what, sample.phase, sample.power_w, wh, sample.source)
    for meter in polled.meter_readings:
        if meter.phase == "total":
            volts = "" if meter.voltage_v is None else f"{meter.voltage_v:10.1f} V"
            yield _line(f"{meter.measurement} CT", meter.phase, meter.power_w, None, "") + volts
    for together in polled.storage:
        soc = "" if together.soc_pct is None else f"{together.soc_pct:10.0f} %"
        yield _line(BATTERIES[together.kind], "total", together.power_w, None, "") + soc
    if polled.inverters:
        watts = sum(inverter.power_w or 0 for inverter in polled.inverters)
        yield f"  {len(polled.inverters)} inverters, last reports add up to {watts:.0f} W"


def _line(what: str, phase: str, power_w: float | None, energy_wh: float | None, source: str) -> str:
    watts = "unknown" if power_w is None else f"{power_w:.1f} W"
    energy = "" if energy_wh is None else f"{energy_wh / 1000:.3f} kWh lifetime"
    return f"  {what:<22}{phase:<7}{watts:>12}{energy:>28}  {source}".rstrip()
