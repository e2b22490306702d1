"""inverter_daily: each microinverter's energy per local day, recomputed by whole days."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, standard_offset_s
from logger.ledger.curve import Anchor, Curve, Tie
from logger.ledger.inverter import (
    MOST_W,
    Inverter,
    Report,
    Reported,
    Rhythm,
    by_day,
    cut_off_s,
    measured_hours,
    read_inverter,
    read_reports,
)
from logger.rollups import checkpoints
from logger.rollups.checkpoints import SUBJECT, Rolled, Silent, State
from logger.rollups.history import history_of
from logger.rollups.panel_site import hours_text
from logger.rollups.read import Window, by_series, drop_missing
from logger.store.database import batches
from logger.store.models import INVERTER_SAMPLES

#: An inverter that was silent for this long no longer holds the ledger back.
RETIRED_S = 2 * 86_400

HOUR_S = 3600

#: Epoch seconds, W
Powers = tuple[list[int], list[float | None]]


def count(window: Window) -> Rolled:
    """Return the days of a window of reports, and where to go on: at a local midnight."""
    since_s, zone, states = window.since_s, window.site.zone, window.states
    inverters, powers = _read(window)
    silent = {serial: state for serial, state in states.items() if isinstance(state, Silent)}
    if back := [silent[serial].at_s for serial in inverters.keys() & silent]:
        return Rolled(since_s, reopen_s=min(back))
    newest_s = max((times_s[-1] for times_s, _ in powers.values()), default=since_s)
    first, last = local_day(since_s, zone), local_day(max(newest_s, window.until_s), zone)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    edges_s = [since_s, *(day_end_s(day, zone) for day in days)]
    counted: dict[str, tuple[list[int | None], list[int]]] = {}  # by day: mWh, seconds covered
    tracks: dict[str, Curve | Reported] = {}
    hours_s = list(range(since_s, edges_s[-1] + 1, HOUR_S))
    by_hour: dict[str, list[int | None]] = {}
    open_s = [newest_s]
    settled_s = checkpoints.last_at_s(window.connection, window.site.gateway_id, "energy", checkpoints.EVER_S)
    history = None if settled_s is None else history_of(window, settled_s)
    for serial in sorted((inverters.keys() | states.keys()) - silent.keys()):
        inverter, state = inverters.get(serial) or Inverter(), states.get(serial)
        if inverter.readings.at_s or isinstance(state, Anchor):
            anchor = state if isinstance(state, Anchor) else None
            curve = read_inverter(inverter.readings, anchor, since_s=since_s, until_s=window.until_s)
            counted[serial], tracks[serial] = by_day(curve, edges_s, history), curve
            by_hour[serial] = measured_hours(curve, hours_s)
            # By which days before it a gap is shared is known only once these are settled.
            bridged_s = [start_s for start_s, _ in curve.stretches_s(Tie.BRIDGED)]
            open_s += [at_s for at_s in bridged_s if settled_s and settled_s < day_start_s(local_day(at_s, zone), zone)]
            open_s.append(curve.last_s if curve.open_s is None else min(curve.last_s, curve.open_s))
        else:
            rhythm = state if isinstance(state, Rhythm) else None
            reported = read_reports(inverter.reports, rhythm, edges_s)
            counted[serial], tracks[serial] = (reported.energy_mwh, reported.covered_s), reported
            by_hour[serial] = read_reports(inverter.reports, rhythm, hours_s).energy_mwh
            for at_s in cut_off_s(inverter.reports, rhythm, window.until_s, window.gap_s) if history else ():
                if history and at_s >= history.since_s():
                    # Not measured as a day; one at midnight ends the day before.
                    reported.covered_s[bisect_left(edges_s, at_s) - 1] = 0
            open_s.append(reported.rhythms[-1].at_s if reported.rhythms else since_s)
    alive_s = newest_s - RETIRED_S
    slowest_s = min((at_s for at_s in open_s if at_s > alive_s), default=since_s)
    settled_s = max(since_s, day_start_s(local_day(slowest_s, zone), zone))
    rows = [
        {
            "gateway_id": window.site.gateway_id,
            "day": day,
            "serial": serial,
            "energy_wh": None if mwh is None else mwh / 1000,
            "peak_power_w": peak_w,
            "covered_s": covered_s,
        }
        for serial, by_day in counted.items()
        for day, mwh, covered_s, peak_w in zip(
            days, *by_day, _peaks_w(*powers.get(serial, ([], [])), edges_s), strict=True
        )
        if mwh is not None or covered_s or peak_w is not None
    ]
    hours = _hours(window, days, edges_s, {serial: times_s for serial, (times_s, _) in powers.items()}, by_hour)
    decisions = [
        event._replace(subject=f"{SUBJECT}{serial}") for serial, track in tracks.items() for event in track.events
    ]
    kept = {serial: state for serial, track in tracks.items() if (state := _state_at(track, settled_s)) is not None}
    return Rolled(settled_s, silent | kept, rows, decisions, hours=hours)


def _hours(
    window: Window,
    days: Sequence[date],
    edges_s: Sequence[int],
    times_s: Mapping[str, Sequence[int]],
    by_hour: Mapping[str, Sequence[int | None]],
) -> list[dict[str, Any]]:
    """Return the rows of inverter_hours: of days on which an inverter reported, by hours of standard time."""
    found = []
    for serial, mwh in by_hour.items():
        reports = [bisect_right(times_s.get(serial, ()), edge_s) for edge_s in edges_s]
        for day, (start_s, end_s), (before, until) in zip(days, pairwise(edges_s), pairwise(reports), strict=True):
            if until == before:
                continue
            hours: list[float | None] = [None] * 24
            for hour_s in range(start_s, end_s, HOUR_S):
                hour = (hour_s + standard_offset_s(hour_s, window.site.zone)) // HOUR_S % 24
                hours[hour] = mwh[(hour_s - edges_s[0]) // HOUR_S]
            found.append(
                {
                    "gateway_id": window.site.gateway_id,
                    "day": day,
                    "serial": serial,
                    "reports": until - before,
                    "hours_wh": hours_text(tuple(hours)),
                }
            )
    return found


def _peaks_w(times_s: Sequence[int], powers_w: Sequence[float | None], edges_s: Sequence[int]) -> list[float | None]:
    """Return the highest power of each day that an inverter can have."""
    places = [bisect_right(times_s, edge_s) for edge_s in edges_s]
    return [
        max((p for p in powers_w[begin:end] if p is not None and p <= MOST_W), default=None)
        for begin, end in pairwise(places)
    ]


def _state_at(track: Curve | Reported, at_s: int) -> State | None:
    """Return what to remember: the register's anchor, the rhythm, or since when it is silent."""
    if isinstance(track, Reported):
        rhythms = [rhythm for rhythm in track.rhythms if rhythm.at_s <= at_s]
        return rhythms[-1] if rhythms else None
    if track.last_s < at_s:
        # What it counts next has to be spread from here on, whatever lies between.
        return Silent(track.last_s)
    return track.anchor_at(at_s)


def _read(window: Window) -> tuple[dict[str, Inverter], dict[str, Powers]]:
    """Return the inverters that reported, and when each reported which power."""
    inverters: dict[str, Inverter] = {}
    reported: dict[str, Powers] = {}
    query = window.query(INVERTER_SAMPLES, "serial power_w energy_lifetime_wh energy_interval_wh interval_s")
    query = query.where(INVERTER_SAMPLES.c.reported_at > from_epoch_s(window.since_s))
    for batch in batches(window.connection, query):
        for serial, (times, powers, lifetimes, intervals, over) in by_series(batch, 1):
            inverter = inverters.setdefault(serial, Inverter())
            values, counted_at = drop_missing(lifetimes, times)
            inverter.readings.extend("device", counted_at, values, [None] * len(values))
            if len(values) < len(lifetimes):
                inverter.reports += [
                    Report(times[i], powers[i], intervals[i], over[i])
                    for i, lifetime in enumerate(lifetimes)
                    if lifetime is None
                ]
            times_s, powers_w = reported.setdefault(serial, ([], []))
            times_s += times
            powers_w += powers
    return inverters, reported
