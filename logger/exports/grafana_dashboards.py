"""The dashboards: which query of ``grafana.sql`` each panel asks, and how it shows the answer.

Walk: grafana.sql -> here -> grafana
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

Place = tuple[int, int, int, int]
#: what queries say -> SQL; Grafana quotes the names, which may hold quotes
WORDS = {
    "@chosen": "gateway IN (${gateway:sqlstring})",
    "@gateways": "JOIN gateways g ON g.gateway_id = s.gateway_id WHERE g.name IN (${gateway:sqlstring})",
}
OWN, EXPORT, IMPORT, HOUSE, ILL = "#24876A", "#F0AB2E", "#7D72B8", "#3F6FA8", "#C8452F"
_QUERY = re.compile(r"^-- ([\w-]+(?:: [\w-]+)?)\n((?!--).+?)\s*(?=\n-- |\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture or table, and its query."""

    kind: str
    title: str
    query: str  #: its name
    place: Place  #: x, y, width and height; a row has 24 columns
    about: str = ""
    is_series: bool = False  #: over time; else a table
    defaults: dict[str, Any] = field(default_factory=dict)
    overrides: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Panels about one question."""

    name: str
    about: str
    since: str
    panels: tuple[Panel, ...]
    refresh: str = "5m"


@lru_cache
def queries() -> dict[str, str]:
    """Return each query by its name, for any engine."""
    found = dict(_QUERY.findall(Path(__file__).with_name("grafana.sql").read_text(encoding="utf-8")))
    return {name: re.sub("@chosen|@gateways", lambda word: WORDS[word[0]], text) for name, text in found.items()}


def _steps(*steps: tuple[float | None, str]) -> dict[str, Any]:
    """Return from which value on which colour is shown."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def _of(name: str, **properties: Any) -> dict[str, Any]:
    """Return how one column is shown."""
    named = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": named}


def _coloured(**colours: str) -> list[dict[str, Any]]:
    return [_of(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]


def _stat(title: str, query: str, place: Place, unit: str, **more: Any) -> Panel:
    """Return a number for each gateway."""
    about, plain = more.pop("about", ""), {"color": {"mode": "thresholds"}, "thresholds": _steps((None, "text"))}
    return Panel(
        kind="stat", title=title, query=query, place=place, about=about, defaults={"unit": unit, **plain, **more},
        options={
            "reduceOptions": {"values": True, "calcs": [], "fields": "/^value$/"}, "textMode": "auto",
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
        },
    )  # fmt: skip


LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
TOOLTIP = {"mode": "multi", "sort": "none"}


def _bars(title: str, query: str, place: Place, unit: str, colours: dict[str, str], **more: Any) -> Panel:
    """Return columns above each other; what is below them is the first column of the query."""
    stacking, about = more.pop("stacking", "normal"), more.pop("about", "")
    look = {"unit": unit, "decimals": 1, "min": 0, "custom": {"fillOpacity": 90, "lineWidth": 0}}
    return Panel(
        kind="barchart", title=title, query=query, place=place, about=about, overrides=_coloured(**colours),
        defaults={**look, **more},
        options={
            "orientation": "auto", "stacking": stacking, "showValue": "never", "barWidth": 0.9, "groupWidth": 0.8,
            "xTickLabelRotation": 0, "xTickLabelSpacing": 100, "tooltip": TOOLTIP, "legend": LEGEND,
        },
    )  # fmt: skip


def _lines(title: str, query: str, place: Place, unit: str, about: str) -> Panel:
    """Return curves over time; a quarter hour without any value is a gap."""
    curve = {"lineWidth": 1, "fillOpacity": 12, "showPoints": "never", "spanNulls": 900_000}
    return Panel(
        kind="timeseries", title=title, query=query, place=place, about=about, is_series=True,
        defaults={"unit": unit, "color": {"mode": "palette-classic"}, "custom": curve},
        options={"legend": LEGEND, "tooltip": TOOLTIP},
    )  # fmt: skip


def _table(title: str, query: str, place: Place, *overrides: dict[str, Any], about: str = "") -> Panel:
    return Panel(
        kind="table", title=title, query=query, place=place, about=about, overrides=list(overrides),
        defaults={"custom": {"align": "auto"}}, options={"showHeader": True, "cellHeight": "sm"},
    )  # fmt: skip


SHARES = Panel(
    kind="heatmap", title="Panels by day, in % of their neighbours", query="panels: shares", place=(0, 0, 24, 12),
    about="100 % is the median of the others of the array. A row that turns red is a panel that got weak.",
    is_series=True,
    defaults={"custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}},
    options={
        "calculate": False, "cellGap": 1, "rowsFrame": {"layout": "auto", "value": "%"}, "showValue": "never",
        "color": {"mode": "scheme", "scheme": "RdYlGn", "reverse": False, "steps": 64, "min": 60, "max": 115,
                  "exponent": 0.5, "fill": "dark-green", "scale": "exponential"},
        "cellValues": {"unit": "percent", "decimals": 0}, "filterValues": {"le": -1},
        "yAxis": {"axisPlacement": "left", "reverse": False}, "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    },
)  # fmt: skip
RELATIVE = _of(
    "relative_pct", unit="percent", decimals=0, thresholds=_steps((None, ILL), (85, EXPORT), (95, OWN)),
    custom__cellOptions={"type": "color-text"},
)  # fmt: skip
NOW = Dashboard(
    name="now", about="What flows now, and today.", since="now-24h", refresh="1m",
    panels=(
        _stat("Production", "now: production", (0, 0, 5, 4), "watt"),
        _stat("Consumption", "now: consumption", (5, 0, 5, 4), "watt"),
        _stat("Grid", "now: grid", (10, 0, 5, 4), "watt", about="Positive: from the grid. Negative: to it."),
        _stat("Battery", "now: battery", (15, 0, 4, 4), "percent"),
        _stat("Last poll", "now: age", (19, 0, 5, 4), "s", decimals=0, about="How old the newest measurement is.",
              thresholds=_steps((None, OWN), (300, EXPORT), (900, ILL))),
        _lines("Power", "now: power", (0, 4, 24, 11), "watt", "Grid: positive from it. Battery: positive from it."),
        _table("What happened", "events", (0, 15, 24, 9)),
    ),
)  # fmt: skip
ENERGY = Dashboard(
    name="energy", about="Energy of days and months, from lifetime counters.", since="now-30d",
    panels=(
        _stat("Production", "energy: production", (0, 0, 5, 4), "kwatth", decimals=1),
        _stat("Consumption", "energy: consumption", (5, 0, 5, 4), "kwatth", decimals=1),
        _stat("From the grid", "energy: import", (10, 0, 5, 4), "kwatth", decimals=1),
        _stat("To the grid", "energy: export", (15, 0, 5, 4), "kwatth", decimals=1),
        _stat("Self-sufficiency", "energy: self-sufficiency", (20, 0, 4, 4), "percent", decimals=1),
        _bars("Where production went, by day", "energy: went", (0, 4, 12, 10), "kwatth",
              {"own": OWN, "exported": EXPORT}),
        _bars("Where consumption came from, by day", "energy: came", (12, 4, 12, 10), "kwatth",
              {"own": OWN, "imported": IMPORT}),
        _lines("Quarter hours", "energy: quarters", (0, 14, 24, 9), "kwatt", "Mean power of each quarter hour."),
        _bars("Months", "energy: months", (0, 23, 24, 9), "kwatth", {"production": OWN, "consumption": HOUSE},
              stacking="none", about="All months that there are, whatever range is chosen."),
    ),
)  # fmt: skip
PANELS = Dashboard(
    name="panels", about="Each panel beside its neighbours.", since="now-60d",
    panels=(
        SHARES,
        _table("How each panel stands", "panels: states", (0, 12, 14, 11), RELATIVE,
               about="On the newest day of the range. relative_pct: of what is usual beside its neighbours."),
        _bars("Energy of each panel", "panels: energy", (14, 12, 10, 11), "kwatth", {"energy": OWN}),
    ),
)  # fmt: skip
QUALITY = Dashboard(
    name="quality", about="How sure the figures are.", since="now-30d",
    panels=(
        _stat("Measured", "quality: measured", (0, 0, 8, 4), "percent", decimals=1,
              thresholds=_steps((None, ILL), (95, OWN)), about="How much of the time was measured."),
        _stat("Bridged", "quality: bridged", (8, 0, 8, 4), "kwatth", decimals=2,
              about="Production that came from one difference over an outage: the sum is right, the hours are not."),
        _stat("Failed polls", "quality: failed", (16, 0, 8, 4), "none", thresholds=_steps((None, OWN), (1, EXPORT))),
        _bars("Coverage by day", "quality: coverage", (0, 4, 12, 9), "percent", {"coverage": HOUSE}, max=100,
              about="Of several gateways that of the least."),
        _bars("Polls that were not complete, by day", "quality: polls", (12, 4, 12, 9), "none",
              {"failed": ILL, "partial": EXPORT}, decimals=0),
        _table("Gaps", "quality: gaps", (0, 13, 10, 10)),
        _table("What happened", "events", (10, 13, 14, 10)),
    ),
)  # fmt: skip
DASHBOARDS = (NOW, ENERGY, PANELS, QUALITY)
