"""inverter_daily: each microinverter's energy per local day, recomputed by whole days."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, select

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, local_day, to_epoch_s
from logger.energy.inverters import (
    MOST_W,
    Inverter,
    Report,
    Reported,
    Rhythm,
    Share,
    from_counter,
    from_reports,
)
from logger.energy.series import Counted, CounterState
from logger.energy.streams import Decision
from logger.rollups import checkpoints, events
from logger.rollups.columns import by_key, known
from logger.rollups.events import SUBJECT
from logger.rollups.placing import ALONE_S, OLDEST_S, WRONG_S
from logger.rollups.rows import Site, site_of
from logger.store.database import batches, epoch, insert_all
from logger.store.models import INVERTER_DAILY, INVERTER_SAMPLES
from logger.store.queries import ends_s

LEDGER = "inverters"
CHUNK = timedelta(days=2)
#: An inverter that was silent for so long no longer holds the ledger back.
RETIRED = timedelta(days=2)
SILENT = "silent"


def bring_inverters_up_to_date(engine: Engine, gateway_id: int, *, now: datetime) -> None:
    """Roll up the reports that came in since the last time."""
    until_s: int | None = 0
    while until_s is not None:
        with engine.begin() as connection:
            until_s = advance(connection, gateway_id, now=now, beyond_s=until_s)


def catch_up(connection: Connection, gateway_id: int, *, now: datetime) -> None:
    """Roll up the reports that came in, within the caller's transaction."""
    until_s: int | None = 0
    while until_s is not None:
        until_s = advance(connection, gateway_id, now=now, beyond_s=until_s)


def rebuild(connection: Connection, gateway_id: int, *, now: datetime, since: date | None) -> None:
    """Recompute the days from ``since`` on, or from the first raw report."""
    zone = site_of(connection, gateway_id).zone
    since_s = day_start_s(since, zone) if since else -1
    ends = _ends(connection, gateway_id, to_epoch_s(now))
    if ends is None:
        return
    since_s = max(since_s, ends[0] - 1)
    checkpoints.forget_after(connection, gateway_id, LEDGER, since_s)
    catch_up(connection, gateway_id, now=now)


def advance(connection: Connection, gateway_id: int, *, now: datetime, beyond_s: int) -> int | None:
    """Roll up one stretch and return up to when, or None when nothing is left."""
    site = site_of(connection, gateway_id)
    ends = _ends(connection, gateway_id, to_epoch_s(now))
    if ends is None:
        return None
    first_s, last_s = ends
    states: dict[str, Any] = {}
    checkpoint = checkpoints.last(connection, gateway_id, LEDGER)
    if checkpoint is None:
        since_s = day_start_s(local_day(first_s, site.zone), site.zone)
    else:
        since_s, states = checkpoint.at_s, checkpoint.state
    end_s = max(last_s, min(to_epoch_s(now), last_s + int(2 * RETIRED.total_seconds())))
    until_s = min(end_s, max(since_s, beyond_s) + int(CHUNK.total_seconds()))
    inverters, peaks = _read(connection, site, since_s, until_s)
    silent = {serial: state for serial, state in states.items() if state[0] == SILENT}
    if back := [silent[serial][1] for serial in inverters.keys() & silent]:
        checkpoints.forget_after(connection, gateway_id, LEDGER, min(back))
        return until_s
    shares: dict[str, Share] = {}
    open_s: list[int] = []
    tracks: dict[str, Counted | Reported] = {}
    newest_s = max((_last_s(one) for one in inverters.values()), default=since_s)
    for serial in sorted((inverters.keys() | states.keys()) - silent.keys()):
        inverter = inverters.get(serial) or Inverter()
        state = states.get(serial)
        if inverter.series.times_s or (state and state[0] == "counter"):
            before = CounterState(*state[2:]) if state and state[0] == "counter" else None
            shares[serial], counted = from_counter(
                inverter, before, since_s=since_s, until_s=until_s
            )
            tracks[serial] = counted
            seen_s = counted.last.at_s if counted.last else since_s
            open_s.append(min(seen_s, counted.unsettled_s or seen_s))
        else:
            rhythm = Rhythm(*state[1:]) if state and state[0] == "reports" else None
            shares[serial], reported = from_reports(inverter, rhythm, since_s=since_s)
            tracks[serial] = reported
            open_s.append(reported.rhythms[-1].at_s if reported.rhythms else since_s)
    _write(connection, site, since_s, shares, peaks)
    decisions = [
        Decision(event.at_s, event.kind, f"{SUBJECT}{serial}", event.detail)
        for serial, track in tracks.items()
        for event in track.events
    ]
    events.replace(connection, gateway_id, since_s, decisions, of_inverters=True)
    alive_s = newest_s - int(RETIRED.total_seconds())
    slowest_s = min((at_s for at_s in [*open_s, newest_s] if at_s > alive_s), default=since_s)
    settled_s = max(since_s, day_start_s(local_day(slowest_s, site.zone), site.zone))
    if settled_s > since_s:
        kept = {serial: _state_at(track, settled_s) for serial, track in tracks.items()}
        kept = silent | {serial: state for serial, state in kept.items() if state}
        checkpoints.save(connection, gateway_id, LEDGER, site.zone, settled_s, kept)
    return None if until_s >= end_s else until_s


def _ends(connection: Connection, gateway_id: int, now_s: int) -> tuple[int, int] | None:
    """Return the first and last time of a report that can be true, epoch seconds."""
    time = INVERTER_SAMPLES.c.reported_at
    ends = ends_s(connection, time, gateway_id)
    if ends is None or (ends[0] >= OLDEST_S and ends[1] <= now_s + WRONG_S):
        return ends
    mine = select(epoch(time)).where(INVERTER_SAMPLES.c.gateway_id == gateway_id)
    soon = from_epoch_s(now_s + WRONG_S)

    def seek(where: Any, order: Any) -> int | None:
        found = connection.execute(mine.where(where).order_by(order).limit(1))
        at_s: int | None = found.scalar_one_or_none()
        return at_s

    first_s = seek(time >= from_epoch_s(OLDEST_S), time)
    last_s, after_s = seek(time <= soon, time.desc()), seek(time > soon, time)
    # Reports that go on into the future are of a clock that is ahead, a lone one is of none.
    if last_s is None or (after_s is not None and after_s - last_s <= ALONE_S):
        last_s = ends[1]
    return None if first_s is None or last_s < first_s else (first_s, last_s)


def _last_s(inverter: Inverter) -> int:
    times = [*inverter.series.times_s[-1:], *(report.at_s for report in inverter.reports[-1:])]
    return max(times)


def _state_at(track: Counted | Reported, at_s: int) -> list[Any] | None:
    """Return what to remember: the counter's state, the rhythm, or since when it is silent."""
    if isinstance(track, Reported):
        rhythms = [rhythm for rhythm in track.rhythms if rhythm.at_s <= at_s]
        return ["reports", *rhythms[-1]] if rhythms else None
    if track.last is not None and track.last.at_s < at_s:
        # What it counts next has to be spread from here on, whatever lies between.
        return [SILENT, track.last.at_s]
    state = track.state_at(at_s)
    return ["counter", state.at_s, *state] if state else None


def _read(
    connection: Connection, site: Site, since_s: int, until_s: int
) -> tuple[dict[str, Inverter], dict[tuple[date, str], float]]:
    columns = INVERTER_SAMPLES.c
    query = (
        select(
            epoch(columns.reported_at),
            columns.serial,
            columns.power_w,
            columns.energy_lifetime_wh,
            columns.energy_interval_wh,
            columns.interval_s,
        )
        .where(
            columns.gateway_id == site.gateway_id,
            columns.reported_at > from_epoch_s(since_s),
            columns.reported_at <= from_epoch_s(until_s),
        )
        .order_by(columns.reported_at)
    )
    inverters: dict[str, Inverter] = {}
    peaks: dict[tuple[date, str], float] = {}
    bounds: dict[int, date] = {}
    for batch in batches(connection, query):
        for serial, found in by_key(batch, 1):
            times, powers, lifetimes, intervals, over = found
            inverter = inverters.setdefault(serial, Inverter())
            values, counted_at = known(lifetimes, times)
            inverter.series.extend("device", counted_at, values, [None] * len(values))
            if len(values) < len(lifetimes):
                inverter.reports += [
                    Report(times[i], powers[i], intervals[i], over[i])
                    for i, lifetime in enumerate(lifetimes)
                    if lifetime is None
                ]
            first = 0
            while first < len(times):
                day = _day(times[first], site, bounds)
                last = bisect_right(times, day_end_s(day, site.zone), first)
                possible = [one for one in powers[first:last] if one is not None and one <= MOST_W]
                if possible:
                    peak_w = max(possible)
                    peaks[day, serial] = max(peak_w, peaks.get((day, serial), peak_w))
                first = last
    return inverters, peaks


def _day(at_s: int, site: Site, known: dict[int, date]) -> date:
    """Return the local day of an instant; the instants of a quarter hour share it."""
    quarter = (at_s - 1) // 900
    day = known.get(quarter)
    if day is None:
        day = known[quarter] = local_day(quarter * 900, site.zone)
    return day


def _write(
    connection: Connection,
    site: Site,
    since_s: int,
    shares: Mapping[str, Share],
    peaks: Mapping[tuple[date, str], float],
) -> None:
    table = INVERTER_DAILY
    energy: dict[tuple[date, str], int] = {}
    covered: dict[tuple[date, str], int] = {}
    known: dict[int, date] = {}
    for serial, share in shares.items():
        for result, parts in ((energy, share.energy_mwh), (covered, share.covered_s)):
            for start_s, amount in parts.items():
                day = known.get(start_s // QUARTER_S) or _day(start_s + 1, site, known)
                result[day, serial] = result.get((day, serial), 0) + amount
    connection.execute(
        delete(table).where(
            table.c.gateway_id == site.gateway_id, table.c.day >= local_day(since_s, site.zone)
        )
    )
    made = [
        {
            "gateway_id": site.gateway_id,
            "day": key[0],
            "serial": key[1],
            "energy_wh": energy[key] / 1000 if key in energy else None,
            "peak_power_w": peaks.get(key),
            "covered_s": covered.get(key, 0),
        }
        for key in sorted(energy.keys() | covered.keys() | peaks.keys())
    ]
    insert_all(connection, table, made)
