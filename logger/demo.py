"""The whole walk on one machine: a simulated gateway, the collector, the report, the truth.

Nothing in here is a stand-in: the gateway speaks HTTPS and wants a token, the collector, the
database and the reports are the ones of every day.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from logger import exports, settings
from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, utc_now
from logger.collector import service, wiring
from logger.collector.poller import Poller
from logger.errors import CheckFailedError, SettingsError, UsageError
from logger.reports import Report
from logger.reports.energy import energy_report
from logger.settings import Settings, write_secret
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation, serving
from logger.simulator.site import Shape, SimulatedClock
from logger.store import schema
from logger.store.database import open_engine

ZONE = "Europe/Madrid"
HISTORY_EVERY_S = 300
LIVE_EVERY_S = 5
MARK = "# made by envoylog demo; the next demo replaces it\n"
TOLERANCE_PCT = 0.1
LOOK = "SELECT day, production_kwh, consumption_kwh FROM v_energy_daily"
FLOWS = ("production", "consumption")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a demo leaves what it made."""

    directory: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.directory / "config.toml"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.directory / "envoylog.db"

    @property
    def workbook(self) -> Path:
        """The spreadsheet."""
        return self.directory / "energy.xlsx"


class Demo:
    """Runs the demo in a directory; ``say`` gets each line for people."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.files = Files(directory)
        self.say = say

    def run(self, *, days: int, live_s: int) -> None:
        """Collect ``days`` of history and ``live_s`` seconds live, report and compare.

        Raises:
            UsageError: the directory holds something else.
            CheckFailedError: a total is off by more than 0.1 %.
        """
        now = utc_now()
        zone = time_zone(ZONE)
        first = local_day(int(now.timestamp()), zone) - timedelta(days=days)
        start = from_epoch_s(day_start_s(first, zone))
        simulation = Simulation(
            shape=Shape(phases=3, latitude_deg=37.4, longitude_deg=-6.0),
            model=Model(cts="net", time_zone=ZONE),
            clock=SimulatedClock(start, speed=0),
        )
        with serving(simulation) as server:
            loaded = self._prepare(server.url, simulation.token(days=days + 365))
            self.say(f"simulated gateway at {server.url} (HTTPS, token, 3 phases, 12 inverters)")
            engine = open_engine(loaded.database_url)
            schema.upgrade(engine)
            poller = wiring.pollers(loaded, engine, {}, clock=simulation.clock)[0]
            self._history(poller, simulation, start, now, days)
            last = self._live(poller, simulation, live_s) or now
            if not poller.keeper.store_all():
                raise CheckFailedError(
                    f"the database did not take everything: {poller.keeper.error}"
                )
            made = self._report(engine, last)
            self._compare(made, simulation, last)
            engine.dispose()
        self._farewell()

    def _prepare(self, url: str, token: str) -> Settings:
        files = self.files
        try:
            if files.directory.exists() and any(files.directory.iterdir()):
                if not (files.config.is_file() and files.config.read_text().startswith(MARK)):
                    raise UsageError(
                        f"{files.directory} holds something else than a demo; choose another -o."
                    )
                shutil.rmtree(files.directory)
            files.directory.mkdir(parents=True, exist_ok=True)
            write_secret(files.directory / "roof.token", token)
            files.config.write_text(
                f'{MARK}database_url = "sqlite:///{files.database.resolve()}"\n'
                f'state_dir = "{files.directory.resolve() / "state"}"\n'
                f"poll_every_s = {LIVE_EVERY_S}\ninverters_every_s = {12 * LIVE_EVERY_S}\n"
                f'commit_every_s = {LIVE_EVERY_S}\n\n[[gateways]]\nname = "roof"\n'
                f'host = "{url}"\ntoken_file = "roof.token"\npeak_power_kwp = 5.6\nmdns = false\n',
                encoding="utf-8",
            )
        except OSError as error:
            raise SettingsError(
                f"{files.directory} can't be written ({error.strerror}); choose another -o."
            ) from error
        return settings.load(files.config, {})

    def _history(
        self, poller: Poller, simulation: Simulation, start: datetime, now: datetime, days: int
    ) -> None:
        self.say(f"collecting {days} days of simulated history, a poll per 5 minutes …")
        at, number = start, 0
        while at < now:
            simulation.clock.set(at)
            poll = poller.poll(at, inverters=number % 3 == 0)
            poller.keeper.store()
            if poll.failures:
                raise CheckFailedError(f"the simulated gateway did not answer: {poll.error}")
            at, number = at + timedelta(seconds=HISTORY_EVERY_S), number + 1
        self.say(f"  {number} polls")

    def _live(self, poller: Poller, simulation: Simulation, live_s: int) -> datetime | None:
        """Collect in real time, each 5 seconds on the clock; return the last slot."""
        if not live_s:
            return None
        self.say(f"collecting for {live_s} s in real time, a poll per {LIVE_EVERY_S} s …")
        simulation.clock.set(utc_now())
        simulation.clock.speed = 1.0
        collector = service.Service(
            [poller], poll_every_s=LIVE_EVERY_S, inverters_every_s=12 * LIVE_EVERY_S
        )
        timer = threading.Timer(live_s, collector.stop)
        timer.daemon = True
        timer.start()
        collector.run()
        self.say(f"  {collector.slots_offered} slots")
        simulation.clock.speed = 0.0
        return collector.last_slot

    def _report(self, engine: Engine, now: datetime) -> Report:
        with engine.connect() as connection:
            made = energy_report(connection, "daily", now=now)
        self.say("")
        self.say(exports.to_table(made).decode().rstrip())
        exports.write_file(self.files.workbook, exports.to_xlsx(made))
        return made

    def _compare(self, made: Report, simulation: Simulation, last: datetime) -> None:
        """Compare each day with the simulated site's own integrals."""
        zone = time_zone(ZONE)
        self.say("\nwhat was counted against what was true (kWh):")
        worst = 0.0
        for row in made.rows:
            record = dict(zip(made.names, row, strict=True))
            since = from_epoch_s(day_start_s(record["day"], zone))
            until = min(from_epoch_s(day_end_s(record["day"], zone)), last)
            # The last slot may be read some seconds late, or not any more.
            late = timedelta(seconds=LIVE_EVERY_S if until == last else 0)
            parts = []
            for flow in FLOWS:
                true, least, most = (
                    simulation.site.energy_between_wh(flow, since, end) / 1000
                    for end in (until, until - late, until + late)
                )
                if (found := record[f"{flow}_kwh"]) is None:
                    raise CheckFailedError(f"No {flow} on {record['day']}; please report this.")
                off = 100 * max(0.0, least - found, found - most) / max(true, 0.05)
                worst = max(worst, off)
                parts.append(f"{flow} {found:9.3f} / {true:9.3f}")
            self.say(f"  {record['day']}  " + "   ".join(parts))
        self.say(f"  largest difference {worst:.4f} %")
        if worst > TOLERANCE_PCT:
            raise CheckFailedError(f"A total is off by {worst:.2f} %; please report this.")

    def _farewell(self) -> None:
        files = self.files
        self.say(f"\ndatabase     {files.database}")
        self.say(f"spreadsheet  {files.workbook}")
        self.say(f"\ntry next:  envoylog --config {files.config} report monthly")
        self.say(f"           sqlite3 -box {files.database} 'TABLE'".replace("TABLE", LOOK))
