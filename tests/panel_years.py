"""Years of panels: what happens to them is named rightly within a fortnight, and nothing else is.

Random sites (tests.panel_sites) go into the raw tables by plain SQL, as another program would fill them, and are judged
by a rebuild. ``scripts/soak panels`` runs many.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click
from sqlalchemy import Connection, Engine, insert, text

from logger.rollups import rollup
from logger.store.database import open_engine
from logger.store.models import INVERTER_DAILY, INVERTER_HOURS
from logger.store.schema import upgrade
from tests.panel_sites import NAMES, PLACES, STEP, Fault, PanelSite, Plan
from tests.sample_data import instant

#: Within so many days a fault is named; only one that begins while so many of them are bright has to be.
WITHIN, BRIGHT = 15, 12
SAMPLES = (
    "INSERT INTO inverter_samples (gateway_id, reported_at, serial, power_w, energy_lifetime_wh, energy_interval_wh,"
    " interval_s) VALUES (:gateway_id, :reported_at, :serial, :power_w, :energy_lifetime_wh, :energy_interval_wh,"
    " :interval_s)"
)
EMPTY = dict.fromkeys(("energy_lifetime_wh", "energy_interval_wh", "interval_s"))
#: How it is known that an inverter was removed: by an event, by when it was last seen, or not at all.
KNOWN_BY = ("event", "seen", "nothing")


def plan_of(seed: int, *, is_clean: bool) -> Plan:
    """Return a random site for a year, with ten faults or without any."""
    dice = random.Random(seed)
    place, panels = dice.choice(PLACES), dice.choice([16, 20, 24])
    south, sides = ((180.0, 35.0),), ((95.0, 30.0), (265.0, 30.0))
    corners = ((135.0, 30.0), (225.0, 20.0))
    faults: list[Fault] = []
    if not is_clean:
        kinds = ["dead", "tenth", "fifth", "morning", dice.choice(["silent", "sparse"]), "removed", "replaced"]
        kinds.append("clipped")
        which = dice.sample(range(panels), len(kinds))
        faults = [Fault(kind, panel, dice.randint(80, 340)) for kind, panel in zip(kinds, which, strict=True)]
        faults += [Fault("snow", None, dice.randint(20, 330), dice.randint(2, 8))]
        faults += [Fault("soiling", None, dice.randint(60, 300))]
    return Plan(
        seed=seed,
        place=place,
        panels=panels,
        start=datetime(2024, dice.randint(1, 12), 1, tzinfo=UTC),
        noise=0.05 if is_clean else dice.choice([0.02, 0.03, 0.05]),
        hour_noise=dice.choice([0.01, 0.03, 0.05]),
        orientations=dice.choice([south, south, sides, corners]),
        inverter_w=dice.choice([9_999.0, 290.0, 330.0]),
        faults=tuple(faults),
        every=dice.choice([5, 15, 60]),
        says=dice.choice(["lifetime", "lifetime", "interval", "power"]),
    )


def fill(engine: Engine, site: PanelSite, known_by: str, gateway_id: int = 1) -> None:
    """Fill the raw tables by plain SQL."""
    rows = [{**EMPTY, **row, "reported_at": instant(engine, row["reported_at"])} for row in site.rows(gateway_id)]
    rows.sort(key=lambda row: str(row["reported_at"]))
    with engine.begin() as connection:
        _fill_gateway(connection, site, gateway_id)
        connection.execute(text(SAMPLES), rows)
        _fill_list(connection, site, known_by, gateway_id)


def fill_days(engine: Engine, site: PanelSite, known_by: str, gateway_id: int = 1) -> None:
    """Fill what is counted of the reports of a site on the meridian, by days and hours."""
    plan = site.plan
    hours_wh = site.power_w.reshape(plan.panels, plan.days, 24, -1).mean(axis=3)
    is_up = site.sun_is_up.reshape(plan.days, 24, -1)
    days: list[dict[str, Any]] = []
    hours: list[dict[str, Any]] = []
    for panel in range(plan.panels):
        fault = next((own for own in plan.faults if own.panel == panel), None)
        for day in range(plan.days):
            kind = fault.kind if fault is not None and day >= fault.day else ""
            reports = int(is_up[day].sum() * STEP // plan.every * (0.3 if kind == "sparse" else 1))
            if kind in {"silent", "removed"} or not reports:
                continue
            known = zip(hours_wh[panel, day], is_up[day].any(axis=1), strict=True)
            wh = [round(float(own), 1) if up else None for own, up in known]
            serial = site.new_serial(panel) if kind == "replaced" else site.serial(panel)
            key = {"gateway_id": gateway_id, "day": (plan.start + timedelta(days=day)).date(), "serial": serial}
            peak_w = float(site.power_w[panel, day].max())
            days.append({**key, "energy_wh": sum(filter(None, wh)), "peak_power_w": peak_w})
            text_of = ",".join("" if own is None else f"{own:g}" for own in wh)
            hours.append({**key, "reports": reports, "hours_wh": text_of})
    with engine.begin() as connection:
        _fill_gateway(connection, site, gateway_id)
        connection.execute(insert(INVERTER_DAILY), days)
        connection.execute(insert(INVERTER_HOURS), hours)
        _fill_list(connection, site, known_by, gateway_id)


def _fill_gateway(connection: Connection, site: PanelSite, gateway_id: int) -> None:
    connection.execute(
        text("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (:id, :name, :serial, :zone)"),
        {"id": gateway_id, "name": f"roof{gateway_id}", "serial": str(gateway_id), "zone": site.plan.place.zone},
    )


def _fill_list(connection: Connection, site: PanelSite, known_by: str, gateway_id: int) -> None:
    """Say which inverters are no longer listed, as far as that is known."""
    plan, engine = site.plan, connection.engine
    end = site.start + timedelta(days=plan.days)
    for panel in range(plan.panels):
        fault = next((own for own in plan.faults if own.panel == panel), None)
        is_gone = fault is not None and fault.kind in {"removed", "replaced"}
        gone_at = site.start + timedelta(days=fault.day if fault is not None else 0)
        if known_by == "event" and is_gone:
            connection.execute(
                text("INSERT INTO events (gateway_id, at, kind, subject, detail)"
                     " VALUES (:id, :at, 'inverter_removed', :serial, 'no longer listed')"),
                {"id": gateway_id, "at": instant(engine, gone_at + timedelta(hours=11)), "serial": site.serial(panel)},
            )  # fmt: skip
        if known_by == "nothing":
            continue
        listed = [(site.serial(panel), site.start, gone_at if is_gone else end)]
        if fault is not None and fault.kind == "replaced":
            listed.append((site.new_serial(panel), gone_at, end))
        for serial, first, last in listed:
            connection.execute(
                text("INSERT INTO inverters (gateway_id, serial, device_type, first_seen_at, last_seen_at)"
                     " VALUES (:id, :serial, 1, :first, :last)"),
                {"id": gateway_id, "serial": serial, "first": instant(engine, first), "last": instant(engine, last)},
            )  # fmt: skip


def rebuilt(engine: Engine, site: PanelSite, gateway_id: int = 1) -> None:
    """Rebuild from the raw tables."""
    with engine.begin() as connection:
        now = site.start + timedelta(days=site.plan.days + 1)
        rollup.rebuild(connection, gateway_id, now=now, gap_s=900, since=None)


def states_of(engine: Engine, site: PanelSite, gateway_id: int = 1) -> dict[str, list[tuple[int, str | None]]]:
    """Return when each inverter took which state: days since the first."""
    query = text("SELECT serial, day, state FROM panel_daily WHERE gateway_id = :id ORDER BY serial, day")
    first = (site.start + timedelta(hours=12)).astimezone(ZoneInfo(site.plan.place.zone)).date()
    found: dict[str, list[tuple[int, str | None]]] = {}
    with engine.connect() as connection:
        for serial, day, state in connection.execute(query, {"id": gateway_id}):
            states = found.setdefault(serial, [])
            if not states or states[-1][1] != state:
                states.append(((_date(day) - first).days, state))
    return found


def misnamed(site: PanelSite, found: dict[str, list[tuple[int, str | None]]], known_by: str) -> Iterator[str]:
    """Yield what was named wrongly, late or without need."""
    plan = site.plan
    faults = {site.serial(fault.panel): fault for fault in plan.faults if fault.panel is not None}
    for serial, states in sorted(found.items()):
        fault = faults.get(serial)
        wanted = NAMES.get(fault.kind, set()) if fault else set()
        if fault and fault.kind == "removed" and known_by == "nothing":
            wanted = wanted | {"silent"}
        if fault and fault.kind == "replaced":  # Until the other unit is there it is silent.
            wanted = wanted | {"silent"}
        where = f"site {plan.seed} ({plan.place.zone}), {serial}{f', {fault.kind} on day {fault.day}' if fault else ''}"
        for day, state in states:
            if state not in {None, "fine"} and not (fault and day >= fault.day and state in wanted):
                yield f"{where}: {state} on day {day} (all: {states})"
                break
        if fault and wanted:
            named = next((day for day, state in states if day >= fault.day and state in wanted), 9_999)
            bright = site.bright_days(fault.day, fault.day + WITHIN)
            if bright >= BRIGHT and named >= fault.day + WITHIN:
                yield f"{where}: not named within {WITHIN} days, {bright} of them bright (all: {states})"


def events(engine: Engine, gateway_id: int = 1) -> list[tuple[str, str, str]]:
    """Return the events that a rebuild decided: kind, subject, detail."""
    query = text("SELECT kind, subject, detail FROM events WHERE gateway_id = :id AND kind <> 'inverter_removed'")
    with engine.connect() as connection:
        return [(kind, subject, detail) for kind, subject, detail in connection.execute(query, {"id": gateway_id})]


def soak(engine: Engine, count: int, seed: int) -> int:
    """Judge sites with ten faults, and as many without; print what is wrong, and return how often."""
    wrong = 0
    for number in range(2 * count):
        is_clean, gateway_id, own = number % 2 > 0, number + 1, seed + number
        site, known_by = PanelSite(plan_of(own, is_clean=is_clean)), KNOWN_BY[number // 2 % len(KNOWN_BY)]
        fill(engine, site, known_by, gateway_id)
        rebuilt(engine, site, gateway_id)
        mistakes = list(misnamed(site, states_of(engine, site, gateway_id), known_by))
        if is_clean:
            mistakes += [f"site {own}: event {event}" for event in events(engine, gateway_id)]
        wrong += len(mistakes)
        for mistake in mistakes:
            click.echo(mistake)
    return wrong


def soak_new(database_url: str, count: int, seed: int) -> int:
    """Judge sites in a new database."""
    engine = open_engine(database_url)
    upgrade(engine)
    wrong = soak(engine, count, seed)
    engine.dispose()
    return wrong


def _date(day: date | str) -> date:
    return day if isinstance(day, date) else date.fromisoformat(day)
