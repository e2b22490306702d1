"""Times what has to stay fast, beside the least that does the same work: a table of ratios measured in one run.

Each row is CPU, memory, bytes or KiB of envoylog, the same of its floor (http.client, requests, sqlite3, COPY, numpy or
pandas doing that work alone), their ratio, and what it may be at most. Times are of the CPU, so that a busy machine
matters less; those with PostgreSQL are of the clock. All rows take three to five minutes; name some to
measure these alone.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import daemon, databases, device, poll, starting
from benchmarks.batteries import compare_batteries
from benchmarks.bench import Bench
from benchmarks.checkout import Checkout
from benchmarks.table import HEADING, Row, above, number
from benchmarks.ten_years import compare_years

HERE = Checkout(Path(__file__).resolve().parent.parent.parent)
MEASUREMENTS = {
    "poll": poll.poll,
    "service": daemon.service,
    "fleet": daemon.fleet,
    "start": starting.start,
    "device": device.device,
    "stored": device.stored,
    "rollup": databases.rollup,
    "rebuild": databases.rebuild,
    "check": databases.check,
    "prune": databases.prune,
    "report": databases.report,
    "years": databases.years,
    "workbook": databases.workbook,
    "export": databases.export,
    "copy": databases.copy,
}
#: What mostly waits.
BESIDE = {"service"}
#: of `envoylog`, as far as it says what a check that failed is
FAILED = 8


def table(bench: Bench, names: list[str]) -> list[Row]:
    """Measure and print row by row; what only waits goes on meanwhile, and comes last."""
    print(HEADING)
    with ThreadPoolExecutor() as beside:
        waiting = [beside.submit(lambda name=name: list(MEASUREMENTS[name](bench))) for name in names if name in BESIDE]
        found = [_shown(row) for name in names if name not in BESIDE for row in MEASUREMENTS[name](bench)]
        return found + [_shown(row) for future in waiting for row in future.result()]


def _shown(row: Row) -> Row:
    print(row.line(), flush=True)
    return row


def compare(ours: Bench, others: Bench, names: list[str], repeats: int) -> None:
    """Measure two checkouts in turns, and print the least of each."""
    print(f"{'':37}{'here':>11}{'there':>11}{'ratio':>7}")
    for name in names:
        turns = [list(MEASUREMENTS[name](bench)) for _ in range(repeats) for bench in (ours, others)]
        here, there = turns[::2], turns[1::2]
        for index, row in enumerate(here[0]):
            values = [min(turn[index].value for turn in each) for each in (here, there)]
            numbers = (f"{number(value)} {row.unit}" for value in values)
            print(f"{row.name:37}" + "".join(f"{text:>11}" for text in numbers) + f"{values[0] / values[1]:7.2f}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="beside another work tree, not the floor")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement (--against)")
    parser.add_argument("--batteries", action="store_true", help="what five batteries cost")
    parser.add_argument("--ten-years", action="store_true", help="ten years of samples beside one (12 minutes)")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - set(MEASUREMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(MEASUREMENTS)}")
    if chosen.batteries:
        compare_batteries()
        return 0
    if chosen.ten_years:
        with tempfile.TemporaryDirectory(prefix="envoylog-bench-") as name:
            bench = Bench(HERE, Path(name) / "here")
            with bench.stack:
                return 0 if compare_years(bench) else FAILED
    names = chosen.rows or list(MEASUREMENTS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="envoylog-bench-") as name:
        bench = Bench(HERE, Path(name) / "here")
        others = Bench(Checkout(chosen.against.resolve()), Path(name) / "there") if chosen.against else None
        with bench.stack:
            if others is not None:
                with others.stack:
                    compare(bench, others, names, chosen.repeats)
                return 0
            rows = table(bench, names)
    over = above(rows)
    print(f"\n{len(rows) - len(over)} of {len(rows)} within their bounds, in {time.monotonic() - began:.0f} s")
    return FAILED if over else 0


if __name__ == "__main__":
    sys.exit(main())
