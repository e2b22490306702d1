"""How each panel does against its neighbours, since when, what that cost, and what to do.

Walk: panel_daily, panels -> here -> overview, status, page, exports
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, func, select

from logger.errors import NoDataError
from logger.ledger.panel_day import PanelState
from logger.reports import Report
from logger.reports.columns import PANEL
from logger.reports.energy import Site, as_date, days_of, sites_of, view_rows
from logger.reports.periods import Text
from logger.store.models import INVERTER_DAILY, PANEL_DAILY, PANELS

#: A state that was decided longer ago is no longer how things stand.
STANDS = timedelta(days=30)
#: Energy is summed over so many days that were judged.
DAYS = 14
#: What to do about a panel that is not fine.
ADVICE = {
    "weak": "look for dirt, damage or a loose plug; if cleaning does not help, show this to your installer",
    "shaded": "loses at certain hours alone: look for a new shade, such as a tree, a chimney or a mast",
    "dead": "makes nothing: have the panel, its plug and its inverter looked at",
    "silent": "reports nothing: switch its branch off and on by daylight; if it stays silent, call your installer",
    "removed": "no longer listed by the gateway: nothing to do if it was taken down or replaced",
}
NOT_JUDGED = "No panel was judged then: a day is judged once it is over, and a ratio takes two weeks of reports."
REMARKS = ("name", "array", "state")
_days = PANEL_DAILY.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """How a panel stands; energies in kWh, None where unknown."""

    gateway: str = ""
    serial: str
    name: str | None = None  #: as configured
    array: str | None = None
    state: str | None  #: fine, weak, shaded, dead, silent or removed; None where it has no neighbours
    since: date  #: the first day of that state
    relative_pct: float | None = None  #: of the last 14 bright days, against what is usual beside its neighbours
    energy_kwh: float | None = None  #: of the last 14 days that were judged,
    peers_median_kwh: float | None = None  #: and what half of its neighbours made in these
    lost_kwh: float | None = None  #: what it made less than these since it is not fine; None where it is
    advice: str | None = None


def panels_of(connection: Connection, site: Site, today: date) -> tuple[int, list[Panel]]:
    """Return how many inverters are expected to report, and those that are not fine."""
    panels = standing_panels(connection, site, today)
    expected = [panel for panel in panels if panel.state != "removed"]
    return len(expected), [panel for panel in panels if panel.state not in {None, "fine"}]


def last_judged(connection: Connection, site: Site, today: date) -> date | None:
    """Return the last day on which panels of a site were judged, or None."""
    newest = select(_days.day).where(_days.gateway_id.in_(site.gateway_ids), _days.day <= today)
    last: date | None = connection.execute(newest.order_by(_days.day.desc()).limit(1)).scalar()
    return last


def standing_panels(connection: Connection, site: Site, today: date, *, is_old: bool = False) -> list[Panel]:
    """Return how each panel of a site stands, those that are not fine first; ``is_old``: also if that was long ago."""
    mine, last = _days.gateway_id.in_(site.gateway_ids), last_judged(connection, site, today)
    if last is None or (last < today - STANDS and not is_old):
        return []
    made: dict[tuple[int, str], list[Any]] = {}
    recent = select(_days.gateway_id, _days.serial, _days.energy_wh, _days.peers_median_wh)
    for row in connection.execute(recent.where(mine, _days.day.between(last - timedelta(days=DAYS - 1), last))):
        made.setdefault((row.gateway_id, row.serial), []).append(row)
    same = and_(PANELS.c.gateway_id == _days.gateway_id, PANELS.c.serial == _days.serial)
    query = select(_days.gateway_id, _days.serial, PANELS.c.name, _days.array, _days.state, _days.relative_pct)
    query = query.select_from(PANEL_DAILY.outerjoin(PANELS, same)).where(mine, _days.day == last)
    rows: Sequence[Any] = connection.execute(query).all()
    found = []
    for gateway_id, serial, name, array, state, relative_pct in rows:
        days = made[gateway_id, serial]
        since, lost_wh = _spell(connection, gateway_id, serial, state, last)
        panel = Panel(
            gateway=site.name,
            serial=serial,
            name=name,
            array=array,
            state=state,
            since=since,
            relative_pct=relative_pct,
            energy_kwh=_kwh([day.energy_wh for day in days]),
            peers_median_kwh=_kwh([day.peers_median_wh for day in days]),
            lost_kwh=_kwh([lost_wh]),
            advice=ADVICE.get(state or ""),
        )
        found.append(panel)
    return sorted(found, key=lambda panel: (panel.state in {None, "fine"}, panel.state == "removed", panel.serial))


def _spell(
    connection: Connection, gateway_id: int, serial: str, state: str | None, last: date
) -> tuple[date, float | None]:
    """Return since when a panel has been as it is, and what it made less than others since, if it is not fine.

    Each state is one seek by its index, however many years there are.
    """
    mine = and_(_days.gateway_id == gateway_id, _days.serial == serial, _days.day <= last)
    others = [own for own in (None, *PanelState) if own != state]
    newest = [select(func.max(_days.day)).where(mine, _days.state == own).scalar_subquery() for own in others]
    before = max((day for day in connection.execute(select(*newest)).one() if day is not None), default=None)
    spell = and_(mine, _days.state == state, *(() if before is None else (_days.day > before,)))
    since: date = connection.execute(select(func.min(_days.day)).where(spell)).scalar_one()
    if state in {None, "fine", "removed"}:
        return since, None
    less_wh = _days.peers_median_wh - func.coalesce(_days.energy_wh, 0.0)
    lost = select(func.sum(case((less_wh < 0, 0.0), else_=less_wh))).where(spell)
    return since, connection.execute(lost).scalar_one()


def panel_report(
    connection: Connection, *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None
) -> Report:
    """Return each panel beside its neighbours, a row per day and panel; kWh and %, None where unknown.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range.
    """
    sites = sites_of(connection, gateway, inverters=True)
    # "array" is a word of SQL.
    names = ", ".join(f'"{name}"' for name in ("day", "serial", *(column.name for column in PANEL), *REMARKS))
    rows: list[tuple[Any, ...]] = []
    for site in sites:
        first, last = days_of(site, "panels", since, until, now)
        found = view_rows(connection, "v_panels", names, site, first, last + timedelta(days=1))
        rows += sorted(((site.name, as_date(day), *rest) for day, *rest in found), key=lambda row: row[1:3])
    if not rows:
        raise NoDataError(NOT_JUDGED)
    return Report("panels", ["gateway", "day", "serial"], PANEL, REMARKS, rows)


def panels_within(connection: Connection, site: Site, first: date, last: date) -> list[Panel]:
    """Return what each panel made, beside its neighbours where it has any; those that are not fine first.

    None where nothing is known of any, as on a site's first day.
    """
    of = INVERTER_DAILY.c
    made = select(of.serial, func.sum(of.energy_wh).label("wh")).group_by(of.serial)
    made = made.where(of.gateway_id.in_(site.gateway_ids), of.day.between(first, last))
    made_wh: dict[str, float | None] = {row.serial: row.wh for row in connection.execute(made)}
    names = connection.execute(select(PANELS.c.serial, PANELS.c.name).where(PANELS.c.gateway_id.in_(site.gateway_ids)))
    called = {row.serial: row.name for row in names}
    judged = _days.gateway_id.in_(site.gateway_ids), _days.day.between(first, last)
    both = _days.peers_median_wh.is_not(None)
    sums = select(
        _days.serial,
        func.max(_days.day).label("day"),
        func.sum(func.coalesce(_days.energy_wh, 0.0)).filter(both).label("own_wh"),
        func.sum(_days.peers_median_wh).label("peers_wh"),
    )
    sums = sums.where(*judged).group_by(_days.serial)
    beside = {row.serial: row for row in connection.execute(sums)}
    newest = max((row.day for row in beside.values()), default=last)
    states = select(_days.serial, _days.array, _days.state).where(*judged, _days.day == newest)
    stands = {serial: (array, state) for serial, array, state in connection.execute(states)}
    found = []
    for serial in sorted(made_wh.keys() | beside.keys()):
        row = beside.get(serial)
        array, state = stands.get(serial, (None, None))
        share = 100 * (row.own_wh or 0.0) / row.peers_wh if row is not None and row.peers_wh else None
        wh = made_wh.get(serial)
        found.append(
            Panel(
                gateway=site.name,
                serial=serial,
                state=state,
                since=newest,
                name=called.get(serial),
                array=array,
                relative_pct=share,
                energy_kwh=_kwh([wh]),
                peers_median_kwh=None if row is None else _kwh([row.peers_wh]),
            )
        )
    if all((panel.state, panel.energy_kwh, panel.relative_pct) == (None, None, None) for panel in found):
        return []
    return sorted(found, key=lambda panel: (panel.state in {None, "fine"}, panel.state == "removed", panel.serial))


def _kwh(values_wh: Sequence[float | None]) -> float | None:
    known = [wh for wh in values_wh if wh is not None]
    return round(sum(known) / 1000, 3) if known else None
