"""inverter_daily: each microinverter's energy per local day, recomputed by whole days."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day
from logger.ledger.curve import Anchor, Curve, Decision
from logger.ledger.inverter import (
    MOST_W,
    Inverter,
    Report,
    Reported,
    Rhythm,
    read_inverter,
    read_reports,
)
from logger.rollups.checkpoints import Silent, State
from logger.rollups.pivot import by_series, drop_missing
from logger.rollups.read import Window
from logger.rollups.site import Site
from logger.rollups.write import SUBJECT, Rolled
from logger.store.database import batches
from logger.store.models import INVERTER_SAMPLES, epoch

#: An inverter that was silent for this long no longer holds the ledger back.
RETIRED_S = 2 * 86_400


class Share(NamedTuple):
    """What an inverter made by day."""

    energy_mwh: list[int | None]
    covered_s: list[int]


def count(window: Window) -> Rolled:
    """Return the days of a window of reports, and where to go on: at a local midnight."""
    since_s, zone, states = window.since_s, window.site.zone, window.states
    inverters, peaks = _read(window)
    silent = {serial: state for serial, state in states.items() if isinstance(state, Silent)}
    if back := [silent[serial].at_s for serial in inverters.keys() & silent]:
        return Rolled(since_s, reopen_s=min(back))
    shares: dict[str, Share] = {}
    tracks: dict[str, Curve | Reported] = {}
    open_s: list[int] = []
    newest_s = max((_last_s(inverter) for inverter in inverters.values()), default=since_s)
    days = _days(since_s, max(newest_s, window.until_s), zone)
    edges_s = [since_s, *(day_end_s(day, zone) for day in days)]
    for serial in sorted((inverters.keys() | states.keys()) - silent.keys()):
        inverter, state = inverters.get(serial) or Inverter(), states.get(serial)
        if inverter.readings.at_s or isinstance(state, Anchor):
            anchor = state if isinstance(state, Anchor) else None
            curve = read_inverter(
                inverter.readings, anchor, since_s=since_s, until_s=window.until_s
            )
            shares[serial] = Share(curve.energy(edges_s), curve.covered(edges_s))
            tracks[serial] = curve
            open_s.append(curve.last_s if curve.open_s is None else min(curve.last_s, curve.open_s))
        else:
            rhythm = state if isinstance(state, Rhythm) else None
            reported = read_reports(inverter.reports, rhythm, edges_s)
            shares[serial] = Share(reported.energy_mwh, reported.covered_s)
            tracks[serial] = reported
            open_s.append(reported.rhythms[-1].at_s if reported.rhythms else since_s)
    alive_s = newest_s - RETIRED_S
    slowest_s = min((at_s for at_s in [*open_s, newest_s] if at_s > alive_s), default=since_s)
    settled_s = max(since_s, day_start_s(local_day(slowest_s, zone), zone))
    kept = {serial: _state_at(track, settled_s) for serial, track in tracks.items()}
    return Rolled(
        settled_s,
        silent | {serial: state for serial, state in kept.items() if state is not None},
        _day_rows(window.site, days, shares, peaks),
        [
            Decision(event.at_s, event.kind, f"{SUBJECT}{serial}", event.detail)
            for serial, track in tracks.items()
            for event in track.events
        ],
    )


def _last_s(inverter: Inverter) -> int:
    times = [*inverter.readings.at_s[-1:], *(report.at_s for report in inverter.reports[-1:])]
    return max(times)


def _state_at(track: Curve | Reported, at_s: int) -> State | None:
    """Return what to remember: the register's anchor, the rhythm, or since when it is silent."""
    if isinstance(track, Reported):
        rhythms = [rhythm for rhythm in track.rhythms if rhythm.at_s <= at_s]
        return rhythms[-1] if rhythms else None
    if track.last_s < at_s:
        # What it counts next has to be spread from here on, whatever lies between.
        return Silent(track.last_s)
    return track.anchor_at(at_s)


def _read(
    window: Window,
) -> tuple[dict[str, Inverter], dict[tuple[date, str], float]]:
    samples = INVERTER_SAMPLES.c
    query = (
        select(
            epoch(samples.reported_at),
            samples.serial,
            samples.power_w,
            samples.energy_lifetime_wh,
            samples.energy_interval_wh,
            samples.interval_s,
        )
        .where(
            samples.gateway_id == window.site.gateway_id,
            samples.reported_at > from_epoch_s(window.since_s),
            samples.reported_at <= from_epoch_s(window.until_s),
        )
        .order_by(samples.reported_at)
    )
    inverters: dict[str, Inverter] = {}
    peaks: dict[tuple[date, str], float] = {}
    bounds: dict[int, date] = {}
    for batch in batches(window.connection, query):
        for serial, columns in by_series(batch, 1):
            times, powers, lifetimes, intervals, over = columns
            inverter = inverters.setdefault(serial, Inverter())
            values, counted_at = drop_missing(lifetimes, times)
            inverter.readings.extend("device", counted_at, values, [None] * len(values))
            if len(values) < len(lifetimes):
                inverter.reports += [
                    Report(times[i], powers[i], intervals[i], over[i])
                    for i, lifetime in enumerate(lifetimes)
                    if lifetime is None
                ]
            first = 0
            while first < len(times):
                day = _day(times[first], window.site, bounds)
                last = bisect_right(times, day_end_s(day, window.site.zone), first)
                possible = [
                    power_w
                    for power_w in powers[first:last]
                    if power_w is not None and power_w <= MOST_W
                ]
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


def _days(since_s: int, until_s: int, zone: ZoneInfo) -> list[date]:
    first, last = local_day(since_s, zone), local_day(until_s, zone)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _day_rows(
    site: Site,
    days: Sequence[date],
    shares: Mapping[str, Share],
    peaks: Mapping[tuple[date, str], float],
) -> list[dict[str, Any]]:
    return [
        {
            "gateway_id": site.gateway_id,
            "day": day,
            "serial": serial,
            "energy_wh": None if mwh is None else mwh / 1000,
            "peak_power_w": peaks.get((day, serial)),
            "covered_s": covered_s,
        }
        for serial, share in shares.items()
        for day, mwh, covered_s in zip(days, share.energy_mwh, share.covered_s, strict=True)
        if mwh is not None or covered_s or (day, serial) in peaks
    ]
