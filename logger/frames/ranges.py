"""Gateways by name, and the days of them that a range names.

Walk: here -> database
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import ColumnElement, Connection

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s, utc_now
from logger.errors import UsageError
from logger.reports.periods import Days, Kind, parse, text_of
from logger.store.queries import gateways

#: Days: ``2026-03-29``, ``2026-03``, ``2026``, ``7d``, ``last-month`` and the like; the first and the last of such,
#: both included; or None for all there are.
Range = str | dt.date | tuple[str | dt.date, str | dt.date] | None


class Site(NamedTuple):
    """The gateways of one name, which may have been replaced, and the zone of their days."""

    name: str
    gateway_ids: list[int]
    zone: str

    def bounds(self, days: Days | None) -> tuple[dt.datetime, dt.datetime] | None:
        """Return the first instant of days, and the first after them."""
        if days is None:
            return None
        zone = time_zone(self.zone)
        return from_epoch_s(day_start_s(days.first, zone)), from_epoch_s(day_end_s(days.last, zone))


#: of a database that has no gateway yet
NOBODY = Site("", [], "UTC")


def sites_named(connection: Connection, gateway: str | None) -> list[Site]:
    """Return the gateways by name, or the one that was asked for."""
    rows = gateways(connection)
    found: dict[str, Site] = {}
    for row in rows:
        before = found.get(row.name, Site(row.name, [], "UTC"))
        found[row.name] = Site(row.name, [*before.gateway_ids, row.gateway_id], row.time_zone or before.zone)
    if gateway is not None and gateway not in found:
        known = ", ".join(found) or "none yet"
        raise UsageError(f"There is no gateway {gateway!r} in the database; known: {known}.")
    return [site for name, site in found.items() if gateway in {None, name}]


def zone_of(sites: Sequence[Site], tz: str | None) -> str:
    """Return the zone of an index: the one asked for, the one that all gateways are in, or UTC."""
    if tz is not None:
        return time_zone(tz).key
    zones = {site.zone for site in sites}
    return zones.pop() if len(zones) == 1 else "UTC"


def days_of(chosen: Range, site: Site) -> Days | None:
    """Return the days of a range; what a word means depends on where the gateway is.

    Raises:
        UsageError: it names none.
    """
    if chosen is None:
        return None
    today = local_day(to_epoch_s(utc_now()), time_zone(site.zone))
    first, last = (parse(str(end), today) for end in (chosen if isinstance(chosen, tuple) else (chosen, chosen)))
    if first.first > last.last:
        raise UsageError(f"The range ends ({last.last}) before it starts ({first.first}); swap its ends.")
    return Days(first.first, last.last)


def period_key(period: Kind, day: dt.date) -> Any:
    """Return how a view names the day, month or year that holds a day."""
    return {"monthly": text_of(period, day), "yearly": day.year}.get(period, day)


def between(column: ColumnElement[Any], bounds: tuple[dt.datetime, dt.datetime] | None) -> list[ColumnElement[bool]]:
    """Return the condition that an instant lies within bounds."""
    return [] if bounds is None else [column >= bounds[0], column < bounds[1]]


def beginnings(periods: "pd.Series[Any]", site: Site, zone: str) -> "pd.Series[Any]":
    """Return the instants at which a gateway's days, months or years begin."""
    at_home = time_zone(site.zone)
    starts_s = {}
    for period in periods.unique():
        text = str(period)[:10]
        starts_s[period] = day_start_s(dt.date.fromisoformat(text + "-01-01"[len(text) - 4 :]), at_home)
    found = pd.to_datetime(periods.map(starts_s).astype("int64"), unit="s", utc=True)
    return found.dt.tz_convert(zone).dt.as_unit("s")
