"""What ten years of samples cost beside one: each view by days, months, years and newest rows, reports and status.

Both databases end at the same midnight and hold the same last year: a house with three phases, 20 inverters and two
IQ Batteries, read four times an hour, with outages of the grid, hours without a poll, and events. PostgreSQL gets the
same by ``envoylog db copy``. Each question is asked of both in turns, and has to bring the same rows. Times are of the
CPU, with the server's.
"""

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.checkout import metered
from benchmarks.site import TEXT, copied
from benchmarks.table import number

from logger.clock import utc_now
from logger.simulator.house import Batteries
from logger.simulator.site import Shape, Site

YEAR_DAYS = 365
ALL_DAYS = 10 * YEAR_DAYS
STEP = timedelta(minutes=15)
INVERTERS = 20
COUNTERS = ("production", "standby", "grid_import", "grid_export")
SEED = 18
#: how often each question and each command is asked, in turns, and how often so many times where they differ
TIMES, COMMAND_TIMES, ROUNDS = 15, 3, 4
#: above this ten years are slower than one
BOUND = 1.2
LINE = "{:<59}{:>11}{:>11}{:>7}{}"
GATEWAY = (
    "(gateway_id, name, serial, time_zone, peak_power_kwp, first_seen_at, last_seen_at) "
    "VALUES (1, 'roof', '122233', 'Europe/Amsterdam', 5.6, ?, ?)"
)
SAMPLES = {
    "polls": "(gateway_id, polled_at, took_s, outcome) VALUES (1, ?, 0.1, 'complete')",
    "production_samples": "(gateway_id, polled_at, phase, power_w, energy_lifetime_wh, source) "
    "VALUES (1, ?, ?, ?, ?, 'ct')",
    "consumption_samples": "(gateway_id, polled_at, measurement, phase, power_w, energy_lifetime_wh, source) "
    "VALUES (1, ?, ?, ?, ?, ?, ?)",
    "meter_readings": "(gateway_id, polled_at, measurement, phase, power_w, delivered_wh, received_wh) "
    "VALUES (1, ?, ?, ?, ?, ?, ?)",
    "inverter_samples": "(gateway_id, reported_at, serial, energy_lifetime_wh) VALUES (1, ?, ?, ?)",
    "storage_samples": "(gateway_id, polled_at, kind, power_w, soc_pct, energy_wh, capacity_wh, source) "
    "VALUES (1, ?, 'encharge', ?, ?, ?, ?, 'ensemble')",
    "battery_samples": "(gateway_id, polled_at, serial, power_w, soc_pct, source) VALUES (1, ?, ?, ?, ?, 'ensemble')",
    "events": "(gateway_id, at, kind, subject, detail) VALUES (1, ?, ?, ?, ?)",
}


def fill(paths: Mapping[Path, int], until: datetime) -> None:
    """Write the samples of so many days before an instant into each of some databases that have no rows yet."""
    site = Site(Shape(phases=3, inverters=INVERTERS, batteries=Batteries()), until - timedelta(days=ALL_DAYS + 1))
    chance = random.Random(SEED)  # noqa: S311 - no secret
    with contextlib.ExitStack() as stack:
        opened = {stack.enter_context(closing(sqlite3.connect(path))): days for path, days in paths.items()}
        for db, days in opened.items():
            seen_at = ((until - timedelta(days=days)).strftime(TEXT), until.strftime(TEXT))
            db.execute(f"INSERT INTO gateways {GATEWAY}", seen_at)
        for day_number in range(ALL_DAYS):
            rows = _rows(site, until - timedelta(days=ALL_DAYS - day_number), day_number, chance)
            for db in (db for db, days in opened.items() if day_number >= ALL_DAYS - days):
                for table, columns in SAMPLES.items():
                    db.executemany(f"INSERT INTO {table} {columns}", rows[table])
                db.commit()


def _rows(site: Site, day: datetime, number: int, chance: random.Random) -> dict[str, list[tuple[object, ...]]]:
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in SAMPLES}
    silent = range(0)
    if number % 9 == 0:
        begins = chance.randrange(18)
        silent = range(begins, begins + 6)
        rows["events"].append((day.strftime(TEXT), "firmware_change", "gateway", f"8.2.{number}"))
    if number % 30 == 3:
        lost_at = day + timedelta(minutes=chance.randrange(1000))
        back_at = lost_at + timedelta(minutes=chance.randrange(20, 300))
        rows["events"] += [(at.strftime(TEXT), kind, "grid", None) for at, kind in
                           ((lost_at, "grid_lost"), (back_at, "grid_back"))]  # fmt: skip
    for at in (day + step * STEP for step in range(timedelta(days=1) // STEP)):
        if at.hour not in silent:
            _add_poll(rows, site, at)
    return rows


def _add_poll(rows: dict[str, list[tuple[object, ...]]], site: Site, at: datetime) -> None:
    polled_at, at_s = at.strftime(TEXT), at.timestamp()
    rows["polls"].append((polled_at,))
    for phase in site.phases:
        name, powers = f"L{phase}" if phase else "total", site.powers(at_s, phase)
        produced_wh, standby_wh, import_wh, export_wh = (site.counter_wh(kind, at_s, phase) for kind in COUNTERS)
        rows["production_samples"].append((polled_at, name, powers.production, produced_wh))
        rows["meter_readings"] += [
            (polled_at, "production", name, powers.production, produced_wh, standby_wh),
            (polled_at, "net-consumption", name, powers.net, import_wh, export_wh),
        ]
        rows["consumption_samples"] += [
            (polled_at, "net-consumption", name, powers.net, import_wh - export_wh, "ct"),
            (polled_at, "total-consumption", name, None if phase else powers.load, None, "derived"),
        ]
    each_wh = site.counter_wh("production", at_s) / INVERTERS
    rows["inverter_samples"] += [(polled_at, f"12{number:04d}", each_wh) for number in range(INVERTERS)]
    batteries = Batteries()
    stored_wh, power_w = site.stored_wh(at_s), site.powers(at_s, 0).storage
    soc_pct = 100 * stored_wh / batteries.all_wh
    rows["storage_samples"].append((polled_at, power_w, soc_pct, stored_wh, batteries.all_wh))
    for index in range(batteries.count):
        rows["battery_samples"].append((polled_at, f"49{index}", power_w / batteries.count, soc_pct))


def databases(bench: Bench, until: datetime) -> tuple[Path, Path]:
    """Return the database of one year, and that of ten."""
    paths = {copied(bench.empty, bench.directory / f"{days}.db"): days for days in (YEAR_DAYS, ALL_DAYS)}
    fill(paths, until)
    for path in paths:
        bench.checkout.run("--database-url", f"sqlite:///{path}", "db", "rebuild")
    one, ten = paths
    return one, ten


@dataclass(frozen=True, slots=True)
class View:
    """A view, and of which kind its periods are: instant, local, day, month or year."""

    name: str
    period: str
    kind: str

    def questions(self, day: date) -> Iterator[tuple[str, str]]:
        """Yield what is asked of it around a day: a name, and SQL that both engines read."""
        month = day.replace(day=1)
        spans = {
            "a day": (day, day + timedelta(days=1)),
            "a month": (month, (month + timedelta(days=31)).replace(day=1)),
            "a year": (date(day.year, 1, 1), date(day.year + 1, 1, 1)),
        }
        begins = {"month": 1, "year": 2}.get(self.kind, 0)
        by = f" by {self.period}" if self.kind in {"instant", "local"} else ""
        for whose, condition in (("", ""), (" of a gateway", "gateway = 'roof' AND ")):
            for span, (since, until) in list(spans.items())[begins:]:
                within = f"{self.period} >= {self._literal(since)} AND {self.period} < {self._literal(until)}"
                yield f"{self.name}, {span}{whose}{by}", f"SELECT * FROM {self.name} WHERE {condition}{within}"
            where = " WHERE gateway = 'roof'" if whose else ""
            count = 1 if self.kind == "year" else 7
            newest = f"SELECT * FROM {self.name}{where} ORDER BY {self.period} DESC LIMIT {count}"
            yield f"{self.name}, newest{whose}{by}", newest

    def _literal(self, day: date) -> str:
        if self.kind == "year":
            return str(day.year)
        return f"'{day.isoformat()[:7] if self.kind == 'month' else day.isoformat()}'"


VIEWS = (
    View("v_energy_15min", "quarter_starts_at", "instant"), View("v_energy_15min", "local_quarter", "local"),
    View("v_energy_hourly", "hour_starts_at", "instant"), View("v_energy_hourly", "local_hour", "local"),
    View("v_energy_daily", "day", "day"), View("v_energy_monthly", "month", "month"),
    View("v_energy_yearly", "year", "year"), View("v_phase_daily", "day", "day"),
    View("v_inverter_daily", "day", "day"), View("v_panels", "day", "day"), View("v_battery_daily", "day", "day"),
    View("v_gaps", "starts_at", "local"), View("v_outages", "starts_at", "local"), View("v_events", "at", "local"),
)  # fmt: skip


def questions(day: date) -> Iterator[tuple[str, str]]:
    """Yield all questions: a name, and SQL that both engines read."""
    for view in VIEWS:
        yield from view.questions(day)
    yield "v_power_now", "SELECT * FROM v_power_now"
    since, until = f"'{day} 00:00:00'", f"'{day + timedelta(days=1)} 00:00:00'"
    for table, instant in (
        ("production_samples", "polled_at"), ("consumption_samples", "polled_at"), ("meter_readings", "polled_at"),
        ("inverter_samples", "reported_at"), ("storage_samples", "polled_at"), ("battery_samples", "polled_at"),
    ):  # fmt: skip
        within = f"gateway_id = 1 AND {instant} >= {since} AND {instant} < {until}"
        yield f"{table}, a day", f"SELECT * FROM {table} WHERE {within}"


def commands(day: date) -> Iterator[tuple[str, ...]]:
    """Yield the commands of people."""
    until = str(day)
    yield ("status",)
    yield ("report", "hourly", "--from", until, "--to", until)
    for kind in ("daily", "phases", "inverters", "panels", "battery", "quality"):
        yield ("report", kind, "--from", until[:7], "--to", until)
    for kind in ("daily", "monthly", "yearly", "battery", "quality"):
        yield ("report", kind, "--from", until[:4], "--to", until)
    yield ("panels",)
    yield ("fleet", "report", "--from", until[:7])


def each_in_turns(asked: tuple[Callable[[], float], Callable[[], float]], times: int) -> tuple[float, float]:
    """Return the least of each, once both have been asked for the first time.

    Where ten years seem slower, they are asked some times more: other programs disturb what takes a tenth of a ms.
    """
    one_s, ten_s = (ask() for ask in asked)
    for _ in range(ROUNDS):
        for _ in range(times):
            one_s, ten_s = min(one_s, asked[0]()), min(ten_s, asked[1]())
        if ten_s <= BOUND * one_s:
            break
    return one_s, ten_s


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection to be asked."""

    cursor: Any
    backend_pid: int | None = None  #: the server's process for it

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has taken, here and in the server."""
        here_s = time.process_time()
        if self.backend_pid is None:
            return here_s
        return here_s + int(Path(f"/proc/{self.backend_pid}/schedstat").read_text().split()[0]) / 1e9

    def ask(self, sql: str, rows: list[Any]) -> Callable[[], float]:
        """Return what asks a question, and how much CPU it takes; the rows are left in a list."""

        def ask() -> float:
            began_s = self.cpu_s()
            rows[:] = self.cursor.execute(sql).fetchall()
            return self.cpu_s() - began_s

        return ask


def _shown(name: str, one_s: float, ten_s: float, *, same: bool = True) -> bool:
    ratio = ten_s / one_s
    said = "  OTHER ROWS" if not same else "  over" if ratio > BOUND else ""
    print(
        LINE.format(name, f"{number(1000 * one_s)} ms", f"{number(1000 * ten_s)} ms", f"{ratio:.2f}", said), flush=True
    )
    return same and ratio <= BOUND


def ask_views(one: Asked, ten: Asked, day: date) -> Iterator[bool]:
    """Ask everything of both; yield whether ten years answered as fast as one, and the same."""
    for name, sql in questions(day):
        found: tuple[list[Any], list[Any]] = ([], [])
        seconds = each_in_turns((one.ask(sql, found[0]), ten.ask(sql, found[1])), TIMES)
        yield _shown(name, *seconds, same=found[0] == found[1])


def run_commands(bench: Bench, one_url: str, ten_url: str, day: date) -> Iterator[bool]:
    """Run everything on two databases; yield whether ten years took as much CPU as one, the server's with it."""
    on_server = one_url.startswith("postgresql")
    for args in commands(day):

        def ran(url: str, args: tuple[str, ...] = args) -> Callable[[], float]:
            command = bench.checkout.command("--database-url", url, *args)
            alone = lambda: metered(*command, env=bench.checkout.env)[0]  # noqa: E731 - named for what is below
            return (lambda: bench.with_server_s(alone)) if on_server else alone

        seconds = each_in_turns((ran(one_url), ran(ten_url)), COMMAND_TIMES)
        yield _shown(" ".join(args), *seconds)


def compare_years(bench: Bench) -> bool:
    """Measure and print on both engines; return whether all of it is within its bound."""
    import psycopg  # noqa: PLC0415 - only here is a server needed

    until = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    day = (until - timedelta(days=2)).date()
    paths = databases(bench, until)
    one_url, ten_url = (f"sqlite:///{path}" for path in paths)
    print(LINE.format("SQLite", "one year", "ten years", "ratio", ""))
    with closing(sqlite3.connect(paths[0])) as one, closing(sqlite3.connect(paths[1])) as ten:
        good = [*ask_views(Asked(one), Asked(ten), day)]
    good += run_commands(bench, one_url, ten_url, day)
    with bench.postgresql() as one_server, bench.postgresql() as ten_server:
        for source, target in ((one_url, one_server), (ten_url, ten_server)):
            bench.checkout.run("--database-url", source, "db", "copy", "--yes", target)
            with psycopg.connect(target, autocommit=True) as db:
                db.execute("VACUUM ANALYZE")  # As the server does by itself a minute later.
        print("\n" + LINE.format("PostgreSQL", "one year", "ten years", "ratio", ""))
        with psycopg.connect(one_server, autocommit=True) as one, psycopg.connect(ten_server, autocommit=True) as ten:
            for db in (one, ten):
                db.execute("SET max_parallel_workers_per_gather = 0")  # One process, so that all of it is counted.
            good += ask_views(*(Asked(db, db.info.backend_pid) for db in (one, ten)), day)
        good += run_commands(bench, one_server, ten_server, day)
    print(f"\n{sum(good)} of {len(good)} within {BOUND} x")
    return all(good)
