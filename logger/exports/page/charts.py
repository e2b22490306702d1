"""The pictures of a page.

Curves lie in a box of their own that is stretched. Colours are classes of the style sheet, so that one picture does for
light, dark and paper. What a mark stands for is its ``title``, which a browser shows under the mouse.

Walk: reports.page -> svg -> here -> page.html
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from markupsafe import Markup

from logger.exports.language import say
from logger.exports.page import words
from logger.exports.page.svg import AXIS_PX, TOP_PX, Scale, element, joined, percent, rect, short
from logger.reports import Report
from logger.reports.columns import STATUS
from logger.reports.page import Page

#: heights in pixels of the bars and of the curve
BARS_PX, CURVE_PX = 220, 190
#: The highest bar stands for at least that much.
LEAST_KWH = 0.5
#: edge and distance of a day in the calendar
CELL_PX = 11
#: classes of the calendar's colours, from little to much
SHADES = 6
QUARTERS = 96


class Bar(NamedTuple):
    """One day or month; kWh, None where unknown."""

    label: str
    name: str
    own: float | None  #: made and used, or stored, at home
    export: float | None
    grid_import: float | None
    made: float | None
    before: float | None
    status: str


def bars(page: Page) -> Markup:
    """Return the energy of each day of a month, or month of a year, those that are not whole hatched."""
    found = _bars(page)
    most = max([LEAST_KWH, *(max(bar.made or 0.0, bar.before or 0.0) for bar in found)])
    scale = Scale(most, -max([0.0, *(bar.grid_import or 0.0 for bar in found)]), BARS_PX)
    width = 100 / len(found)
    parts = [scale.grid()]
    for number, bar in enumerate(found):
        x, wide = (number + 0.12) * width, 0.76 * width
        marks: list[Markup] = []
        own, export = max(0.0, bar.own or 0.0), max(0.0, bar.export or 0.0)
        low = -max(0.0, bar.grid_import or 0.0)
        for value, since, class_ in ((own, 0.0, "own"), (export, own, "export"), (-low, low, "import")):
            if value > 0:
                marks.append(rect(scale, x, wide, since, since + value, class_))
        if bar.before is not None and bar.before > 0:
            y = scale.y(bar.before)
            marks.append(
                element(
                    "line", x1=percent(x - 0.1 * width), x2=percent(x + wide + 0.1 * width), y1=y, y2=y, class_="before"
                )
            )
        if bar.status in {"partial", "suspect"} and (own + export or low):
            marks.append(rect(scale, x, wide, low, own + export, "hatch"))
        if bar.status == "missing":
            marks.append(rect(scale, x, wide, 0.0, scale.top, "hatch missing"))
        if marks:
            title = element("title", _bar_in_words(page, bar))
            parts.append(element("g", title + joined(marks), class_="running" if bar.status == "provisional" else None))
        if bar.label:
            y = scale.height_px + TOP_PX + AXIS_PX - 3.0
            parts.append(element("text", bar.label, x=percent(x + wide / 2), y=y, text_anchor="middle"))
    per = say(f"Energy per {'day' if page.kind == 'monthly' else 'month'}")
    said = f"{per}: {words.period(page)}"
    plot = element("svg", joined(parts), height=scale.height_px + TOP_PX + AXIS_PX, role="img", aria_label=said)
    return element("div", scale.axis("kWh") + plot, class_="chart")


def _bars(page: Page) -> list[Bar]:
    """Return a bar for each day or month of the calendar."""
    found = []
    if page.kind == "monthly" or page.months is None:
        rows = {row["day"]: row for row in records(page.days)}
        for number in range((page.last - page.first).days + 1):
            day = page.first + timedelta(days=number)
            label = str(day.day) if day.day == 1 or (day.day % 5 == 0 and day.day < 31) else ""
            found.append(_bar(rows.get(day), label, words.day(day), None, is_before=day < page.site.first))
        return found
    rows = {row["month"]: row for row in records(page.months)}
    before = {row["month"][5:]: row["production_kwh"] for row in records(page.months_before)}
    for month in range(1, 13):
        first = date(page.first.year, month, 1)
        name = f"{first:%Y-%m}"
        was = before.get(name[5:])
        is_before = name < f"{page.site.first:%Y-%m}"
        called = words.month(month)
        found.append(_bar(rows.get(name), called[:1], called, was, is_before=is_before))
    return found


def _bar(row: dict[str, Any] | None, label: str, name: str, before: float | None, *, is_before: bool) -> Bar:
    """Return a bar of a report's row; a day before the first, or still to come, has none."""
    if row is None or is_before:
        return Bar(label, name, None, None, None, None, before, "")
    made, export = row["production_kwh"], row["grid_export_kwh"]
    # Where it is not known what went to the grid, all that was made is one colour.
    own = made if made is None or export is None else made - export
    is_known = any(row[flow] is not None for flow in ("production_kwh", "consumption_kwh", "grid_import_kwh"))
    status = row[STATUS] if is_known or row[STATUS] == "provisional" else "missing"
    return Bar(label, name, own, export if made is not None else None, row["grid_import_kwh"], made, before, status)


def records(report: Report | None) -> list[dict[str, Any]]:
    """Return a report's rows by the names of their columns; nothing of none."""
    return [] if report is None else [dict(zip(report.names, row, strict=True)) for row in report.rows]


def _bar_in_words(page: Page, bar: Bar) -> str:
    if bar.status == "missing":
        return f"{bar.name}: {say('nothing known')}"
    flows = {"made": bar.made, "to the grid": bar.export, "from the grid": bar.grid_import}
    known = [f"{words.number(value)} kWh {say(what)}" for what, value in flows.items() if value is not None]
    if bar.before is not None:
        known.append(f"{words.number(bar.before)} kWh {say('made in {year}', year=int(page.name[:4]) - 1)}")
    notes = {"partial": "incomplete", "suspect": "not to be believed", "provisional": "so far"}
    note = f" ({say(notes[bar.status])})" if bar.status in notes else ""
    return f"{bar.name}: {', '.join(known)}{note}"


def mean_day(page: Page) -> Markup:
    """Return the mean power of each quarter hour of the day: what was made, of it what was used, and what was used."""
    made = _curve(page, "production_w")
    used = _curve(page, "consumption_w")
    exported = _curve(page, "grid_export_w")
    most = max([1.0, *(value for curve in (made, used) for value in curve.values())]) / 1000
    scale = Scale(most, 0.0, CURVE_PX)
    own = {slot: max(0.0, value - exported[slot]) for slot, value in made.items() if slot in exported}
    shapes = [_area(made, scale, "export" if own else "own"), _area(own, scale, "own"), _line(used, scale)]
    box = element(
        "svg", joined(shapes), viewBox=f"0 0 {QUARTERS} {scale.height_px + TOP_PX}", preserveAspectRatio="none",
        width="100%", height=scale.height_px + TOP_PX, x="0", y="0",
    )  # fmt: skip
    hours = [
        element(
            "text", f"{hour}:00", x=percent(hour / 24 * 100),
            y=scale.height_px + TOP_PX + AXIS_PX - 3.0, text_anchor={0: "start", 24: "end"}.get(hour, "middle"),
        )
        for hour in range(0, 25, 6)
    ]  # fmt: skip
    said = f"{say('Mean power of each quarter hour')}: {words.period(page)}"
    parts = scale.grid() + box + joined(hours)
    plot = element("svg", parts, height=scale.height_px + TOP_PX + AXIS_PX, role="img", aria_label=said)
    return element("div", scale.axis("kW") + plot, class_="chart")


def _curve(page: Page, name: str) -> dict[int, float]:
    values = {quarter.number: getattr(quarter, name) for quarter in page.mean_day}
    return {slot: max(0.0, value) for slot, value in values.items() if value is not None}


def _runs(curve: dict[int, float]) -> Iterator[list[int]]:
    """Yield the quarter hours that follow each other."""
    run: list[int] = []
    for slot in sorted(curve):
        if run and slot != run[-1] + 1:
            yield run
            run = []
        run.append(slot)
    if run:
        yield run


def _points(curve: dict[int, float], run: Sequence[int], scale: Scale) -> str:
    """Return a curve's points, each in the middle of its quarter hour; the first and last reach its edges."""
    middle = [(slot + 0.5, scale.y(curve[slot] / 1000)) for slot in run]
    ends = (float(run[0]), middle[0][1]), (run[-1] + 1.0, middle[-1][1])
    return " ".join(f"{short(float(x))},{short(y)}" for x, y in (ends[0], *middle, ends[1]))


def _area(curve: dict[int, float], scale: Scale, class_: str) -> Markup:
    zero = short(scale.y(0))
    return joined(
        [
            element(
                "polygon", points=f"{run[0]},{zero} {_points(curve, run, scale)} {run[-1] + 1},{zero}", class_=class_
            )
            for run in _runs(curve)
        ]
    )


def _line(curve: dict[int, float], scale: Scale) -> Markup:
    return joined(
        [
            element("polyline", points=_points(curve, run, scale), class_="used", vector_effect="non-scaling-stroke")
            for run in _runs(curve)
        ]
    )


def calendar(page: Page) -> Markup:
    """Return the days of a year as a calendar, darker where more was made; those that are not whole are framed."""
    rows = {row["day"]: row for row in records(page.days)}
    most = max([1e-3, *(row["production_kwh"] or 0.0 for row in rows.values())])
    monday = page.first - timedelta(days=page.first.weekday())
    weeks = ((page.last - monday).days // 7) + 1
    width = 100 / weeks
    parts = []
    for number in range((page.last - page.first).days + 1):
        day = page.first + timedelta(days=number)
        week, weekday = divmod((day - monday).days, 7)
        row = rows.get(day)
        made = None if row is None or day < page.site.first else row["production_kwh"]
        x, y = percent(week * width), weekday * CELL_PX + TOP_PX
        if day.day == 1:
            parts.append(
                element(
                    "text", words.month(day.month)[:1], x=percent((week + (1 if weekday else 0)) * width), y=TOP_PX - 4
                )
            )
        size: dict[str, Any] = {"x": x, "y": y, "width": percent(0.86 * width), "height": CELL_PX - 1.5}
        if made is None:
            parts.append(element("rect", class_="none", **size))
            continue
        shade = min(SHADES, 1 + int(SHADES * max(0.0, made) / most * 0.9999))
        doubt = {"partial": "incomplete", "suspect": "not to be believed"}.get(row[STATUS] if row else "", "")
        note = f" ({say(doubt)})" if doubt else ""
        title = element("title", f"{words.day(day)}: {words.number(made)} kWh {say('made')}{note}")
        parts.append(element("rect", title, class_=f"s{shade}{' doubt' if doubt else ''}", **size))
    return element(
        "svg", joined(parts), class_="calendar", height=7 * CELL_PX + TOP_PX, role="img",
        aria_label=f"{say('What was made, day by day')}: {page.name}",
    )  # fmt: skip


class Share(NamedTuple):
    """A part of what came in or went out."""

    name: str
    column: str
    class_: str
    kwh: float
    share_pct: float


#: what came in, and what went out: name, column, class
SOURCES = (("Panels", "production_kwh", "own"), ("Battery", "battery_discharge_kwh", "battery"),
           ("Grid", "grid_import_kwh", "import"))  # fmt: skip
USES = (("House", "consumption_kwh", "house"), ("Battery", "battery_charge_kwh", "battery"),
        ("Grid", "grid_export_kwh", "export"))  # fmt: skip


def shares(page: Page, parts: Sequence[tuple[str, str, str]]) -> list[Share]:
    """Return what came from, or went to, each place that is known."""
    row = records(page.total)[0]
    known = [(name, column, class_, max(0.0, row[column])) for name, column, class_ in parts if row[column] is not None]
    total = math.fsum(kwh for *_, kwh in known)
    return [Share(*part, 100 * part[-1] / total) for part in known] if total > 0 else []


def stack(found: Sequence[Share], said: str) -> Markup:
    """Return shares beside each other."""
    x, parts = 0.0, []
    for share in found:
        title = element("title", f"{say(share.name)}: {words.number(share.kwh)} kWh, {share.share_pct:.0f} %")
        box: dict[str, Any] = {"x": percent(x), "width": percent(share.share_pct), "y": 0, "height": "100%"}
        parts.append(element("rect", title, class_=share.class_, **box))
        x += share.share_pct
    return element("svg", joined(parts), class_="stack", height=26, role="img", aria_label=said)


def panel_bar(share_pct: float | None, state: str | None) -> Markup:
    """Return what a panel made beside its neighbours, whose median is the line."""
    most = 125.0
    if share_pct is None:
        return element("svg", class_="panel", height=12, aria_hidden="true")
    parts = [element("rect", x=0, width="100%", height="100%", class_="ground")]
    if share_pct > 0:
        width = percent(100 * min(share_pct, most) / most)
        parts.append(
            element("rect", x=0, width=width, height="100%", class_="fine" if state in {None, "fine"} else "ill")
        )
    middle = percent(100 * 100 / most)
    parts.append(element("line", x1=middle, x2=middle, y1=0, y2="100%", class_="median"))
    return element("svg", joined(parts), class_="panel", height=12, aria_hidden="true")


def month_bar(share_pct: float) -> Markup:
    """Return what a month made beside the best of all."""
    mark = element("rect", x=0, width=percent(share_pct), height="100%", class_="own")
    return element("svg", mark, class_="panel", height=12, aria_hidden="true")
