"""``envoylog simulate`` and ``envoylog demo``."""

import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logger import clock, settings
from logger import demo as walk
from logger.cli import program
from logger.errors import UsageError
from logger.simulator import recorded, server
from logger.simulator.faults import KINDS, Fault
from logger.simulator.houses import BATTERIES, HOUSES, plain
from logger.simulator.numbers import CTS, FIRMWARES, Model
from logger.simulator.site import SimulatedClock

if TYPE_CHECKING:
    from logger.simulator.server import Simulation

PATH = click.Path(path_type=Path)
FAULT = "KIND[=ARG][@SINCE[+DURATION]]"
_FAULTS = [click.wrap_text(f"{kind:<16}{what}", 74, "  ", " " * 18) for kind, what in KINDS.items()]
HELP = f"""Serve a simulated gateway until stopped.

A FAULT is {FAULT}, in seconds of simulated time, of one of these KINDs:

\b
{chr(10).join(_FAULTS)}
"""


@click.command(help=HELP)
@click.option("--port", type=click.IntRange(0, 65_535), default=8443, help="0 takes any free port.")
@click.option("--seed", default=1, help="Another weather and another house.")
@click.option("--generation", type=click.Choice(list(FIRMWARES)), default="8")
@click.option("--firmware", default="", show_default=False, help="A firmware of that generation, such as 8.2.4286.")
@click.option("--cts", type=click.Choice(list(CTS)), default="net")
@click.option("--phases", type=click.IntRange(1, 3), default=1)
@click.option("--battery", type=click.Choice(list(BATTERIES)), help="Without a storage CT, with one, or AC Batteries.")
@click.option("--house", type=click.Choice(list(HOUSES)), help="Instead of --cts, --phases and --battery.")
@click.option("--inverters", type=click.IntRange(1, 80), default=12)
@click.option("--peak-power-kwp", type=click.FloatRange(0.1, 1000), default=5.6)
@click.option("--serial", default="122334455667")
@click.option("--time-zone", default="Europe/Madrid")
@click.option("--speed", type=click.FloatRange(0.0), default=1.0, help="How much faster than real time its clock runs.")
@click.option("--start", metavar="INSTANT", help="Its clock at the start (UTC), 2026-06-01T12:00.")
@click.option("--token-file", type=PATH, help="Write a good token here.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="What goes wrong, and when; may be repeated.")
@click.option("--from", "recording", type=PATH, metavar="FILE", help="Serve what `envoylog doctor --bundle` recorded.")
@click.option("--gateway", metavar="NAME", help="Which gateway of a recording. [default: the first]")
@click.option("--now", "is_now", is_flag=True, help="Move the instants of a recording to now.")
def simulate(
    port: int, token_file: Path | None, recording: Path | None, gateway: str | None, is_now: bool, **house: Any
) -> None:
    """Serve it, and say where on stdout."""
    faults = list(map(Fault.parse, house.pop("faults")))
    if recording is None:
        if gateway is not None or is_now:
            raise UsageError("--gateway and --now are of a recording; name it with --from FILE.")
        simulation = _house(faults, **house)
    else:
        _refuse_house(click.get_current_context())
        simulation = _recorded(recording, gateway, faults, is_now=is_now)
    if token_file is not None:
        try:
            settings.write_secret(token_file, simulation.token())
        except OSError as error:
            raise UsageError(f"{token_file} can't be written ({error.strerror}); choose another path.") from error
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with server.GatewayServer(simulation, port) as served:
            model = simulation.model
            click.echo(f"LISTENING {served.url} serial={model.serial} firmware={model.version}")
            click.echo(f"ENVOYLOG_ENLIGHTEN_URL={served.cloud_url} ENVOYLOG_ENTREZ_URL={served.cloud_url}")
            stop.wait()
    except OSError as error:
        raise UsageError(f"Port {port} can't be used ({error.strerror}); choose another --port.") from error


def _house(faults: list[Fault], *, speed: float, start: str | None, **chosen: Any) -> "Simulation":
    """Return a gateway that measures a simulated house."""
    clock.time_zone(chosen["time_zone"])
    house, battery, phases, peak_power_kwp = map(chosen.pop, ("house", "battery", "phases", "peak_power_kwp"))
    built = HOUSES[house] if house else plain(phases, chosen["cts"], battery)
    return server.Simulation(
        shape=replace(
            built.shape,
            peak_power_w=1000 * peak_power_kwp,
            latitude_deg=37.4,
            longitude_deg=-6.0,
            **{key: chosen.pop(key) for key in ("seed", "inverters")},
        ),
        model=Model(**chosen | built.model | {key: chosen[key] for key in ("firmware",) if chosen[key]}),
        clock=SimulatedClock(_instant(start), speed=speed),
        faults=[*built.faults, *faults],
    )


def _recorded(path: Path, name: str | None, faults: list[Fault], *, is_now: bool) -> "Simulation":
    """Return a gateway that answers what was recorded."""
    bundle = recorded.read(path)
    gateway = recorded.chosen(bundle, name)
    others = [other.name for other in bundle.gateways if other is not gateway]
    if others and name is None:
        click.echo(f"serving {gateway.name}; with --gateway also: {', '.join(others)}", err=True)
    return recorded.Recorded(
        model=recorded.model_of(gateway),
        clock=SimulatedClock(clock.utc_now(), speed=1.0),
        faults=faults,
        gateway=gateway,
        is_now=is_now,
    )


def _refuse_house(context: click.Context) -> None:
    """Refuse options of a simulated house beside a recording, which has its own."""
    fitting = {"port", "token_file", "faults", "recording", "gateway", "is_now"}
    given = [
        max(param.opts, key=len)
        for param in context.command.params
        if param.name not in fitting
        and param.expose_value
        and context.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"{', '.join(given)} can't change a recording; leave it out, or leave out --from.")


def _instant(text: str | None) -> datetime:
    if text is None:
        return clock.utc_now()
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"--start {text!r} is not an instant; write 2026-06-01T12:00.") from error


@click.command()
@click.option("--days", type=click.IntRange(1, 1500), default=396, help="Simulated days before today.")
@click.option("--live-s", type=click.IntRange(0, 3600), default=60, help="How long to collect in real time after that.")
@click.option("-o", "directory", type=PATH, default="envoylog-demo", help="Where the database and the spreadsheet go.")
def demo(days: int, live_s: int, directory: Path) -> None:
    """Log a simulated gateway for a minute, and report it.

    The report is compared with what was true. Nothing is needed: no gateway, no configuration.
    """
    walk.Demo(directory, click.echo, program.command(), program.for_own_gateway()).run(days=days, live_s=live_s)
