"""Times what has to stay fast, as ratios measured side by side in one run.

A site with three phases and 20 inverters, polled each minute for N days (default 30; 365 takes
ten minutes and 1 GB), is written into SQLite; then the rebuild, the collector's rollup per quarter
hour and the daily report over ten years of rollups are timed, against `import pandas`.

With --against the same and more is measured of this checkout and of another one in turns: also
what a poll costs, the collector's memory, db check, db prune and the start of the command. They
are CPU time, so that a busy machine matters less; below 1 a ratio says that this one needs less.

With --batteries it is measured how much more a poll of a site with five batteries costs.
"""

import argparse
import resource
import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from benchmarks.against import compare
from benchmarks.batteries import compare_batteries
from benchmarks.checkout import Checkout, metered
from benchmarks.site import START, copied, fill, ten_years

HERE = Checkout(Path(__file__).resolve().parent.parent.parent)


def alone(directory: Path, days: int) -> None:
    """Measure this checkout, beside the import of pandas."""
    path, small = directory / "site.db", directory / "small.db"
    for database, length in ((path, days), (small, max(1, days // 10))):
        if not database.exists():
            HERE.upgrade(database)
            fill(database, length)
    pandas_s, pandas_mb = metered(sys.executable, "-c", "import pandas")
    print(f"import pandas                    {pandas_s:7.2f} s CPU {pandas_mb:6.0f} MB")
    for database in (small, path):
        rebuild_s, rebuild_mb = HERE.metered(database, "db", "rebuild")
    print(f"db rebuild of {days:4d} days          {rebuild_s:7.2f} s CPU {rebuild_mb:6.0f} MB"
          f"   {rebuild_s / days * 365:.0f} s per year, "
          f"{rebuild_s / days * 365 / pandas_s:.0f} x import pandas")  # fmt: skip
    taken = HERE.quarter_hours_ms(path, days)
    print(f"rollup per quarter hour          {statistics.median(taken):7.1f} ms CPU, at most "
          f"{max(taken):.1f} ms   {statistics.median(taken) / 1000 / pandas_s:.3f} x import pandas"
          )  # fmt: skip
    span = ("--from", str((START - timedelta(days=3650)).year), "--to", START.strftime("%Y-%m"))
    for label, database in (("little", small), ("much", path)):
        target = copied(database, directory / f"ten-years-{label}.db")
        ten_years(target)
        report_s, report_mb = min(HERE.metered(target, "report", "daily", *span) for _ in range(3))
        print(f"report daily, 10 years, {label:6s} raw {report_s:6.2f} s CPU {report_mb:6.0f} MB"
              f"   {report_s / pandas_s:.2f} x import pandas")  # fmt: skip
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"(this script itself took {own:.0f} MB; files in {directory})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the databases, use them again")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another work tree")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (--against)")
    parser.add_argument("--seconds", type=float, default=60, help="of collecting (--against)")
    parser.add_argument("--batteries", action="store_true", help="what five batteries cost")
    chosen = parser.parse_args()
    if chosen.batteries:
        compare_batteries()
        return
    if chosen.against is not None:
        there = Checkout(chosen.against.resolve())
        compare(HERE, there, chosen.days, chosen.repeats, chosen.seconds)
        return
    directory = chosen.keep or Path(tempfile.mkdtemp(prefix="envoylog-bench-"))
    directory.mkdir(parents=True, exist_ok=True)
    alone(directory, chosen.days)


if __name__ == "__main__":
    main()
