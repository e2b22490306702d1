"""The whole walk on one machine: a simulated gateway, the collector, the report, the truth.

Nothing in here is a stand-in: the gateway speaks HTTPS and wants a token, the collector, the database and the reports
are the ones of every day.
"""

import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from logger import clock, exports, settings
from logger.collector import service, wiring
from logger.collector.poller import Poller
from logger.errors import CheckFailedError, SettingsError, UsageError
from logger.exports.page import to_html
from logger.reports import Report, summary
from logger.reports.energy import energy_report
from logger.reports.page import pages
from logger.settings import Settings, write_secret
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store import schema
from logger.store.database import opened

ZONE = clock.time_zone("Europe/Madrid")
HISTORY_EVERY_S = 300
LIVE_EVERY_S = 5
MARK = "# made by envoylog demo; the next demo replaces it\n"
TOLERANCE_PCT = 0.1
LOOK = "SELECT day, production_kwh, consumption_kwh FROM v_energy_daily"
FLOWS = ("production", "consumption")


class Demo:
    """Runs the demo in a directory; ``show`` gets each line for people, ``program`` is what they type for it."""

    def __init__(self, directory: Path, show: Callable[[str], None], program: str = "envoylog") -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.database = directory / "envoylog.db"
        self.workbook = directory / "energy.xlsx"
        self.page = directory / "month.html"
        self.show = show
        self.program = program

    def run(self, *, days: int, live_s: int) -> None:
        """Collect ``days`` of history and ``live_s`` seconds live, report and compare.

        Raises:
            UsageError: the directory holds something else.
            CheckFailedError: a total is off by more than 0.1 %.
        """
        now = clock.utc_now()
        first = clock.local_day(clock.to_epoch_s(now), ZONE) - timedelta(days=days)
        start = clock.from_epoch_s(clock.day_start_s(first, ZONE))
        simulation = Simulation(
            shape=Shape(phases=3, latitude_deg=37.4, longitude_deg=-6.0),
            model=Model(cts="net", time_zone=ZONE.key),
            clock=SimulatedClock(start, speed=0),
        )
        with GatewayServer(simulation) as server:
            loaded = self._prepare(server.url, simulation.token(days=days + 365))
            self.show(f"simulated gateway at {server.url} (HTTPS, token, 3 phases, 12 inverters)")
            with opened(loaded.database_url) as engine:
                schema.upgrade(engine)
                (poller,) = wiring.pollers(loaded, engine, {}, clock=simulation.clock)
                self.show(f"collecting {days} days of simulated history, a poll per 5 minutes …")
                last = self._history(poller, simulation, start, now)
                if live_s:
                    last = self._live(poller, simulation, live_s) or last
                if not poller.keeper.store_all():
                    raise CheckFailedError(f"the database did not take everything: {poller.keeper.error}")
                report = self._report(engine, last)
            self._compare(report, simulation, last)
        self.show(f"\ndatabase     {self.database}\nspreadsheet  {self.workbook}\npage         {self.page}")
        self.show(f"\ntry next:  {self.program} --config {self.config} report monthly")
        self.show(f"           sqlite3 -box {self.database} '{LOOK}'")

    def _prepare(self, url: str, token: str) -> Settings:
        """Write the configuration into a directory that is new or of an earlier demo."""
        try:
            if self.directory.exists() and any(self.directory.iterdir()):
                if not (self.config.is_file() and self.config.read_text().startswith(MARK)):
                    raise UsageError(f"{self.directory} holds something else than a demo; choose another -o.")
                shutil.rmtree(self.directory)
            self.directory.mkdir(parents=True, exist_ok=True)
            write_secret(self.directory / "roof.token", token)
            self.config.write_text(
                f'{MARK}database_url = "sqlite:///{self.database.resolve()}"\n'
                f'state_dir = "{self.directory.resolve() / "state"}"\n'
                f"poll_every_s = {LIVE_EVERY_S}\ninverters_every_s = {12 * LIVE_EVERY_S}\n"
                f'commit_every_s = {LIVE_EVERY_S}\n\n[[gateways]]\nname = "roof"\n'
                f'host = "{url}"\ntoken_file = "roof.token"\npeak_power_kwp = 5.6\nmdns = false\n',
                encoding="utf-8",
            )
        except OSError as error:
            raise SettingsError(f"{self.directory} can't be written ({error.strerror}); choose another -o.") from error
        return settings.load(self.config, {})

    def _history(self, poller: Poller, simulation: Simulation, start: datetime, now: datetime) -> datetime:
        """Collect slot by slot, as fast as it goes; return the last slot."""
        slots = range(clock.to_epoch_s(start), clock.to_epoch_s(now), HISTORY_EVERY_S)
        for number, at in enumerate(map(clock.from_epoch_s, slots)):
            simulation.clock.set(at)
            poll = poller.poll(at, inverters=number % 3 == 0)
            poller.keeper.store()
            if poll.failures:
                raise CheckFailedError(f"the simulated gateway did not answer: {poll.error}")
        self.show(f"  {len(slots)} polls")
        return clock.from_epoch_s(slots[-1])

    def _live(self, poller: Poller, simulation: Simulation, live_s: int) -> datetime | None:
        """Collect in real time, each 5 seconds on the clock; return the last slot, if one came."""
        self.show(f"collecting for {live_s} s in real time, a poll per {LIVE_EVERY_S} s …")
        simulation.clock.set(clock.utc_now())
        simulation.clock.speed = 1.0
        collector = service.Service([poller], poll_every_s=LIVE_EVERY_S, inverters_every_s=12 * LIVE_EVERY_S)
        timer = threading.Timer(live_s, collector.stop)
        timer.daemon = True
        timer.start()
        collector.run()
        self.show(f"  {collector.slots_offered} slots")
        simulation.clock.speed = 0.0
        return collector.last_slot

    def _report(self, engine: Engine, now: datetime) -> Report:
        with engine.connect() as connection:
            report = energy_report(connection, "daily", now=now)
            whole = summary.book(connection, now=now)
            known = zip(report.column("day"), report.column("production_kwh"), strict=True)
            month = f"{max(day for day, kwh in known if kwh is not None):%Y-%m}"
            page = to_html(pages(connection, now=now, month=month))
        self.show(f"\n{exports.to_table(report).decode().rstrip()}")
        with exports.replacing(self.workbook) as out:
            out.write(exports.to_full_xlsx(whole))
        with exports.replacing(self.page) as out:
            out.write(page)
        return report

    def _compare(self, report: Report, simulation: Simulation, last: datetime) -> None:
        """Compare each day with the simulated site's own integrals."""
        self.show("\nwhat was counted against what was true (kWh):")
        worst = 0.0
        for row in report.rows:
            record = dict(zip(report.names, row, strict=True))
            since = clock.from_epoch_s(clock.day_start_s(record["day"], ZONE))
            until = min(clock.from_epoch_s(clock.day_end_s(record["day"], ZONE)), last)
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
            self.show(f"  {record['day']}  " + "   ".join(parts))
        self.show(f"  largest difference {worst:.4f} %")
        if worst > TOLERANCE_PCT:
            raise CheckFailedError(f"A total is off by {worst:.2f} %; please report this.")
