"""What works on a database: rollups, reports, exports and copies."""

import json
import statistics
from collections.abc import Iterator
from datetime import timedelta

from benchmarks.bench import DAYS, Bench
from benchmarks.checkout import metered
from benchmarks.site import START, TEXT, copied
from benchmarks.table import Row, in_turns

from logger.clock import utc_now

LAST_DAY = (START + timedelta(days=DAYS - 1)).strftime("%Y-%m-%d")


def rollup(bench: Bench) -> Iterator[Row]:
    """Measure what the collector does at each quarter hour."""
    database = copied(bench.month, bench.directory / "rollup.db")
    since = START + timedelta(days=DAYS, hours=-12)
    taken = json.loads(bench.python("quarter_hours.py", str(database), since.isoformat()))
    ours, floor = (statistics.median(taken[name]) for name in ("rollup", "floor"))
    yield Row("rollup of a quarter hour", ours, "ms", floor, bound=20)


def rebuild(bench: Bench) -> Iterator[Row]:
    """Measure all rollups of a month anew."""
    database = copied(bench.month, bench.directory / "rebuild.db")
    ours, floor = in_turns(
        lambda: bench.cpu_s(database, "db", "rebuild"), lambda: bench.floor("rebuild", str(database))[0], 2
    )
    yield Row(f"db rebuild, {DAYS} days", ours, "s", floor, bound=2.5)


def check(bench: Bench) -> Iterator[Row]:
    """Measure how a month's rollups are compared with the samples."""
    ours, floor = in_turns(
        lambda: bench.cpu_s(bench.month, "db", "check"), lambda: bench.floor("check", str(bench.month))[0], 2
    )
    yield Row(f"db check, {DAYS} days", ours, "s", floor, bound=3)


def prune(bench: Bench) -> Iterator[Row]:
    """Measure how a day of samples is deleted, when it is proven that nothing is lost."""
    keep_days = (utc_now() - START).days - 1
    before = (utc_now() - timedelta(days=keep_days)).strftime(TEXT)
    database, config = bench.directory / "prune.db", bench.directory / "prune.toml"
    config.write_text(f'database_url = "sqlite:///{database}"\nkeep_samples_days = {keep_days}\n')

    def ours() -> float:
        copied(bench.month, database)
        command = bench.checkout.command("--config", str(config), "db", "prune", "--yes")
        return metered(*command, env=bench.checkout.env)[0]

    def floor() -> float:
        return bench.floor("prune", str(copied(bench.month, database)), before)[0]

    ours_s, floor_s = in_turns(ours, floor)
    yield Row("db prune, a day", ours_s, "s", floor_s, bound=12)


def report(bench: Bench) -> Iterator[Row]:
    """Measure the days of a year and of ten."""
    for years in (1, 10):
        since = (START + timedelta(days=DAYS - 365 * years)).strftime("%Y-%m-%d")
        args = ("report", "daily", "--from", since, "--to", LAST_DAY, "--format", "csv")
        ours, floor = in_turns(
            lambda args=args: bench.cpu_s(bench.decade, *args),
            lambda since=since: bench.floor("report", str(bench.decade), since)[0],
        )
        yield Row(f"report daily, {years} year{'s' * (years > 1)}", ours, "s", floor, bound=14)


def years(bench: Bench) -> Iterator[Row]:
    """Measure a report of a part of ten years beside the same of one: here the floor is the latter."""
    for kind, part, since in (
        ("hourly", "day", LAST_DAY), ("daily", "month", LAST_DAY[:7]), ("monthly", "year", LAST_DAY[:4]),
    ):  # fmt: skip
        args = ("report", kind, "--from", since, "--to", LAST_DAY, "--format", "csv")
        ours, floor = in_turns(
            lambda args=args: bench.cpu_s(bench.decade, *args), lambda args=args: bench.cpu_s(bench.year, *args), 5
        )
        yield Row(f"report {kind}, a {part} of 10 years", 1000 * ours, "ms", 1000 * floor, bound=1.2)


def workbook(bench: Bench) -> Iterator[Row]:
    """Measure the workbook of a year, beside the same days by pandas."""
    since = (START + timedelta(days=DAYS - 365)).strftime("%Y-%m-%d")
    output = str(bench.directory / "year.xlsx")
    args = ("report", "daily", "--from", since, "--to", LAST_DAY, "-o", output)
    found = [
        (bench.checkout.metered(bench.decade, *args), bench.floor("workbook", str(bench.decade), since, output))
        for _ in range(2)
    ]
    (ours, ours_mb), (floor, floor_mb) = (min(each) for each in zip(*found, strict=True))
    yield Row("workbook of a year", ours, "s", floor, bound=2)
    yield Row("workbook of a year, memory", ours_mb, "MB", floor_mb, most=200)


def export(bench: Bench) -> Iterator[Row]:
    """Measure the samples of a month as csv, from both engines."""
    args = ("export", "meters", "--format", "csv")
    ours, floor = in_turns(
        lambda: bench.cpu_s(bench.month, *args), lambda: bench.floor("export", str(bench.month))[0], 2
    )
    yield Row(f"export, {DAYS} days, SQLite", ours, "s", floor, bound=3)
    with bench.postgresql() as url:
        bench.checkout.run("--database-url", f"sqlite:///{bench.month}", "db", "copy", "--yes", url)
        command = bench.checkout.command("--database-url", url, *args)
        ours, floor = in_turns(
            lambda: bench.with_server_s(lambda: metered(*command, env=bench.checkout.env)[0]),
            lambda: bench.with_server_s(lambda: bench.floor("export-postgresql", url)[0]),
            2,
        )
    yield Row(f"export, {DAYS} days, PostgreSQL", ours, "s", floor, bound=3)


def copy(bench: Bench) -> Iterator[Row]:
    """Measure a month of samples on its way from SQLite into PostgreSQL, beside COPY of the same rows from files."""
    folder = bench.directory / "copy"
    folder.mkdir(exist_ok=True)
    with bench.postgresql() as url, bench.postgresql() as other:
        ours = bench.with_server_s(lambda: bench.cpu_s(bench.month, "db", "copy", "--yes", url))
        bench.floor("copy-out", url, str(folder))
        bench.checkout.run("--database-url", other, "db", "upgrade")
        floor = bench.with_server_s(lambda: bench.floor("copy-in", other, str(folder))[0])
    yield Row(f"db copy, {DAYS} days to PostgreSQL", ours, "s", floor, bound=2)
