"""A folder of pages, one for each month and year, with an index: for any web server.

What may still change is written each time; what is over, once a day, because a rebuild may have changed it.

Walk: reports.page -> here -> cli
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from logger.clock import to_epoch_s
from logger.errors import NoDataError, UsageError
from logger.exports import page as html
from logger.exports.files import replacing
from logger.exports.page import words
from logger.reports.energy import energy_report, sites_of
from logger.reports.page import pages
from logger.settings import places

#: What ended so long ago does not change by itself.
SETTLED = timedelta(days=3)
#: A page is not older than that.
OLDEST_S = 86_400
#: A web server is another user; who may enter the folder decides who reads.
MODE = 0o644


class Entry(NamedTuple):
    """A line of the index."""

    name: str  #: 2026-10
    title: str
    production_kwh: float | None  #: of all gateways
    share_pct: float  #: of the best month


def write_all(connection: Connection, folder: Path, now: datetime) -> int:
    """Write the pages that are due, and the index; return how many pages were written.

    Raises:
        UsageError: the folder can't be written.
        NoDataError: nothing was recorded yet.
    """
    try:
        places.make_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder} can't be made ({error.strerror}); choose another folder.") from error
    sites = sites_of(connection, None)
    names = list(_periods(min(site.first for site in sites), max(site.last for site in sites)))
    written = 0
    for name, last in names:
        path = folder / f"{name}.html"
        if _is_due(path, last, now):
            kind = "month" if "-" in name else "year"
            with contextlib.suppress(NoDataError):
                _write(path, html.to_html(pages(connection, now=now, **{kind: name})))
                written += 1
    found = [name for name, _ in names if (folder / f"{name}.html").exists()]
    _write(folder / "index.html", _index(connection, found, now))
    return written


def _periods(first: date, last: date) -> Iterator[tuple[str, date]]:
    """Yield the name and the last day of each year and month that has one of these days."""
    for year in range(first.year, last.year + 1):
        yield str(year), date(year, 12, 31)
        for month in range(1, 13):
            after = (date(year, month, 1) + timedelta(days=32)).replace(day=1)
            if after > first and date(year, month, 1) <= last:
                yield f"{year}-{month:02d}", after - timedelta(days=1)


def _is_due(path: Path, last: date, now: datetime) -> bool:
    try:
        age_s = to_epoch_s(now) - path.stat().st_mtime
    except FileNotFoundError:
        return True
    return last >= now.date() - SETTLED or not 0 <= age_s < OLDEST_S


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as out:
        out.write(content)
    with contextlib.suppress(PermissionError):  # Of somebody else, who lets us write.
        path.chmod(MODE)


def _index(connection: Connection, names: list[str], now: datetime) -> bytes:
    report = energy_report(connection, "monthly", now=now)
    made: defaultdict[str, float] = defaultdict(float)
    known = zip(report.column("month"), report.column("production_kwh"), strict=True)
    for month, kwh in known:
        if kwh is not None:
            made[month] += max(0.0, kwh)
    most = max([1e-9, *made.values()])
    years: dict[str, list[Entry]] = {}
    for name in names:
        if "-" not in name:
            years[name] = []
            continue
        title = words.month(int(name[5:]))
        years[name[:4]].append(Entry(name, title, made.get(name), 100 * made.get(name, 0.0) / most))
    newest_first = {year: entries[::-1] for year, entries in sorted(years.items(), reverse=True)}
    gateways = ", ".join(dict.fromkeys(report.column("gateway")))
    return html.render("index.html", years=newest_first, gateways=gateways, now=now)
