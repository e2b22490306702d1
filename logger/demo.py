"""The whole walk on one machine: a simulated gateway, the collector, the report, the truth.

Nothing in here is a stand-in: the gateway speaks HTTPS and wants a token, the collector, the database and the reports
are the ones of every day. Only of the history before the newest day samples are written as that gateway would have
reported them, because to poll a year takes longer than anybody waits.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, select

from logger import clock, exports, settings
from logger.collector import service, wiring
from logger.collector.poller import Poller
from logger.errors import CheckFailedError, SettingsError, UsageError
from logger.exports.page import to_html
from logger.reports import Report, summary
from logger.reports.energy import energy_report
from logger.reports.page import pages
from logger.rollups import rollup
from logger.settings import Settings, normal_gap_s, write_secret
from logger.simulator import history
from logger.simulator.faults import Fault
from logger.simulator.numbers import Model, inverter_serial
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store import schema
from logger.store.database import insert_all, opened
from logger.store.models import GATEWAYS, METADATA

ZONE = clock.time_zone("Europe/Madrid")
#: Of the history the newest day is polled, and what was before it is written.
POLLED_DAYS = 1
POLLED_EVERY_S, WRITTEN_EVERY_S = 300, 900
#: so many samples are written at once
WRITTEN_AT_ONCE = 960
LIVE_EVERY_S = 5
#: One panel makes a fifth less from so many days ago on, if there were so many before.
WEAK_SINCE_DAYS, WEAK_PANEL = 60, 4
#: A month has to be that old to be worth a page.
PAGE_DAYS = 7
NAMES = tuple(f"{side} {number}" for side in ("east", "west") for number in range(1, 7))
#: what to type for one's own gateway
OWN = ("envoylog setup", "envoylog run")
MARK = "# made by envoylog demo; the next demo replaces it\n"
TOLERANCE_PCT = 0.1
LOOK = "SELECT day, production_kwh, consumption_kwh FROM v_energy_daily"
FLOWS = ("production", "consumption")
#: At most this many days are listed beside what was true.
MOST_LISTED = 3


class Demo:
    """Runs the demo in a directory.

    ``show`` gets each line for people, ``program`` is what they type for it, ``own`` for their own gateway.
    """

    def __init__(
        self, directory: Path, show: Callable[[str], None], program: str = "envoylog", own: Sequence[str] = OWN
    ) -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.database = directory / "envoylog.db"
        self.workbook = directory / "energy.xlsx"
        self.page = directory / "month.html"
        self.show = show
        self.program = program
        self.own = own

    def run(self, *, days: int, live_s: int) -> None:
        """Collect ``days`` of history and ``live_s`` seconds live, report and compare.

        Raises:
            UsageError: the directory holds something else.
            CheckFailedError: a total is off by more than 0.1 %.
        """
        now = clock.utc_now()
        today = clock.local_day(clock.to_epoch_s(now), ZONE)
        start = clock.from_epoch_s(clock.day_start_s(today - timedelta(days=days), ZONE))
        polled_since = clock.from_epoch_s(clock.day_start_s(today - timedelta(days=min(days, POLLED_DAYS)), ZONE))
        weak_since_s = (days - WEAK_SINCE_DAYS) * 86_400.0
        simulation = Simulation(
            shape=Shape(latitude_deg=37.4, longitude_deg=-6.0),
            model=Model(cts="net", time_zone=ZONE.key),
            clock=SimulatedClock(start, speed=0),
            faults=[Fault("weak_inverter", weak_since_s, argument=str(WEAK_PANEL))] if weak_since_s > 0 else [],
        )
        with GatewayServer(simulation) as server:
            loaded = self._prepare(server.url, simulation)
            self.show(f"simulated gateway at {server.url} (HTTPS, token, {simulation.shape.inverters} panels)")
            with opened(loaded.database_url) as engine:
                schema.upgrade(engine)
                (poller,) = wiring.pollers(loaded, engine, {}, clock=simulation.clock)
                if start < polled_since:
                    self._write(engine, poller, simulation, start, polled_since)
                last = self._poll(poller, simulation, polled_since, now)
                if live_s:
                    last = self._live(poller, simulation, live_s) or last
                if not poller.keeper.store_all():
                    raise CheckFailedError(f"the database did not take everything: {poller.keeper.error}")
                report = self._report(engine, last)
            self._compare(report, simulation, last)
        self.show(f"\ndatabase     {self.database}\nspreadsheet  {self.workbook}\npage         {self.page}")
        self.show(f"\ntry next:  {self.program} --config {self.config} report monthly")
        self.show(f"           {self.program} --config {self.config} panels")
        self.show(f"           sqlite3 -box {self.database} '{LOOK}'")
        self.show("\nfor your own gateway:")
        for command in self.own:
            self.show(f"           {command}")

    def _prepare(self, url: str, simulation: Simulation) -> Settings:
        """Write the configuration into a directory that is new or of an earlier demo."""
        try:
            if self.directory.exists() and any(self.directory.iterdir()):
                if not (self.config.is_file() and self.config.read_text().startswith(MARK)):
                    raise UsageError(f"{self.directory} holds something else than a demo; choose another -o.")
                shutil.rmtree(self.directory)
            self.directory.mkdir(parents=True, exist_ok=True)
            lasts = clock.utc_now() - simulation.start + timedelta(days=365)
            write_secret(self.directory / "roof.token", simulation.token(days=lasts.days))
            names = "".join(
                f'{inverter_serial(at)} = "{NAMES[at % len(NAMES)]}"\n' for at in range(simulation.shape.inverters)
            )
            self.config.write_text(
                f'{MARK}database_url = "sqlite:///{self.database.resolve()}"\n'
                f'state_dir = "{self.directory.resolve() / "state"}"\n'
                f"poll_every_s = {LIVE_EVERY_S}\ninverters_every_s = {12 * LIVE_EVERY_S}\n"
                f'commit_every_s = {LIVE_EVERY_S}\n\n[[gateways]]\nname = "roof"\n'
                f'host = "{url}"\ntoken_file = "roof.token"\npeak_power_kwp = 5.6\nmdns = false\n'
                f"\n[gateways.panel_names]\n{names}",
                encoding="utf-8",
            )
        except OSError as error:
            raise SettingsError(f"{self.directory} can't be written ({error.strerror}); choose another -o.") from error
        return settings.load(self.config, {})

    def _write(self, engine: Engine, poller: Poller, simulation: Simulation, start: datetime, until: datetime) -> None:
        """Write what the gateway would have reported, and roll it up."""
        days = round((until - start).total_seconds() / 86_400)
        self.show(f"writing {days} days of simulated history, a sample per {WRITTEN_EVERY_S // 60} minutes …")
        began_s = time.monotonic()
        self._ask(poller, simulation, start, inverters=True)  # The gateway tells who it is.
        poller.keeper.store()
        instants = range(clock.to_epoch_s(start) + WRITTEN_EVERY_S, clock.to_epoch_s(until), WRITTEN_EVERY_S)
        with engine.begin() as connection:
            gateway_id = connection.execute(select(GATEWAYS.c.gateway_id)).scalar_one()
            for first in range(0, len(instants), WRITTEN_AT_ONCE):
                of_these = instants[first : first + WRITTEN_AT_ONCE]
                found = history.rows(simulation.numbers(clock.from_epoch_s(at_s)) for at_s in of_these)
                for table, rows in found.items():
                    insert_all(connection, METADATA.tables[table], [{"gateway_id": gateway_id, **row} for row in rows])
            gap_s = normal_gap_s(LIVE_EVERY_S)
            rollup.catch_up(rollup.job_of(connection, gateway_id, until, gap_s))
        self.show(f"  {len(instants)} samples counted in {time.monotonic() - began_s:.0f} s")

    def _ask(self, poller: Poller, simulation: Simulation, at: datetime, *, inverters: bool) -> None:
        simulation.clock.set(at)
        poll = poller.poll(at, inverters=inverters)
        if poll.failures:
            raise CheckFailedError(f"the simulated gateway did not answer: {poll.error}")

    def _poll(self, poller: Poller, simulation: Simulation, start: datetime, now: datetime) -> datetime:
        """Collect slot by slot, as fast as it goes; return the last slot."""
        slots = range(clock.to_epoch_s(start), clock.to_epoch_s(now), POLLED_EVERY_S)
        self.show(f"collecting the newest day, a poll per {POLLED_EVERY_S // 60} minutes …")
        for number, at in enumerate(map(clock.from_epoch_s, slots)):
            self._ask(poller, simulation, at, inverters=number % 3 == 0)
            poller.keeper.store()
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
            recent = energy_report(connection, "daily", now=now, since="7d")
            whole = summary.book(connection, now=now)
            newest = max(day for day, kwh in _known(recent) if kwh is not None)
            page = to_html(pages(connection, now=now, month=_month_of(newest, min(whole.daily.column("day")))))
        self.show(f"\n{exports.to_table(recent).decode().rstrip()}")
        with exports.replacing(self.workbook) as out:
            out.write(exports.to_full_xlsx(whole))
        with exports.replacing(self.page) as out:
            out.write(page)
        return whole.daily

    def _compare(self, report: Report, simulation: Simulation, last: datetime) -> None:
        """Compare each day with the simulated site's own integrals."""
        self.show(f"\nwhat was counted on {len(report.rows)} days against what was true (kWh):")
        worst = 0.0
        for left, row in enumerate(reversed(report.rows)):
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
            if left < MOST_LISTED:
                self.show(f"  {record['day']}  " + "   ".join(parts))
        self.show(f"  largest difference {worst:.4f} %")
        if worst > TOLERANCE_PCT:
            raise CheckFailedError(f"A total is off by {worst:.2f} %; please report this.")


def _known(report: Report) -> Iterator[tuple[date, float | None]]:
    return zip(report.column("day"), report.column("production_kwh"), strict=True)


def _month_of(newest: date, first: date) -> str:
    """Return the month to show: the newest, or the one before while that has only begun."""
    before = newest.replace(day=1) - timedelta(days=1)
    return f"{newest if newest.day > PAGE_DAYS or before < first else before:%Y-%m}"
