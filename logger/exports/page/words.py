"""What a page says: numbers with their units, comparisons, and how sure the figures are, in sentences.

Walk: reports.page -> here -> page.html
"""

import math
from collections.abc import Sequence
from datetime import date
from itertools import groupby

from logger.clock import local_day, time_zone, to_epoch_s
from logger.exports import language
from logger.exports.language import say
from logger.reports import Report
from logger.reports.columns import BRIDGED, COVERAGE, ENERGY, FLOWS
from logger.reports.happenings import Happening
from logger.reports.page import Figure, Page
from logger.reports.panels import ADVICE, Panel

TITLES = {
    "production_kwh": "Made",
    "consumption_kwh": "Used",
    "grid_import_kwh": "From the grid",
    "grid_export_kwh": "To the grid",
    "self_sufficiency_pct": "Self-sufficient",
    "best_day_kwh": "Best day",
    "specific_yield_kwh_per_kwp": "For each kWp",
    "peak_production_w": "Highest power",
    "coverage_pct": "Measured",
}
#: column -> whether more of it is better; where that can't be said it is left out
BETTER = {
    "production_kwh": True,
    "grid_import_kwh": False,
    "self_sufficiency_pct": True,
    "specific_yield_kwh_per_kwp": True,
}
#: what is said of a panel before the advice, where that does not say it itself
STATES = {"weak": "weak:", "shaded": "shaded:"}
SAME = "the same"
#: what a table has of a row beside its flows
TABLE = ("self_sufficiency_pct", COVERAGE.name, BRIDGED.name)
#: At most this many happenings are shown, those that matter most.
MOST_HAPPENINGS = 10
#: At most this many panels are shown.
MOST_PANELS = 24
#: Up to this many panels that are not fine get advice; more of them are only named.
MOST_ADVICE = 6
#: state of a panel that is not fine -> what is said of it beside its name
BRIEFLY = {
    "weak": "weak",
    "shaded": "shaded",
    "dead": "makes nothing",
    "silent": "reports nothing",
    "removed": "no longer listed",
}
#: At most this many days are named one by one.
MOST_SPANS = 6


def number(value: float) -> str:
    """Return a number as exactly as it matters, its thousands apart; what rounds to nothing is 0."""
    if abs(value) >= 99.95:
        return language.number(value, ",.0f")
    if abs(value) < 0.005:
        return "0"
    return language.number(value, ".1f" if abs(value) >= 0.995 else ".2f")


def quantity(name: str, value: float) -> tuple[str, str]:
    """Return a value of a column, and its unit."""
    if name.endswith("_pct"):
        return f"{max(0.0, value):.0f}", "%"  # What inverters draw at night is no share.
    if name.endswith("_w"):
        return language.number(value / 1000, ".2f"), "kW"
    return number(value), "kWh"


def text(name: str, value: float) -> str:
    """Return a value of a column with its unit."""
    return "\N{NO-BREAK SPACE}".join(quantity(name, value))


def period(page: Page) -> str:
    """Return the name of a page's month or year."""
    return f"{month(page.first.month)} {page.first.year}" if page.kind == "monthly" else page.name


def month(number: int) -> str:
    """Return the full name of a month, as it stands at the beginning of a line."""
    name = language.month(number, is_short=False)
    return f"{name[:1].upper()}{name[1:]}"


def change(figure: Figure) -> str | None:
    """Return how a figure changed, or None where that can't be said."""
    if figure.same is None or figure.before is None:
        return None
    if figure.name.endswith("_pct"):
        points = round(figure.same) - round(figure.before)
        return (
            say(SAME)
            if points == 0
            else _signed(say("{points} point" if abs(points) == 1 else "{points} points", points=f"{points:+d}"))
        )
    if figure.before <= 0:
        return None
    percent = 100 * (figure.same / figure.before - 1)
    if abs(percent) > 999:
        return None
    return _signed(f"{percent:+.0f} %") if round(percent) else say(SAME)


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def is_better(figure: Figure) -> str:
    """Return the class of a change: good, bad, or none where it is neither."""
    better = BETTER.get(figure.name)
    if better is None or figure.same is None or figure.before is None or change(figure) in {None, say(SAME)}:
        return ""
    return "good" if (figure.same > figure.before) == better else "bad"


def against(page: Page, figure: Figure) -> str | None:
    """Return what a figure was a year before."""
    if figure.before is None or figure.same is None:
        return None
    was = text(figure.name, figure.before)
    if figure.days == figure.of_days and not page.is_running:
        how = "as in {year}: {was}" if change(figure) == say(SAME) else "from {was} in {year}"
        return say(how, was=was, year=page.first.year - 1)
    if change(figure) == say(SAME):
        return say("as then: {was}, {days}", was=was, days=days(figure.days))
    ends = {"was": quantity(figure.name, figure.before)[0], "now": text(figure.name, figure.same)}
    return say("from {was} to {now}, {days}", **ends, days=days(figure.days))


def is_compared(page: Page) -> bool:
    """Return whether anything is known of the year before; a first year says nothing of it."""
    return any(figure.before is not None for figure in page.figures)


def subtitle(page: Page) -> str:
    """Return what the figures are about."""
    if page.is_running:
        today = local_day(to_epoch_s(page.now), time_zone(page.site.zone))
        against = say("; compared are the days that are over with the same ones of {year}", year=page.first.year - 1)
        so_far = say("so far, to {day}", day=language.day(today))
        return so_far + against if is_compared(page) else so_far
    if page.site.first > page.first:
        return say("since {day}, when recording began", day=day(page.site.first))
    shown = days(len(page.days.rows))
    covered_pct = page.certainty.coverage_pct
    if covered_pct is None:
        return shown
    return say("{days}, {share} of the time measured", days=shown, share=language.percent(covered_pct))


def when(happening: Happening) -> str:
    """Return when something happened; what is of a whole day has no time."""
    at = happening.at
    return day(at) if (at.hour, at.minute) == (0, 0) else f"{day(at)}, {at:%H:%M}"


def happening(of: Happening) -> str:
    """Return what happened, behind its title."""
    if of.gap is None:
        return of.text
    lasted = duration(of.gap.minutes)
    if of.gap.until is not None:
        is_later = of.gap.until.date() != of.at.date()
        until = f"{day(of.gap.until)} {of.gap.until:%H:%M}" if is_later else f"{of.gap.until:%H:%M}"
        said = say("for {time}, until {until}", time=lasted, until=until)
    elif of.gap.times > 1:
        said = say("{count} shorter gaps, {time} in all", count=of.gap.times, time=lasted)
    else:
        said = say("for {time}", time=lasted)
    return f"{of.text} {said}".strip()


def duration(minutes: int) -> str:
    """Return a time as exactly as it matters."""
    if minutes < 120:
        return f"{minutes} min"
    return say("{count} hours", count=round(minutes / 60)) if minutes < 2880 else days(round(minutes / 1440))


def days(count: int) -> str:
    """Return a number of days."""
    return say("1 day") if count == 1 else say("{count} days", count=count)


def day(of: date) -> str:
    """Return a day without its year."""
    return language.day(of, year=False)


def spans(found: Sequence[date]) -> str:
    """Return days in words, those that follow each other together."""
    runs = [
        [each for _, each in run]
        for _, run in groupby(enumerate(sorted(found)), key=lambda pair: pair[1].toordinal() - pair[0])
    ]
    texts = [
        day(run[0]) if len(run) == 1 else say("{since} to {until}", since=day(run[0]), until=day(run[-1]))
        for run in runs
    ]
    more = [say("and {count} more times", count=len(texts) - MOST_SPANS)] if len(texts) > MOST_SPANS else []
    return ", ".join([*texts[:MOST_SPANS], *more])


def told(page: Page) -> tuple[Sequence[Happening], int]:
    """Return the happenings that matter most, in order, and how many others there were."""
    chosen = sorted(page.happenings, key=lambda happening: happening.weight)[:MOST_HAPPENINGS]
    return sorted(chosen, key=lambda happening: happening.at), len(page.happenings) - len(chosen)


def panel_name(panel: Panel) -> str:
    """Return what a panel is called."""
    return panel.name or panel.serial


def panel_note(page: Page, panel: Panel) -> str:
    """Return what to do about a panel that is not fine, unless that would be said too often."""
    if sum(other.state in ADVICE for other in page.panels) > MOST_ADVICE:
        return ""
    advice = ADVICE.get(panel.state or "")
    return f"{say(STATES.get(panel.state or '', ''))} {say(advice)}".strip() if advice else ""


def panels(page: Page) -> tuple[Sequence[Panel], int]:
    """Return the panels to show, those that are not fine and the weakest first, and how many others there are."""
    if len(page.panels) <= MOST_PANELS:
        return page.panels, 0
    ill = [panel for panel in page.panels if panel.state not in {None, "fine"}]
    fine = [panel for panel in page.panels if panel.state in {None, "fine"}]
    fine.sort(key=lambda panel: (panel.relative_pct if panel.relative_pct is not None else math.inf, panel.serial))
    shown = [*ill, *fine][:MOST_PANELS]
    return shown, len(page.panels) - len(shown)


def panels_in_words(page: Page) -> str:
    """Return how the panels stand together."""
    ill = [panel for panel in page.panels if panel.state not in {None, "fine", "removed"}]
    count = sum(panel.state != "removed" for panel in page.panels)
    if all(panel.state is None for panel in page.panels):
        return say("These days are too few, or the panels too few, to compare them.")
    if not ill:
        return say("All {count} panels are fine.", count=count) if count > 1 else say("The panel is fine.")
    return say("{fine} of {count} panels are fine.", fine=count - len(ill), count=count)


def columns(report: Report) -> list[str]:
    """Return the columns of a table that this site has; those that follow from others are in the reports."""
    chosen = (*FLOWS, *(column for column in ENERGY if column.name in TABLE))
    return [column.name for column in chosen if any(value is not None for value in report.column(column.name))]


def exact(report: Report, name: str, value: float) -> str:
    """Return a number with its column's decimals."""
    return language.number(value, f"z,.{report.columns[name].decimals}f")


def made_at(page: Page) -> str:
    """Return when a page was made, in the time of its site."""
    return f"{page.now.astimezone(time_zone(page.site.zone)):%Y-%m-%d %H:%M}"


def kept(page: Page) -> str:
    """Return what the legend calls what was made and did not go to the grid."""
    if page.total.column("grid_export_kwh")[0] is None:
        return say("made")
    has_battery = page.total.column("battery_charge_kwh")[0] is not None
    return say("made, used or stored at home" if has_battery else "made, used at home")
