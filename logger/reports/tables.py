"""Energy reports: one row per period, missing periods included, and a totals row for people.

Rows come from the views, so that a report and a query say the same.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, text

from logger.clock import QUARTER_S, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.errors import NoDataError, UsageError
from logger.reports.columns import COLUMNS, ENERGY, PERIOD_NAMES, STATUS, Column
from logger.reports.periods import Kind, hours, next_period, period_of, periods, span
from logger.store.models import ENERGY_15MIN, EVENTS, GATEWAYS
from logger.store.queries import ends_s

if TYPE_CHECKING:
    import pandas as pd

#: Below this a period that is over is partial, not final.
COVERED_PCT = 95.0
#: Between two samples of a total's counter something was not counted: that hour and day are
#: partial, however much was covered.
UNCOUNTED = ("counter_reset", "suspect_increment", "source_change")


@dataclass(frozen=True)
class Report:
    """One row per gateway and period, None where unknown; ``totals`` is the row for people."""

    kind: str
    names: list[str]
    rows: list[tuple[Any, ...]]
    totals: dict[str, float | None]

    def column(self, name: str) -> list[Any]:
        """Return a column's values."""
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The rows as a frame; NaN where unknown. For files that pandas writes."""
        import pandas as pd  # noqa: PLC0415 - takes longer than a report for the terminal

        made = pd.DataFrame.from_records(self.rows, columns=self.names)
        return made.astype({name: "float64" for name in self.names if name in COLUMNS})


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, and the first and last day that it has energy of.

    A name stands for all gateways that had it: one that was replaced goes on in the next.
    """

    name: str
    zone: str
    first: date
    last: date


def energy_report(
    connection: Connection,
    kind: Kind,
    *,
    now: datetime,
    since: str | None = None,
    until: str | None = None,
    gateway: str | None = None,
) -> Report:
    """Return the energy of each period; kWh, ratios in percent, None where unknown.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range; says what there is.
    """
    sites = sites_of(connection, gateway)
    rows: list[tuple[Any, ...]] = []
    lengths: list[float] = []
    for site in sites:
        for row, length_s in _rows(connection, kind, site, since, until, now):
            rows.append(row)
            lengths.append(length_s)
    names = ["gateway", *_keys(kind), *(column.name for column in ENERGY), STATUS]
    covered = names.index("coverage_pct")
    if not any(row[covered] is not None for row in rows):
        raise nothing_in_range(sites)
    rows = [(*row[:covered], row[covered] or 0.0, *row[covered + 1 :]) for row in rows]
    return Report(kind, names, rows, _totals(names, rows, lengths))


def nothing_in_range(sites: Sequence[Site]) -> NoDataError:
    """Return the error that says which days have data."""
    held = "; ".join(f"{site.name}: {site.first} to {site.last}" for site in sites)
    return NoDataError(f"There is no data in this range; there is data of {held}.")


def sites_of(connection: Connection, gateway: str | None) -> list[Site]:
    """Return the gateways that have energy, or the one that was asked for.

    Raises:
        UsageError: no such gateway; lists the known.
        NoDataError: nothing was recorded yet.
    """
    rows = connection.execute(
        text(
            "SELECT g.name, max(g.time_zone) AS time_zone, min(d.day) AS first_day, "
            "max(d.day) AS last_day "
            "FROM gateways g LEFT JOIN energy_daily d ON d.gateway_id = g.gateway_id "
            "GROUP BY g.name ORDER BY min(g.gateway_id)"
        )
    ).all()
    if gateway is not None and gateway not in [row.name for row in rows]:
        known = ", ".join(row.name for row in rows) or "none yet"
        raise UsageError(f"There is no gateway {gateway!r} in the database; known: {known}.")
    sites = [
        Site(row.name, row.time_zone or "UTC", as_date(row.first_day), as_date(row.last_day))
        for row in rows
        if row.first_day is not None and gateway in {None, row.name}
    ]
    if not sites:
        raise NoDataError(
            "No energy has been recorded yet: start `envoylog run`, or `envoylog db rebuild` "
            "if the samples came from elsewhere."
        )
    return sites


def _rows(
    connection: Connection,
    kind: Kind,
    site: Site,
    since: str | None,
    until: str | None,
    now: datetime,
) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Yield each period's row and its length in seconds; one that is missing has no numbers."""
    zone = time_zone(site.zone)
    now_s = to_epoch_s(now)
    today = local_day(now_s, zone)
    begin, end = span(since, until, today)
    first = begin or _default_first(kind, site, end or max(site.last, min(today, site.last)))
    last = min(end, max(today, site.last)) if end else site.last
    if last < first:
        return
    first = period_of(kind, first)
    last_of = next_period(kind, period_of(kind, last))
    key = _keys(kind)[-1]  # The range is one of local days.
    values = ", ".join(column.name for column in ENERGY)
    query = (
        f"SELECT {PERIOD_NAMES[kind]}, {values} FROM v_energy_{kind} "  # noqa: S608 - names are ours
        f"WHERE gateway = :gateway AND CAST({key} AS VARCHAR) >= :first "
        f"AND CAST({key} AS VARCHAR) < :last ORDER BY 1"
    )
    bounds = {"first": _bound(kind, first), "last": _bound(kind, last_of)}
    found: dict[Any, Any] = {}
    for row in connection.execute(text(query), {"gateway": site.name, **bounds}):
        found[_label(kind, row[0])] = row[1:]
    covered = [column.name for column in ENERGY].index("coverage_pct")
    nothing = (None,) * len(ENERGY)
    # What is lost between two samples is nothing to a month.
    begin_s = day_start_s(first, zone)
    breaks = breaks_s(connection, site, begin_s) if kind in {"hourly", "daily"} else []
    for labels, end_s, length_s in _expected(kind, first, last, zone):
        values_of = found.get(labels[0], nothing)
        whole = not has_break(breaks, end_s - int(length_s), end_s)
        status = _status(values_of[covered] if whole else None, end_s, now_s)
        yield (site.name, *labels, *values_of, status), length_s


def breaks_s(connection: Connection, site: Site, since_s: int) -> list[int]:
    """Return when a total's counter was broken off since an instant, epoch seconds in order."""
    events, gateways = EVENTS.c, GATEWAYS.c
    named = select(gateways.gateway_id).where(gateways.name == site.name)
    query = select(events.at).where(
        events.gateway_id.in_(named),
        events.kind.in_(UNCOUNTED),
        events.subject.like("% total"),
        events.at > from_epoch_s(since_s),
    )
    told = [to_epoch_s(at) for (at,) in connection.execute(query)]
    return sorted([*told, *_replaced_s(connection, connection.execute(named).scalars().all())])


def _replaced_s(connection: Connection, gateway_ids: Sequence[int]) -> Iterator[int]:
    """Yield when one gateway's counters ended, and when those of the next of its name began."""
    starts_at = ENERGY_15MIN.c.starts_at
    ends = [both for one in gateway_ids if (both := ends_s(connection, starts_at, one))]
    for (_, last_s), (first_s, _) in pairwise(sorted(ends)):
        yield last_s + QUARTER_S
        yield first_s + 1


def has_break(breaks: Sequence[int], start_s: int, end_s: int) -> bool:
    """Return whether a break lies within a period; one at its very start ended the one before."""
    index = bisect_left(breaks, start_s + 1)
    return index < len(breaks) and breaks[index] <= end_s


def _keys(kind: Kind) -> list[str]:
    """Return the columns that name a period; the last one is local."""
    return [PERIOD_NAMES[kind], *(["local_hour"] if kind == "hourly" else [])]


def _default_first(kind: Kind, site: Site, last: date) -> date:
    if kind == "hourly":
        return last
    if kind == "daily":
        return max(site.first, date.fromordinal(last.toordinal() - 30))
    return site.first


def _bound(kind: Kind, day: date) -> str:
    """Return a day in the text that the view's period starts with, on every engine."""
    return {"monthly": f"{day:%Y-%m}", "yearly": f"{day:%Y}"}.get(kind, str(day))


def _expected(
    kind: Kind, first: date, last: date, zone: Any
) -> Iterator[tuple[tuple[Any, ...], int, float]]:
    """Yield the labels, the end (epoch seconds) and the length (s) of each period."""
    if kind == "hourly":
        at_s = day_start_s(first, zone)
        for local, length_s in hours(first, last, zone):
            starts_at = from_epoch_s(at_s).replace(tzinfo=None)
            at_s += length_s
            yield (starts_at, local), at_s, float(length_s)
        return
    start_s: int | None = None
    for start in periods(kind, first, last):
        start_s = day_start_s(start, zone) if start_s is None else start_s
        end_s = day_start_s(next_period(kind, start), zone)
        yield (_label(kind, start),), end_s, float(end_s - start_s)
        start_s = end_s


def _label(kind: Kind, value: Any) -> Any:
    if kind == "hourly":
        at: datetime = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    if kind == "daily":
        return as_date(value)
    if kind == "monthly":
        return value if isinstance(value, str) else f"{value:%Y-%m}"
    return value.year if isinstance(value, date) else int(value)


def as_date(value: Any) -> date:
    """Return a day as the engine gives it: a date, or its text."""
    return value if isinstance(value, date) else date.fromisoformat(value)


def status_of(coverage_pct: float | None, end_s: int, now: datetime) -> str:
    """Return provisional while a period runs, then final or partial."""
    return _status(coverage_pct, end_s, to_epoch_s(now))


def _status(coverage_pct: float | None, end_s: int, now_s: int) -> str:
    if end_s > now_s:
        return "provisional"
    return "final" if (coverage_pct or 0.0) >= COVERED_PCT else "partial"


def totals_of(
    columns: Sequence[Column], names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> dict[str, float | None]:
    """Return the sums and maxima that columns ask for; None where nothing is known."""
    totals: dict[str, float | None] = {}
    for column in columns:
        index = names.index(column.name)
        known = [row[index] for row in rows if row[index] is not None]
        if column.total == "sum":
            totals[column.name] = math.fsum(known) if known else None
        elif column.total == "max":
            totals[column.name] = max(known, default=None)
    return totals


def _totals(
    names: Sequence[str], rows: Sequence[Sequence[Any]], lengths: Sequence[float]
) -> dict[str, float | None]:
    """Return sums, maxima, and ratios of the sums; None where unknown."""
    totals = totals_of(ENERGY, names, rows)
    made, used = totals["production_kwh"], totals["consumption_kwh"]
    kept, bought = totals["self_consumption_kwh"], totals["grid_import_kwh"]
    totals["self_consumption_pct"] = 100 * kept / made if made and kept is not None else None
    home = used - bought if used and bought is not None else None
    totals["self_sufficiency_pct"] = 100 * home / used if used and home is not None else None
    covered = names.index("coverage_pct")
    measured = math.fsum(row[covered] * length for row, length in zip(rows, lengths, strict=True))
    totals["coverage_pct"] = measured / math.fsum(lengths)
    return totals
