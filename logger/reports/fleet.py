"""Many gateways beside each other: who is silent, who makes less than its neighbours, how much was measured.

``facts`` reads what is known of each gateway of a database, looking at no other one, so that it can be read wherever a
gateway's tables are; ``fleet_report`` compares.

Walk: gateways, polls, energy_daily -> here -> exports
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, select

from logger.clock import day_end_s, day_start_s, in_words, local_day, time_zone, to_epoch_s
from logger.reports import Report
from logger.reports.columns import COVERAGE, COVERED_PCT, ENERGY, FLOWS, Column, sum_known
from logger.reports.energy import as_date
from logger.store.models import ENERGY_DAILY, GATEWAYS, POLLS, PRODUCTION_SAMPLES

#: One that makes less than this of what its neighbours make, by kWp, is weak.
WEAK_PCT = 80.0
#: This many gateways of a time zone are needed to say what is usual, and this many days of it.
FEWEST_NEIGHBOURS, FEWEST_DAYS = 4, 3
#: what is wrong, the worst first
STATES = ("silent", "weak", "token", "incomplete", "fine")

_YIELD = next(column for column in ENERGY if column.name == "specific_yield_kwh_per_kwp")
COLUMNS = (
    FLOWS[0],
    replace(_YIELD, total=None),
    Column("relative_pct", "Against neighbours", "%", 1, None, "production by kWp, of what the neighbours' median was"),
    replace(COVERAGE, total=None),
    Column("silent_s", "Since measured", "s", 0, None, "how long ago it was last measured"),
    Column("token_days_left", "Token", "days", 0, "min", "how long its token lasts"),
)
LABELS = ("gateway", "state")
REMARKS = ("serial", "firmware", "note")


class Day(NamedTuple):
    """What is known of one local day."""

    day: date
    production_wh: float | None
    covered_s: int | None
    period_s: int  #: how long it has lasted


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """What the tables have of one gateway; of those of one name, of the newest."""

    gateway: str
    serial: str | None = None
    firmware: str | None = None
    time_zone: str = "UTC"
    peak_power_kwp: float | None = None
    first_seen_at: datetime | None = None
    last_poll_at: datetime | None = None
    last_error: str | None = None  #: where that poll failed
    measured_at: datetime | None = None  #: when a poll last measured something
    days: tuple[Day, ...] = ()  #: that have energy, in order


def facts(connection: Connection, first: date, last: date) -> list[GatewayFacts]:
    """Return what is known of each gateway, with the local days ``first`` to ``last``."""
    of, polls = GATEWAYS.c, POLLS.c
    newest = select(func.max(polls.polled_at)).where(polls.gateway_id == of.gateway_id).scalar_subquery()
    measured = select(func.max(PRODUCTION_SAMPLES.c.polled_at)).where(PRODUCTION_SAMPLES.c.gateway_id == of.gateway_id)
    ends = select(
        *(of[name] for name in ("gateway_id", "name", "serial", "firmware", "time_zone", "peak_power_kwp")),
        of.first_seen_at,
        newest.label("last_poll_at"),
        measured.scalar_subquery().label("measured_at"),
    ).subquery()
    its_poll = and_(polls.gateway_id == ends.c.gateway_id, polls.polled_at == ends.c.last_poll_at)
    query = select(ends, polls.outcome, polls.error).outerjoin_from(ends, POLLS, its_poll).order_by(ends.c.gateway_id)
    rows = connection.execute(query).all()
    days = _days(connection, first, last)
    found: dict[str, GatewayFacts] = {}
    for row in rows:
        name = row.name or row.serial
        before = found.get(name)
        found[name] = GatewayFacts(
            gateway=name,
            serial=row.serial,
            firmware=row.firmware,
            time_zone=row.time_zone or "UTC",
            peak_power_kwp=row.peak_power_kwp,
            first_seen_at=before.first_seen_at if before else row.first_seen_at,
            last_poll_at=row.last_poll_at,
            last_error=row.error if row.outcome == "failed" else None,
            measured_at=row.measured_at,
            days=_joined(before.days if before else (), days.get(row.gateway_id, [])),
        )
    return list(found.values())


def _days(connection: Connection, first: date, last: date) -> dict[int, list[Day]]:
    """Return the days of each gateway, by one seek in the key for each."""
    of = ENERGY_DAILY.c
    within = and_(of.gateway_id == GATEWAYS.c.gateway_id, of.day >= first, of.day <= last, of.phase == "total")
    query = select(of.gateway_id, of.day, of.production_wh, of.covered_s, of.period_s)
    found: dict[int, list[Day]] = defaultdict(list)
    query = query.select_from(GATEWAYS).join(ENERGY_DAILY, within).order_by(of.gateway_id, of.day)
    for gateway_id, day, production_wh, covered_s, period_s in connection.execute(query).all():
        found[gateway_id].append(Day(as_date(day), production_wh, covered_s, period_s or 0))
    return found


def _joined(earlier: Sequence[Day], later: Sequence[Day]) -> tuple[Day, ...]:
    """Return the days of a gateway and of the one that replaced it; on the day between, what both measured."""
    days = {day.day: day for day in earlier}
    for day in later:
        if (same := days.get(day.day)) is not None:
            both_wh = sum_known((same.production_wh, day.production_wh))
            covered_s = (same.covered_s or 0) + (day.covered_s or 0)
            day = Day(day.day, both_wh, covered_s, max(same.period_s, day.period_s))  # noqa: PLW2901 - the two as one
        days[day.day] = day
    return tuple(days[day] for day in sorted(days))


class Token(NamedTuple):
    """How long a gateway's token lasts."""

    days_left: int
    is_short: bool  #: so that somebody should look


def fleet_report(
    found: Iterable[GatewayFacts],
    first: date,
    last: date,
    *,
    now: datetime,
    normal_age_s: int,
    tokens: Mapping[str, Token | None],
    names: Sequence[str] | None = None,
) -> Report:
    """Return a row for each gateway, the worst first; beside all, only for some where ``names`` says so.

    ``normal_age_s``: how long ago the last poll of one that is not silent may be.
    """
    gateways = {gateway.gateway: gateway for gateway in found}
    usual = _usual_wh_per_kwp(gateways.values())
    rows = []
    for name in gateways if names is None else names:
        gateway = gateways.get(name) or GatewayFacts(gateway=name)
        token = tokens.get(name)
        production_wh = sum_known(day.production_wh for day in gateway.days)
        relative_pct = _relative_pct(gateway, usual)
        coverage_pct = _coverage_pct(gateway, first, last, now)
        silent_s = None if gateway.measured_at is None else to_epoch_s(now) - to_epoch_s(gateway.measured_at)
        wrong = {
            "silent": _silence(gateway, silent_s, normal_age_s),
            "weak": None if relative_pct is None or relative_pct >= WEAK_PCT else (
                f"makes {relative_pct:.0f} % of what its neighbours make by kWp"
            ),
            "token": f"the token lasts {token.days_left} days" if token and token.is_short else None,
            "incomplete": None if coverage_pct is None or coverage_pct >= COVERED_PCT else (
                f"{coverage_pct:.1f} % of the time was measured"
            ),
        }  # fmt: skip
        state = next((state for state, note in wrong.items() if note), "fine")
        kwh = None if production_wh is None else round(production_wh / 1000, 3)
        kwp = gateway.peak_power_kwp
        yield_kwh = None if production_wh is None or not kwp else round(production_wh / 1000 / kwp, 3)
        numbers = (kwh, yield_kwh, relative_pct, coverage_pct, silent_s, token.days_left if token else None)
        note = "; ".join(filter(None, wrong.values()))
        rows.append((name, state, *numbers, gateway.serial, gateway.firmware, note))
    rows.sort(key=lambda row: (STATES.index(row[1]), 101.0 if row[4] is None else row[4], row[0]))
    return Report("fleet", LABELS, COLUMNS, REMARKS, rows)


def _silence(gateway: GatewayFacts, silent_s: int | None, normal_age_s: int) -> str | None:
    """Return why nothing is measured; None where something is."""
    if silent_s is not None and silent_s <= normal_age_s:
        return None
    reason = f": {gateway.last_error.removeprefix('gateway: ').rstrip('.')}" if gateway.last_error else ""
    return f"never measured{reason}" if silent_s is None else f"nothing measured for {in_words(silent_s)}{reason}"


def _is_measured(day: Day) -> bool:
    covered_s = day.covered_s or 0
    return day.production_wh is not None and day.period_s > 0 and 100 * covered_s >= COVERED_PCT * day.period_s


def _usual_wh_per_kwp(gateways: Iterable[GatewayFacts]) -> dict[tuple[str, date], float]:
    """Return the median of what gateways made by kWp, by time zone and day, where enough of them were measured."""
    made: dict[tuple[str, date], list[float]] = defaultdict(list)
    for gateway in gateways:
        if gateway.peak_power_kwp:
            for day in gateway.days:
                if _is_measured(day):
                    made[gateway.time_zone, day.day].append((day.production_wh or 0.0) / gateway.peak_power_kwp)
    return {key: statistics.median(values) for key, values in made.items() if len(values) >= FEWEST_NEIGHBOURS}


def _relative_pct(gateway: GatewayFacts, usual: Mapping[tuple[str, date], float]) -> float | None:
    """Return what a gateway made of what is usual, on the days on which both are known."""
    if not gateway.peak_power_kwp:
        return None
    days = [
        (day.production_wh or 0.0, gateway.peak_power_kwp * usual[key])
        for day in gateway.days
        if _is_measured(day) and (key := (gateway.time_zone, day.day)) in usual
    ]
    own_wh, usual_wh = (sum_known(values) or 0.0 for values in (zip(*days, strict=True) if days else ((), ())))
    return round(100 * own_wh / usual_wh, 1) if len(days) >= FEWEST_DAYS and usual_wh else None


def _coverage_pct(gateway: GatewayFacts, first: date, last: date, now: datetime) -> float | None:
    """Return how much of the time since it was first seen was measured; None where there is none."""
    zone, now_s = time_zone(gateway.time_zone), to_epoch_s(now)
    known = {day.day: day for day in gateway.days}
    if gateway.first_seen_at is not None:
        first = max(first, min([local_day(to_epoch_s(gateway.first_seen_at), zone), *list(known)[:1]]))
    elif not known:
        return None
    last = min(last, local_day(now_s, zone))
    covered_s = sum(day.covered_s or 0 for day in gateway.days)
    lengths = [
        known[day].period_s if day in known else min(_length_s(gateway.time_zone, day), now_s - day_start_s(day, zone))
        for day in (first + timedelta(days=number) for number in range((last - first).days + 1))
    ]
    return round(min(100.0, 100 * covered_s / sum(lengths)), 1) if sum(lengths) else None


@cache
def _length_s(zone: str, day: date) -> int:
    return day_end_s(day, time_zone(zone)) - day_start_s(day, time_zone(zone))


def counts(report: Report) -> str:
    """Return how many gateways are in each state, in words."""
    states: Sequence[Any] = report.column("state")
    number: Callable[[str], int] = states.count
    return ", ".join(f"{number(state)} {state}" for state in STATES if number(state))
