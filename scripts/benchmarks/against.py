"""Two checkouts side by side: each measurement in turns, its least and its median, as ratios."""

import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks.checkout import Checkout, metered
from benchmarks.collecting import costs
from benchmarks.site import START, copied, fill, ten_years

from logger.clock import utc_now

#: measurement -> checkout (0: this one, 1: the other) -> values
Table = defaultdict[str, tuple[list[float], list[float]]]
ROW = "{:<38}{:>10}{:>10}{:>12}{:>10}{:>9}{:>9}"


def compare(here: Checkout, there: Checkout, days: int, repeats: int, seconds: float) -> None:
    """Measure both and print the table."""
    table: Table = defaultdict(lambda: ([], []))
    with tempfile.TemporaryDirectory(prefix="envoylog-bench-") as name:
        directory = Path(name)
        for number in range(max(1, repeats // 3)):
            both = costs([here, there], directory / f"collecting-{number}", seconds)
            for index, found in enumerate(both):
                for kind, cost in found.items():
                    table[f"CPU per poll, {kind} connection (ms)"][index].append(cost.cpu_ms)
                table["collector, resident (MB)"][index].append(found["kept"].resident_mb)
        _show(f"collecting for {seconds:.0f} s is measured")
        _databases(here, there, directory, days, repeats, table)
    print(ROW.format("", "this least", "median", "other least", "median", "least", "median"))
    for name, (ours, theirs) in table.items():
        numbers = [min(ours), statistics.median(ours), min(theirs), statistics.median(theirs)]
        ratios = [numbers[0] / numbers[2], numbers[1] / numbers[3]]
        print(ROW.format(name, *(f"{value:.4g}" for value in numbers),
                         *(f"{value:.2f}" for value in ratios)))  # fmt: skip


def _show(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _databases(here: Checkout, there: Checkout, directory: Path, days: int, repeats: int, table: Table) -> None:
    """Measure what works on a database: each checkout on a copy of the same samples."""
    raw = directory / "raw.db"
    there.upgrade(raw)
    fill(raw, days)
    _show(f"{days} days of samples are written, {raw.stat().st_size / 1e6:.0f} MB")
    checkouts = (here, there)
    paths = [copied(raw, directory / f"site-{index}.db") for index in (0, 1)]
    for checkout, path in zip(checkouts, paths, strict=True):
        checkout.upgrade(path)

    def each(name: str, measure: Callable[[int], dict[str, float]], times: int = repeats) -> None:
        for repeat in range(times):
            # In turns, and the other one first each second time.
            for index in (0, 1) if repeat % 2 == 0 else (1, 0):
                for part, value in measure(index).items():
                    table[f"{name}{part}"][index].append(value)
        _show(f"{name} is measured")

    def on(database: Path, index: int, *args: str) -> dict[str, float]:
        cpu_s, memory_mb = checkouts[index].metered(database, *args)
        return {" (s CPU)": cpu_s, " (MB)": memory_mb}

    each(f"db rebuild, {days} days", lambda index: on(paths[index], index, "db", "rebuild"))
    each(f"db check, {days} days", lambda index: on(paths[index], index, "db", "check"))
    rolled = [copied(path, directory / f"rolled-{index}.db") for index, path in enumerate(paths)]

    def quarter_hours(index: int) -> dict[str, float]:
        taken = checkouts[index].quarter_hours_ms(copied(rolled[index], paths[index]), days)
        return {" (ms CPU)": statistics.median(taken), ", slowest (ms)": max(taken)}

    each("rollup per quarter hour", quarter_hours)

    keep_days = (utc_now() - START).days - 1
    configs = [directory / f"prune-{index}.toml" for index in (0, 1)]
    for config, path in zip(configs, paths, strict=True):
        config.write_text(f'database_url = "sqlite:///{path}"\nkeep_samples_days = {keep_days}\n')

    def prune(index: int) -> dict[str, float]:
        copied(rolled[index], paths[index])
        options = ("--config", str(configs[index]), "db", "prune", "--yes")
        cpu_s, memory_mb = metered(*checkouts[index].command(*options), env=checkouts[index].env)
        return {" (s CPU)": cpu_s, " (MB)": memory_mb}

    each(f"db prune, a day of {days}", prune)

    for index, path in enumerate(paths):
        ten_years(copied(rolled[index], path))
    for years in (1, 10):
        since = (START - timedelta(days=365 * years)).strftime("%Y-%m-%d")
        args = ("report", "daily", "--from", since, "--to", START.strftime("%Y-%m"))
        each(f"report daily, {years} y", lambda index, args=args: on(paths[index], index, *args))
    each("envoylog --help", lambda index: on(paths[index], index, "--help"), 2 * repeats)
