"""Energy beside that of the period before, or of a year before: the columns of then, and the change in percent.

A period that still runs is compared with the same days of then, the last of them up to the same time.

Walk: reports.energy -> here -> cli, workbook
"""

import calendar
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from logger.clock import QUARTER_S, day_start_s, from_epoch_s, time_zone, to_epoch_s, utc_offset_s
from logger.errors import NoDataError, UsageError
from logger.reports import Report
from logger.reports.columns import ENERGY, FLOWS, STATUS, Column, Ratio, max_known, sum_known
from logger.reports.energy import KNOWN, Site, energy_report, sites_of
from logger.reports.periods import PERIOD_LABELS, How, Kind, Text

#: the remark that names what a row is compared with
COMPARED = "compared_with"
#: what a change in percent is of
CHANGED = tuple(column.name for column in (*FLOWS, ENERGY[len(FLOWS)]))
#: weights that are not of then
_LASTING = ("peak_power_kwp", "gateway")
_Row = dict[str, float | None]  #: the columns and weights of a period


def compared_report(
    connection: Connection, kind: Kind, how: How,
    *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None,
) -> Report:  # fmt: skip
    """Return an energy report with, behind each column, the same of then.

    ``previous`` is the day, month or year before, and of quarter hours and hours the same time of the day before. A
    change is unknown where then began before the site's first day.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range; names what there is.
    """
    report = energy_report(connection, kind, now=now, since=since, until=until, gateway=gateway)
    labels, gateways, statuses = map(report.column, (report.labels[-1], "gateway", STATUS))
    thens: list[tuple[str, _Row, bool]] = []
    for site in sites_of(connection, gateway):
        own = [at for at, name in enumerate(gateways) if name == site.name]
        past = _Past(connection, kind, how, site, [labels[at] for at in own], now)
        thens += [past.of(labels[at], is_running=statuses[at] == "provisional") for at in own]
    cells = {column.name: report.column(column.name) for column in ENERGY}
    weights = dict(report.weights)
    for name in [*(column.name for column in ENERGY), *weights]:
        if name not in _LASTING:
            target = cells if name in cells else weights
            target[f"{name}_then"] = [then.get(name) for _, then, _ in thens]
    for name in CHANGED:
        pairs = [
            (value, before) if whole and None not in {value, before} else (None, None)
            for value, before, (_, _, whole) in zip(cells[name], cells[f"{name}_then"], thens, strict=True)
        ]
        weights[f"{name}_both"], weights[f"{name}_both_then"] = map(list, zip(*pairs, strict=True))
        cells[_change(name)] = [
            100 * (value - before) / before if value is not None and before else None for value, before in pairs
        ]
    columns = [new for column in ENERGY for new in _columns(column)]
    remarks = [*report.remarks, COMPARED]
    texts = [statuses, [text for text, _, _ in thens]]
    parts = [*map(report.column, report.labels), *(cells[column.name] for column in columns), *texts]
    return Report(kind, report.labels, columns, remarks, list(zip(*parts, strict=True)), weights)


def together(report: Report) -> Report:
    """Return a report of several gateways as one of all of them: a row for each period."""
    groups: dict[Any, list[int]] = {}
    for at, label in enumerate(report.column(report.labels[-1])):
        groups.setdefault(label, []).append(at)
    name = " + ".join(dict.fromkeys(report.column("gateway")))
    rows: list[tuple[Any, ...]] = []
    weights: dict[str, list[float | None]] = {weight: [] for weight in report.weights}
    for label, chosen in sorted(groups.items()):
        of_label = rows_of(report, chosen)
        # The power of two gateways at one instant is not known.
        totals = of_label.totals | ({"peak_production_w": None} if len(chosen) > 1 else {})
        statuses = set(of_label.column(STATUS))
        status = next(worst for worst in ("provisional", "suspect", "partial", "final") if worst in statuses)
        rows.append((name, label, *totals.values(), status))
        for weight, values in of_label.weights.items():
            is_unknown = weight == "peak_power_kwp" and None in values
            weights[weight].append(None if is_unknown else sum_known(values))
    return replace(report, labels=[report.labels[0], report.labels[-1]], rows=rows, weights=weights)


def rows_of(report: Report, chosen: Sequence[int]) -> Report:
    """Return a report of some of the rows."""
    weights = {name: [values[at] for at in chosen] for name, values in report.weights.items()}
    return replace(report, rows=[report.rows[at] for at in chosen], weights=weights)


def year_before(day: date) -> date | None:
    """Return the same day of the year before; None for 29 February."""
    return None if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


class _Past:
    """What the periods of a site are compared with."""

    def __init__(
        self, connection: Connection, kind: Kind, how: How, site: Site, labels: Sequence[Any], now: datetime
    ) -> None:
        self.connection, self.kind, self.how, self.site, self.now = connection, kind, how, site, now
        shifted = [then for label in labels if (then := self._then(label)) is not None]
        self.report = self._energy(kind, min(shifted), max(shifted)) if shifted else None
        self.index: dict[Any, int] = {}
        if self.report is not None:
            for at, label in enumerate(self.report.column(PERIOD_LABELS[kind][-1])):
                self.index.setdefault(label, at)

    def of(self, label: Any, *, is_running: bool) -> tuple[str, _Row, bool]:
        """Return the name of then, its columns and weights, and whether the site was there all that time."""
        then = self._then(label)
        if then is None:
            return "", {}, False
        is_whole = _first_day(then) >= self.site.first
        if is_running and self.kind != "quarter-hourly":
            until = self._until(label, then)
            return f"{_text(then)} until {until:%m-%d %H:%M}", self._part(then, until), is_whole
        if self.report is None or (at := self.index.get(then)) is None:
            return _text(then), {}, False
        return _text(then), _known(rows_of(self.report, [at]), exact=True), is_whole

    def _then(self, label: Any) -> Any:
        """Return the label of what is compared with a label; None where there is no such day."""
        if isinstance(label, int):
            return label - 1
        if isinstance(label, str):
            first = date.fromisoformat(f"{label}-01")
            first = first.replace(year=first.year - 1) if self.how == "year-before" else first - timedelta(days=1)
            return str(first)[:7]
        if self.how == "previous":
            return label - timedelta(days=1)
        return year_before(label)

    def _until(self, label: Any, then: Any) -> datetime:
        """Return up to when then is compared, in local time: as far into it as the running period is."""
        zone, now_s = time_zone(self.site.zone), to_epoch_s(self.now)
        counted_s = self.site.counted_s[-1][1] if self.site.counted_s else now_s
        is_counted = day_start_s(_first_day(label), zone) < counted_s <= now_s
        until_s = counted_s if is_counted else now_s
        local = from_epoch_s(until_s + utc_offset_s(until_s, zone)).replace(tzinfo=None)
        if isinstance(then, date):
            shift: timedelta = then - label
            return local + shift
        first = _first_day(then)
        month = first.month if isinstance(then, str) else local.month
        last = calendar.monthrange(first.year, month)[1]
        if local.day > last:  # a month that had fewer days: all of it
            return datetime(first.year, month, last) + timedelta(days=1)  # noqa: DTZ001 - local time
        return local.replace(year=first.year, month=month)

    def _part(self, then: Any, until: datetime) -> _Row:
        """Return what was counted from the beginning of then until a local time."""
        parts = []
        days = until.date() - timedelta(days=1)
        if _first_day(then) <= days and (whole := self._energy("daily", _first_day(then), days)):
            parts.append(whole)
        if quarters := self._energy("quarter-hourly", until.date(), until.date()):
            since = then if isinstance(then, datetime) else datetime.min  # noqa: DTZ901 - local time
            locals_ = enumerate(quarters.column("local_quarter"))
            chosen = [at for at, local in locals_ if since <= local and local + timedelta(seconds=QUARTER_S) <= until]
            quarters = rows_of(quarters, chosen)
            rows = [(row[0], *row[2:]) for row in quarters.rows]
            parts.append(replace(quarters, labels=["gateway", "day"], rows=rows))
        rows = [row for part in parts for row in part.rows]
        names = ("covered_s", "period_s", "peak_power_kwp", *KNOWN)
        weights = {name: [value for part in parts for value in part.weights[name]] for name in names}
        return _known(Report("daily", ["gateway", "day"], ENERGY, [STATUS], rows, weights)) if rows else {}

    def _energy(self, kind: Kind, first: Any, last: Any) -> Report | None:
        """Return what was counted in some periods; None where nothing was."""
        since, until = (str(label)[:10] for label in (first, last))
        try:
            return energy_report(self.connection, kind, now=self.now, since=since, until=until, gateway=self.site.name)
        except (NoDataError, UsageError):
            return None


def _known(report: Report, *, exact: bool = False) -> _Row:
    """Return the columns and weights of rows as one, ``exact`` as the only row has them; empty of nothing measured."""
    values = {name: report.column(name)[0] for name in report.columns} if exact else report.totals
    if not any(report.weights["covered_s"]) and not any(values[name] for name in CHANGED):
        return {}
    sums = {name: max_known(cells) if name in _LASTING else sum_known(cells) for name, cells in report.weights.items()}
    return {**values, **sums}


def _columns(column: Column) -> list[Column]:
    """Return a column, the same of then, and the change between both."""
    total: Any = column.total
    if isinstance(total, Ratio):
        numerator = tuple(f"{name}_then" for name in total.numerator)
        divisor = total.divisor if total.divisor in _LASTING else f"{total.divisor}_then"
        total = replace(total, numerator=numerator, divisor=divisor)
    then = Column(f"{column.name}_then", f"{column.title} then", column.unit, column.decimals, total)
    if column.name not in CHANGED:
        return [column, then]
    both = (f"{column.name}_both", f"{column.name}_both_then")
    change = Column(_change(column.name), f"{column.title} change", "%", 1, Ratio(both, both[1]))
    return [column, then, change]


def _change(name: str) -> str:
    return f"{name.removesuffix('_kwh')}_change_pct"


def _first_day(label: Any) -> date:
    """Return the first day of a period, given its label."""
    if isinstance(label, datetime):
        return label.date()
    text = str(label)
    return date.fromisoformat(text + "-01-01"[len(text) - 4 :])


def _text(label: Any) -> str:
    return f"{label:%Y-%m-%d %H:%M}" if isinstance(label, datetime) else str(label)
