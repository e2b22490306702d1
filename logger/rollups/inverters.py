"""inverter_daily: each microinverter's energy per local day, recomputed by whole days."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from logger.clock import day_end_s, day_start_s, local_day, standard_offset_s
from logger.ledger.curve import Anchor, Curve, Tie
from logger.ledger.inverter import (
    SLOWEST_S,
    Days,
    Inverter,
    Report,
    Reported,
    Rhythm,
    Upgraded,
    by_day,
    cut_off_s,
    measured_hours,
    measured_s,
    read_inverter,
    read_reports,
)
from logger.ledger.mean_day import History
from logger.rollups import checkpoints
from logger.rollups.checkpoints import SUBJECT, Rolled, Silent, State, States
from logger.rollups.history import history_of
from logger.rollups.panel_site import hours_text
from logger.rollups.read import Window
from logger.rollups.series import by_series, drop_missing
from logger.rollups.today import (
    HOUR_S,
    Between,
    Counted,
    Powers,
    Today,
    add,
    hours_of,
    is_plain,
    peaks_w,
    plus,
    today_of,
)
from logger.store.models import INVERTER_SAMPLES

#: An inverter that was silent for this long no longer holds the ledger back.
RETIRED_S = 2 * 86_400


def count(window: Window) -> Rolled:
    """Return the days of a window of reports, and where to go on: at a local midnight."""
    inverters, powers = _read(window)
    silent = _silent(window.states)
    if back := [silent[serial].at_s for serial in inverters.keys() & silent]:
        return Rolled(window.since_s, reopen_s=min(back))
    return _rolled(window, _counted(window, inverters, powers), None, powers)


def go_on(window: Window, today: Today) -> Rolled | None:
    """Return what ``count`` does, of a window that begins with what is known of today.

    None where the day is over, or odd: then all of it has to be looked at.
    """
    inverters, powers = _read(window)
    if inverters.keys() & _silent(window.states):
        return None
    counted = _counted(window, inverters, powers)
    zone = window.site.zone
    if not counted.is_plain or local_day(counted.settled_s, zone) > local_day(today.since_s, zone):
        return None
    return _rolled(window, counted, today, powers)


def _silent(states: States) -> dict[str, Silent]:
    return {serial: state for serial, state in states.items() if isinstance(state, Silent)}


def _counted(window: Window, inverters: Mapping[str, Inverter], powers: Mapping[str, Powers]) -> Counted:
    since_s, zone, states = window.since_s, window.site.zone, window.states
    newest_s = max((times_s[-1] for times_s, _ in powers.values()), default=since_s)
    first, last = local_day(since_s, zone), local_day(max(newest_s, window.until_s), zone)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    found = Counted(days, edges_s := [since_s, *(day_end_s(day, zone) for day in days)])
    if window.has_later and window.until_s - newest_s > RETIRED_S:
        newest_s = window.until_s  # All of them were silent.
    open_s, alive_s = [newest_s], newest_s - RETIRED_S
    settled_s = checkpoints.last_at_s(window.connection, window.site.gateway_id, "energy", checkpoints.EVER_S)
    history = history_of(window, settled_s or 0)
    found.reports = {serial: _per_day(times_s, edges_s) for serial, (times_s, _) in powers.items()}
    hours = hours_of(
        edges_s, {0} | {day for counts in found.reports.values() for day, count in enumerate(counts) if count}
    )
    for serial in sorted((inverters.keys() | states.keys()) - _silent(states).keys()):
        inverter, state = inverters.get(serial) or Inverter(), states.get(serial)
        rhythm = state if isinstance(state, Rhythm) else None
        if inverter.readings.at_s or isinstance(state, Anchor):
            anchor = state if isinstance(state, Anchor) else None
            curve = read_inverter(inverter.readings, anchor, since_s=since_s, until_s=window.until_s)
            found.tracks[serial] = curve
            of_days, of_hours = by_day(curve, edges_s, history), measured_hours(curve, hours.edges_s)
            first_s = curve.readings.at_s[0]
            if anchor is None and (early := [report for report in inverter.reports if report.at_s < first_s]):
                # As after an upgrade of the firmware: what was made while there was no register stays.
                reported = _without_register(window, early, rhythm, edges_s, history, first_s)
                of_days = Days(
                    [*map(plus, of_days.energy_mwh, reported.energy_mwh)],
                    [*map(int.__add__, of_days.covered_s, reported.covered_s)],
                )
                of_hours = [*map(plus, of_hours, read_reports(early, rhythm, hours.edges_s).energy_mwh)]
                found.tracks[serial], found.is_plain = Upgraded(reported, curve), False
            found.energy_mwh[serial], found.covered_s[serial] = of_days
            found.hours_mwh[serial] = hours.split(of_hours)
            # By which days before it a gap is shared is known only once these are settled.
            bridged_s = [start_s for start_s, _ in curve.stretches_s(Tie.BRIDGED)]
            open_s += [at_s for at_s in bridged_s if settled_s and settled_s < day_start_s(local_day(at_s, zone), zone)]
            open_s.append(curve.last_s if curve.open_s is None else min(curve.last_s, curve.open_s))
            found.between[serial] = partial(_between, curve)
            found.is_plain = found.is_plain and is_plain(curve, edges_s)
        else:
            reported = _without_register(window, inverter.reports, rhythm, edges_s, history, window.until_s)
            found.energy_mwh[serial], found.covered_s[serial] = reported.energy_mwh, reported.covered_s
            found.tracks[serial] = reported
            found.hours_mwh[serial] = hours.split(read_reports(inverter.reports, rhythm, hours.edges_s).energy_mwh)
            open_s.append(reported.rhythms[-1].at_s if reported.rhythms else since_s)
            found.between[serial] = partial(_between_reports, inverter.reports, rhythm)
            is_cut_off = bool(cut_off_s(inverter.reports, rhythm, window.until_s, window.gap_s))
            longest_s = max((report.interval_s or 0 for report in inverter.reports), default=0)
            found.is_plain = found.is_plain and not (is_cut_off or reported.events or longest_s > SLOWEST_S)
            # What is reported later reaches back no further.
            if open_s[-1] > alive_s:
                found.whole_s = min(found.whole_s, open_s[-1] - SLOWEST_S)
        times_s, powers_w = powers.get(serial, ([], []))
        found.peaks_w[serial] = peaks_w(times_s, powers_w, edges_s)
        found.reports.setdefault(serial, [0] * len(days))
    found.settled_s = min((at_s for at_s in open_s if at_s > alive_s), default=since_s)
    return found


def _without_register(
    window: Window,
    reports: Sequence[Report],
    rhythm: Rhythm | None,
    edges_s: Sequence[int],
    history: History,
    until_s: int,
) -> Reported:
    """Return what reports without a register came to, up to when no other came."""
    reported = read_reports(reports, rhythm, edges_s)
    for at_s in cut_off_s(reports, rhythm, until_s, window.gap_s):
        # Not measured as a day; one at midnight ends a day that was.
        if at_s >= history.since_s() and at_s not in edges_s:
            reported.covered_s[bisect_left(edges_s, at_s) - 1] = 0
    return reported


def _per_day(times_s: Sequence[int], edges_s: Sequence[int]) -> list[int]:
    return [until - before for before, until in pairwise(bisect_right(times_s, edge_s) for edge_s in edges_s)]


def _between(curve: Curve, edges_s: Sequence[int]) -> Between:
    return curve.energy(edges_s), measured_s(curve, edges_s)


def _between_reports(reports: Sequence[Report], rhythm: Rhythm | None, edges_s: Sequence[int]) -> Between:
    found = read_reports(reports, rhythm, edges_s)
    return found.energy_mwh, found.covered_s


def _rolled(window: Window, counted: Counted, today: Today | None, powers: Mapping[str, Powers]) -> Rolled:
    """Return the rows of what was counted, added to what was known of the first day."""
    if today is not None:
        add(today, counted)
    midnight_s = today.since_s if today else window.since_s
    zone = window.site.zone
    settled_s = max(midnight_s, day_start_s(local_day(counted.settled_s, zone), zone))
    rows: list[dict[str, Any]] = [
        {
            "gateway_id": window.site.gateway_id,
            "day": day,
            "serial": serial,
            "energy_wh": None if mwh is None else mwh / 1000,
            "peak_power_w": peak_w,
            "covered_s": covered_s,
        }
        for serial in counted.tracks
        for day, mwh, covered_s, peak_w in zip(
            counted.days, counted.energy_mwh[serial], counted.covered_s[serial], counted.peaks_w[serial], strict=True
        )
        if mwh is not None or covered_s or peak_w is not None
    ]
    # Panels are judged by days that are over: where something of a later one is known, or counting goes on there.
    newest = date.max if window.has_later else max([local_day(settled_s, zone), *(row["day"] for row in rows)])
    hours = _hours(window, [midnight_s, *counted.edges_s[1:]], counted, newest)
    decisions = [
        event._replace(subject=f"{SUBJECT}{serial}")
        for serial, track in counted.tracks.items()
        for event in track.events
    ]
    rolled = Rolled(settled_s, _states_at(window, counted, settled_s), rows, decisions, hours=hours)
    if counted.is_plain and settled_s == midnight_s:
        rolled.today = today_of(counted, window.since_s, today, powers, lambda at_s: _states_at(window, counted, at_s))
    return rolled


def _states_at(window: Window, counted: Counted, at_s: int) -> States:
    known = {serial: state for serial, track in counted.tracks.items() if (state := _state_at(track, at_s)) is not None}
    return _silent(window.states) | known


def _hours(window: Window, edges_s: Sequence[int], counted: Counted, before: date) -> list[dict[str, Any]]:
    """Return the rows of inverter_hours: of days before one on which an inverter reported, by standard time."""
    found = []
    #: by the number of a day: the hour of standard time in which each of its hours begins
    names: dict[int, list[int]] = {}
    for serial, of_days in counted.hours_mwh.items():
        for number, mwh in of_days.items():
            if not (reports := counted.reports[serial][number]) or counted.days[number] >= before:
                continue
            if number not in names:
                hours_s = range(edges_s[number], edges_s[number + 1], HOUR_S)
                names[number] = [(at_s + standard_offset_s(at_s, window.site.zone)) // HOUR_S % 24 for at_s in hours_s]
            hours: list[float | None] = [None] * 24
            for hour, hour_mwh in zip(names[number], mwh, strict=False):
                hours[hour] = hour_mwh
            found.append(
                {
                    "gateway_id": window.site.gateway_id,
                    "day": counted.days[number],
                    "serial": serial,
                    "reports": reports,
                    "hours_wh": hours_text(tuple(hours)),
                }
            )
    return found


def _state_at(track: Curve | Reported | Upgraded, at_s: int) -> State | None:
    """Return what to remember: the register's anchor, the rhythm, or since when it is silent."""
    if isinstance(track, Upgraded):
        track = track.curve if track.curve.readings.at_s[0] <= at_s else track.reported
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
    names = "serial power_w energy_lifetime_wh energy_interval_wh interval_s"
    for batch in window.read(INVERTER_SAMPLES, names, window.since_s):
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
