"""What a person sees of one site: what flows, how it does, what needs care; lines of at most 80 characters.

Walk: reports.overview -> here -> cli
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import click

from logger import clock
from logger.clock import here, time_zone
from logger.exports import language
from logger.reports.overview import Comparison, Energy, Overview
from logger.reports.power import Power

#: Less than this (W) is nothing: inverters draw as much at night.
NOTHING_W = 10
#: from no power to the most of a day
BARS = " \N{LOWER ONE EIGHTH BLOCK}▂▃▄▅▆▇█"
GRID_STATES = {"on_grid": "connected", "off_grid": "lost: the house runs without it", "generator": "a generator runs"}
#: state of a panel -> what is said of it, before the day since when
PANEL_STATES = {
    "silent": "reports nothing",
    "dead": "makes nothing",
    "weak": "is weak",
    "shaded": "is shaded",
    "removed": "is no longer listed",
}
#: heading -> the number below it; of periods
COLUMNS = {
    "made": "production_kwh",
    "used": "consumption_kwh",
    "from grid": "grid_import_kwh",
    "to grid": "grid_export_kwh",
    "self-sufficient": "self_sufficiency_pct",
}
WIDTH, LABEL_WIDTH = 80, 12


def labelled(label: str, text: str) -> str:
    """Return a line of the screen: what it is about, and what is said."""
    return f"  {label:<{LABEL_WIDTH}}{text}"


def wrapped(label: str, text: str, **style: Any) -> Iterator[str]:
    """Yield a text that may be long as lines of the screen, in a style of click's."""
    room = WIDTH - len(labelled("", ""))
    for number, line in enumerate(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)):
        yield labelled("" if number else label, click.style(line, **style) if style else line)


def watts(power_w: float) -> str:
    """Return a power without its sign."""
    power_w = abs(power_w)
    return f"{power_w:.0f} W" if power_w < 999.5 else f"{power_w / 1000:.2f} kW"


def kwh(energy_kwh: float | None) -> str:
    """Return an energy as people say it."""
    if energy_kwh is None:
        return "unknown"
    return f"{energy_kwh:.0f} kWh" if energy_kwh >= 999.5 else f"{energy_kwh:.1f} kWh"


def energy(energy_wh: float) -> str:
    """Return an energy that may be small."""
    return f"{energy_wh:.0f} Wh" if energy_wh < 999.5 else f"{energy_wh / 1000:.2f} kWh"


def in_words(period: Energy) -> str:
    """Return what was made and used, and what came from the grid and went to it."""
    flows = {
        "made": period.production_kwh, "used": period.consumption_kwh, "from the grid": period.grid_import_kwh,
        "to the grid": period.grid_export_kwh,
    }  # fmt: skip
    return ", ".join(f"{energy(1000 * max(0.0, value))} {name}" for name, value in flows.items() if value is not None)


def flowing(power: Power) -> str:
    """Return in words what is made and used, and what goes to or comes from the grid."""
    words = []
    if power.production_w is not None:
        words.append("making nothing" if power.production_w < NOTHING_W else f"making {watts(power.production_w)}")
    if power.consumption_w is not None:
        words.append(f"using {watts(max(0.0, power.consumption_w))}")
    if power.grid_w is not None and abs(power.grid_w) < NOTHING_W:
        words.append("nothing from or to the grid")
    elif power.grid_w is not None:
        side = "from" if power.grid_w > 0 else "to"
        words.append(f"{watts(power.grid_w)} {side} the grid")
    return ", ".join(words) or "unknown"


def battery(power: Power) -> str | None:
    """Return in words what the batteries do; None without any."""
    words = [] if power.battery_soc_pct is None else [f"{power.battery_soc_pct:.0f} % charged"]
    if power.battery_w is not None:
        does = "idle" if abs(power.battery_w) < NOTHING_W else None
        words.append(does or f"{'giving' if power.battery_w > 0 else 'taking'} {watts(power.battery_w)}")
    return ", ".join(words) or None


def ago(seconds: float) -> str:
    """Return how long something is ago."""
    return f"{clock.in_words(seconds)} ago"


def local(at: datetime, zone: str | None) -> datetime:
    """Return an instant in the time of a site; without a zone in that of this machine."""
    return at.astimezone(time_zone(zone)) if zone else here(at)


def at_local(at: datetime, zone: str | None, now: datetime) -> str:
    """Return an instant as the site's clocks show it, with the date where it is of another day."""
    shown, today = local(at, zone), local(now, zone)
    return f"{shown:%H:%M}" if shown.date() == today.date() else f"{day(shown.date())} {shown:%H:%M}"


def day(date_: date) -> str:
    """Return a day in words, with its year."""
    return f"{date_.day} {date_:%b %Y}"


def energy_lines(found: Overview, now: datetime) -> Iterator[str]:
    """Yield the table of periods, the curve of today, comparisons and the best day."""
    today = local(now, found.time_zone).date()
    labels = "today", "yesterday", f"{today:%B}", f"{today.year}"
    known = _distinct(zip(labels, (found.today, found.yesterday, found.this_month, found.this_year), strict=True))
    if not known:
        return
    yield ""
    yield from _table(known)
    yield from _curves(found)
    compared = {label: energy.year_before for label, energy in known.items() if energy.year_before is not None}
    if compared or found.best_day is not None:
        yield ""
    for label, against in compared.items():
        yield from wrapped(label, _compared(against))
    if found.best_day is not None:
        yield labelled("best day", f"{kwh(found.best_day_kwh)} on {found.best_day:%A}, {day(found.best_day)}")


def _distinct(periods: Iterable[tuple[str, Energy | None]]) -> dict[str, Energy]:
    """Return what is known of periods; those that are as long as one before, in a site's first days, only once."""
    known: dict[tuple[date, date], tuple[str, Energy]] = {}
    for label, energy in periods:
        if energy is not None:
            known.setdefault((energy.since, energy.until), (label, energy))
    return dict(known.values())


def _table(periods: dict[str, Energy]) -> Iterator[str]:
    """Yield what each period made and used; what a site does not measure is left out."""
    columns = {
        heading: [getattr(energy, name) for energy in periods.values()]
        for heading, name in COLUMNS.items()
        if any(getattr(energy, name) is not None for energy in periods.values())
    }
    cells = {heading: [_cell(heading, value) for value in values] for heading, values in columns.items()}
    widths = {heading: max(len(heading), *map(len, texts)) for heading, texts in cells.items()}
    yield labelled("", "  ".join(f"{heading:>{width}}" for heading, width in widths.items()))
    for row, label in enumerate(periods):
        line = "  ".join(f"{cells[heading][row]:>{width}}" for heading, width in widths.items())
        yield labelled(label, line)


def _cell(heading: str, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{max(0.0, value):.0f} %" if COLUMNS[heading].endswith("_pct") else kwh(value)


def _curves(found: Overview) -> Iterator[str]:
    """Yield today's power as two curves of one scale, over the hours."""
    curves = {"made": found.production_curve_w, "used": found.consumption_curve_w}
    shown = {what: curve for what, curve in curves.items() if any(value is not None for value in curve)}
    if not shown:
        return
    most_w = max(max(0.0, value or 0.0) for curve in shown.values() for value in curve)
    yield ""
    for what, curve in shown.items():
        highest = max(value for value in curve if value is not None)
        line = f"{sparkline(curve, most_w):<{len(curve)}}  most {watts(max(0.0, highest))}"
        yield labelled(f"{what} today", line)
    hours = len(found.production_curve_w) // 2
    axis = "".join(f"{hour:<6}" for hour in range(0, hours, 3))
    yield click.style(labelled("", f"{axis}{hours}"), dim=True)


def sparkline(values: Sequence[float | None], most: float) -> str:
    """Return a value as a bar of one character each; what is unknown or nothing is a blank."""
    top = len(BARS) - 1
    return "".join(
        BARS[0] if value is None or most <= 0 else BARS[min(top, -int(-top * max(0.0, value) // most))]
        for value in values
    ).rstrip()


def _compared(against: Comparison) -> str:
    change = "" if against.change_pct is None else f"{against.change_pct:+.0f} % against {against.year}: "
    text = f"{change}{kwh(against.production_kwh)} up to yesterday, {kwh(against.before_kwh)} then"
    if against.days < against.of_days:
        text += f" ({against.days} of {against.of_days} days)"
    return text


def care_lines(found: Overview) -> Iterator[str]:
    """Yield the panels that are not fine, and how much was measured."""
    if found.panels:
        fine = found.panels - sum(panel.state != "removed" for panel in found.panels_not_fine)
        text = f"all {fine} are fine" if not found.panels_not_fine else f"{fine} of {found.panels} are fine"
        yield labelled("panels", text + ("; more: envoylog panels" if fine < found.panels else ""))
    for panel in found.panels_not_fine:
        words = f"{panel.name or panel.serial} {PANEL_STATES[panel.state or '']} since {day(panel.since)}"
        yield labelled("", click.style(words, fg="yellow"))
    labels = "today", "this month", "this year"
    parts = _distinct(zip(labels, (found.today, found.this_month, found.this_year), strict=True))
    known = {label: part.coverage_pct for label, part in parts.items() if part.coverage_pct is not None}
    shares = [f"{language.percent(share_pct)} of {label}" for label, share_pct in known.items()]
    if shares:
        yield from wrapped("measured", ", ".join(shares))


def lasting(left: timedelta) -> str:
    """Return how long something will last."""
    return f"{clock.in_words(left.total_seconds())} left" if left >= timedelta() else "is over"
