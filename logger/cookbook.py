"""The questions that owners ask, as SQL, and what Datasette wants to know of a database."""

import re
from html import escape
from typing import Any

from sqlalchemy import Connection, inspect, select

from logger import docs
from logger.store.models import DATA_DICTIONARY

QUESTION = re.compile(r"## ([^\n]+)\n(?:(?!\n## ).)*?```sql\n(.+?)```", re.DOTALL)
#: what people may look at beside the views; all other tables are for envoylog itself
PUBLIC = (
    "energy_daily", "energy_hourly", "energy_15min", "inverter_daily", "panel_daily",
    "gateways", "meters", "inverters", "batteries", "panels", "events", "polls", "production_samples",
    "consumption_samples", "meter_readings", "inverter_samples", "battery_samples", "storage_samples", "site_states",
    "notifications",
    "data_dictionary",
)  # fmt: skip
#: the views by what is asked most; others follow
FIRST = ("v_power_now", "v_energy_daily", "v_energy_monthly", "v_energy_yearly", "v_energy_hourly", "v_panels")
OWN, EXPORTED, HOUSE = "#24876A", "#F0AB2E", "#3F6FA8"
#: picture -> its query of at most 1000 rows, which is what Datasette fetches
PICTURES = {
    "Where production went, by day": """
SELECT day, SUM(production_kwh - COALESCE(grid_export_kwh, 0)) AS kwh, 'used here' AS flow FROM v_energy_daily
WHERE day IN (SELECT DISTINCT day FROM v_energy_daily ORDER BY day DESC LIMIT 60) GROUP BY day
UNION ALL
SELECT day, SUM(grid_export_kwh), 'exported' FROM v_energy_daily
WHERE day IN (SELECT DISTINCT day FROM v_energy_daily ORDER BY day DESC LIMIT 60) GROUP BY day
""",
    "Months": """
SELECT month, SUM(production_kwh) AS kwh, 'production' AS flow FROM v_energy_monthly GROUP BY month
UNION ALL
SELECT month, SUM(consumption_kwh), 'consumption' FROM v_energy_monthly GROUP BY month
""",
    "Panels by month, in % of their neighbours": """
SELECT substr(CAST(day AS VARCHAR), 1, 7) AS month, COALESCE(name, serial) AS panel,
 100 * SUM(COALESCE(energy_kwh, 0)) / SUM(peers_median_kwh) AS share
FROM v_panels WHERE peers_median_kwh > 0 AND substr(CAST(day AS VARCHAR), 1, 7) IN
 (SELECT DISTINCT month FROM v_energy_monthly ORDER BY month DESC LIMIT 12)
GROUP BY substr(CAST(day AS VARCHAR), 1, 7), COALESCE(name, serial)
""",
}


def questions() -> dict[str, str]:
    """Return the cookbook: a question's title and its SQL, which runs on both engines."""
    return dict(QUESTION.findall(docs.page("cookbook")))


def datasette_metadata(connection: Connection, name: str) -> dict[str, Any]:
    """Return Datasette's metadata for a database file of a name (without its suffix)."""
    tables: dict[str, Any] = {}
    # In SQLite some of what is reported as it came is a view too.
    found = [name for name in inspect(connection).get_view_names() if name not in PUBLIC]
    views = [*(view for view in FIRST if view in found), *sorted(set(found) - set(FIRST))]
    others = inspect(connection).get_table_names()
    for table in [*views, *PUBLIC]:
        tables[table] = {"columns": {}}
    for row in connection.execute(select(DATA_DICTIONARY)):
        if row.table in tables:
            tables[row.table]["columns"][row.column] = f"{row.meaning} [{row.unit}]" if row.unit else row.meaning
    for view in views:
        tables[view]["description"] = "For people: kWh, local time, the gateway's name first."
    tables |= {table: {"hidden": True} for table in others if table not in PUBLIC}
    queries = {
        re.sub(r"\W+", "-", title.lower()).strip("-"): {"title": title, "sql": sql.strip()}
        for title, sql in questions().items()
    }
    links = " \N{MIDDLE DOT} ".join(f'<a href="{escape(name)}/{view}">{view}</a>' for view in views)
    about = (
        "<p>Energy from lifetime counters; <code>coverage_pct</code> is how much of it was measured.</p>"
        f"<p>Begin with the views, which are for people: {links}</p>"
    )
    database = {"description_html": about, "tables": tables, "queries": queries}
    return {
        "title": "envoylog",
        "databases": {name: database},
        "plugins": {"datasette-dashboards": {"energy": _dashboard(name)}},
    }


def _dashboard(name: str) -> dict[str, Any]:
    """Return the pictures of the plugin datasette-dashboards, as Vega-Lite."""
    kwh = {"field": "kwh", "type": "quantitative", "title": "kWh"}
    days, months = (
        {"field": "flow", "type": "nominal", "title": None,
         "scale": {"domain": list(own), "range": list(own.values())}}
        for own in ({"used here": OWN, "exported": EXPORTED}, {"production": OWN, "consumption": HOUSE})
    )  # fmt: skip
    share = {
        "field": "share", "type": "quantitative", "title": "%",
        "scale": {"scheme": "redyellowgreen", "domain": [60, 115], "clamp": True},
    }  # fmt: skip
    month = {"field": "month", "type": "ordinal", "title": None}
    displays = [
        {"mark": {"type": "bar", "tooltip": True},
         "encoding": {"x": {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": None},
                      "y": kwh, "color": days}},
        {"mark": {"type": "bar", "tooltip": True},
         "encoding": {"x": month, "xOffset": {"field": "flow"}, "y": kwh, "color": months}},
        {"mark": {"type": "rect", "tooltip": True},
         "encoding": {"x": month, "y": {"field": "panel", "type": "nominal", "title": None}, "color": share}},
    ]  # fmt: skip
    charts = {
        f"chart{number}": {"title": title, "db": name, "query": sql.strip(), "library": "vega-lite", "display": display}
        for number, ((title, sql), display) in enumerate(zip(PICTURES.items(), displays, strict=True), start=1)
    }
    return {"title": "Energy", "layout": [["chart1", "chart2"], ["chart3", "chart3"]], "charts": charts}
