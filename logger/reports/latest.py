"""What is stored last of each of many gateways: asked for a thousand as often as for one.

A monitor asks how a fleet stands each few minutes, and its server may be some milliseconds away.

Walk: gateways, polls, energy_daily, events, meters, panel_daily, v_power_now -> here -> status
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, text

from logger.clock import day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.reports.columns import SUSPECT
from logger.store.models import ENERGY_DAILY, EVENTS, GATEWAYS, METERS, PANEL_DAILY, PANELS, POLLS

#: ``meteringStatus`` of a CT whose gateway asks for a person.
WIRING = "check-wiring"
#: Panels were judged within so many days.
PANELS_SINCE = timedelta(days=7)
_POWER = text(
    "SELECT gateway, battery_soc_pct, grid_state FROM v_power_now WHERE gateway IN :names ORDER BY measured_at"
).bindparams(bindparam("names", expanding=True))


@dataclass(slots=True, kw_only=True)
class Latest:
    """One gateway; of those of one name the newest."""

    gateway: Any  #: its row
    today: date  #: in its zone
    last: Any | None = None  #: polled_at, outcome and error of its newest poll
    good_at: datetime | None = None  #: of its newest poll that measured something
    energy: Any | None = None  #: production_wh and consumption_wh of today
    suspect: Any | None = None  #: kind and detail of the newest suspect event of yesterday and today
    flagged: list[Any] = field(default_factory=list)  #: measurement and status_flags of meters, as wired
    ill_panels: list[Any] = field(default_factory=list)  #: serial, state and name, on the last day that was judged
    power: Any | None = None  #: battery_soc_pct and grid_state

    @property
    def yesterday_at(self) -> datetime:
        """When yesterday began."""
        return from_epoch_s(day_start_s(self.today - timedelta(days=1), time_zone(self.gateway.time_zone or "UTC")))


def latest(connection: Connection, names: Collection[str], now: datetime) -> Mapping[str, Latest]:
    """Return what is stored last of the gateways that go by names, by name; those never seen are left out."""
    query = select(GATEWAYS).where(GATEWAYS.c.name.in_(names)).order_by(GATEWAYS.c.gateway_id)
    named = {
        row.name: Latest(gateway=row, today=local_day(to_epoch_s(now), time_zone(row.time_zone or "UTC")))
        for row in connection.execute(query).all()
    }
    if named:
        found = {own.gateway.gateway_id: own for own in named.values()}
        for read in (_polls, _energy, _suspect, _flagged, _ill_panels):
            read(connection, found)
        for row in connection.execute(_POWER, {"names": list(named)}):
            named[row.gateway].power = row
    return named


def _polls(connection: Connection, found: Mapping[int, Latest]) -> None:
    of, columns = GATEWAYS.c, POLLS.c
    newest = select(columns.polled_at).where(columns.gateway_id == of.gateway_id)
    newest = newest.order_by(columns.polled_at.desc()).limit(1)
    good = newest.where(columns.outcome != "failed")
    ends = select(of.gateway_id, newest.scalar_subquery().label("last_at"), good.scalar_subquery().label("good_at"))
    ends_of = ends.where(of.gateway_id.in_(found)).subquery()
    same = and_(columns.gateway_id == ends_of.c.gateway_id, columns.polled_at == ends_of.c.last_at)
    query = select(ends_of.c.gateway_id, ends_of.c.good_at, columns.polled_at, columns.outcome, columns.error)
    for row in connection.execute(query.join_from(ends_of, POLLS, same)):
        found[row.gateway_id].last, found[row.gateway_id].good_at = row, row.good_at


def _energy(connection: Connection, found: Mapping[int, Latest]) -> None:
    columns = ENERGY_DAILY.c
    query = select(columns.gateway_id, columns.day, columns.production_wh, columns.consumption_wh).where(
        columns.gateway_id.in_(found), columns.phase == "total", columns.day.in_({own.today for own in found.values()})
    )
    for row in connection.execute(query):
        if row.day == found[row.gateway_id].today:
            found[row.gateway_id].energy = row


def _suspect(connection: Connection, found: Mapping[int, Latest]) -> None:
    columns, since = EVENTS.c, {number: own.yesterday_at for number, own in found.items()}
    query = select(columns.gateway_id, columns.at, columns.kind, columns.detail).where(
        columns.gateway_id.in_(found), columns.kind.in_(SUSPECT), columns.at >= min(since.values())
    )
    for row in connection.execute(query.order_by(columns.at.desc(), columns.kind)):
        if found[row.gateway_id].suspect is None and row.at >= since[row.gateway_id]:
            found[row.gateway_id].suspect = row


def _flagged(connection: Connection, found: Mapping[int, Latest]) -> None:
    columns = METERS.c
    query = select(columns.gateway_id, columns.measurement, columns.status_flags).where(
        columns.gateway_id.in_(found), columns.state == "enabled", columns.metering_status == WIRING
    )
    for row in connection.execute(query):
        found[row.gateway_id].flagged.append(row)


def _ill_panels(connection: Connection, found: Mapping[int, Latest]) -> None:
    columns, of = PANEL_DAILY.c, GATEWAYS.c
    since = min(own.today for own in found.values()) - PANELS_SINCE
    newest = select(columns.day).where(columns.gateway_id == of.gateway_id, columns.day >= since)
    last_day = newest.order_by(columns.day.desc()).limit(1).scalar_subquery().label("day")
    ends = select(of.gateway_id, last_day).where(of.gateway_id.in_(found)).subquery()
    on_day: ColumnElement[bool] = and_(columns.gateway_id == ends.c.gateway_id, columns.day == ends.c.day)
    same = and_(PANELS.c.gateway_id == columns.gateway_id, PANELS.c.serial == columns.serial)
    query = select(columns.gateway_id, columns.day, columns.serial, columns.state, PANELS.c.name)
    query = query.select_from(ends).join(PANEL_DAILY, on_day).outerjoin(PANELS, same)
    query = query.where(columns.state.in_(("weak", "dead", "silent"))).order_by(columns.serial)
    for row in connection.execute(query):
        if row.day >= found[row.gateway_id].today - PANELS_SINCE:
            found[row.gateway_id].ill_panels.append(row)
