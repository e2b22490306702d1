"""What Grafana asks of each engine in its own way: the plugin, how it is reached, and how time is written in SQL.

Queries say ``@time(column)`` for an instant on Grafana's axis, ``@day(column)`` for a day there, ``@epoch(column)`` for
an instant in seconds, and ``@within(column)`` or ``@within_days(column)`` for what lies in the range that is shown.
Walk: here -> exports.grafana
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL

_ASKED = re.compile(r"@(\w+)\(([\w.]+)\)")
#: the service's file, and its server, where the configuration has the other engine
FILE, SERVER = "/var/lib/envoylog/db/envoylog.db", "localhost:5432"
#: the variable of Grafana's environment with the role's password, and the role
PASSWORD, ROLE = "ENVOYLOG_GRAFANA_PASSWORD", "grafana"


@dataclass(frozen=True, slots=True)
class Source:
    """An engine, as Grafana sees it."""

    plugin: str
    #: what a query says -> SQL; a day is shown at noon UTC, so that it is that day in almost every zone
    sql: dict[str, str]
    settings: Callable[[URL | None], dict[str, Any]]
    #: from SQL, and whether it is a series over time: the fields of a panel's query
    target: Callable[[str, bool], dict[str, Any]]
    #: what calls a series by its ``metric``; a plugin may do that by itself
    series: dict[str, str] = field(default_factory=dict)

    def query(self, text: str) -> str:
        """Return a query in the engine's own words."""
        return _ASKED.sub(lambda asked: self.sql[asked[1]].format(asked[2]), text)


def _file(url: URL | None) -> dict[str, Any]:
    return {"jsonData": {"path": (url and url.database) or FILE, "pathOptions": "mode=ro"}}


def _server(url: URL | None) -> dict[str, Any]:
    place = f"{url.host or 'localhost'}:{url.port or 5432}" if url else SERVER
    is_here = place.startswith(("localhost:", "127.", "/"))
    mode = (url.query.get("sslmode") if url else None) or ("disable" if is_here else "require")
    return {
        "url": place,
        "user": ROLE,
        "jsonData": {"database": (url and url.database) or "envoylog", "sslmode": mode},
        "secureJsonData": {"password": f"${PASSWORD}"},
    }


def _file_target(sql: str, is_series: bool) -> dict[str, Any]:
    kind = {"queryType": "time series", "timeColumns": ["time"]} if is_series else {"queryType": "table"}
    return {"rawQueryText": sql, "queryText": sql, **kind}


def _server_target(sql: str, is_series: bool) -> dict[str, Any]:
    return {"rawSql": sql, "rawQuery": True, "editorMode": "code", "format": "time_series" if is_series else "table"}


SOURCES = {
    "sqlite": Source(
        plugin="frser-sqlite-datasource",
        sql={
            "time": "CAST(strftime('%s', {}) AS INTEGER)",
            "day": "CAST(strftime('%s', {}) AS INTEGER) + 43200",
            "epoch": "CAST(strftime('%s', {}) AS INTEGER)",
            "within": "{0} BETWEEN datetime($__from / 1000, 'unixepoch') AND datetime($__to / 1000, 'unixepoch')",
            "within_days": "{0} BETWEEN date($__from / 1000, 'unixepoch') AND date($__to / 1000, 'unixepoch')",
        },
        settings=_file,
        target=_file_target,
        series={"displayName": "${__field.labels.metric}"},
    ),
    "postgresql": Source(
        plugin="grafana-postgresql-datasource",
        sql={
            "time": "{}",
            "day": "(CAST({} AS timestamp) + interval '12 hours') AT TIME ZONE 'UTC'",
            "epoch": "EXTRACT(EPOCH FROM {})",
            "within": "{0} BETWEEN to_timestamp($__from / 1000) AND to_timestamp($__to / 1000)",
            "within_days": "{0} BETWEEN CAST(to_timestamp($__from / 1000) AS date) "
            "AND CAST(to_timestamp($__to / 1000) AS date)",
        },
        settings=_server,
        target=_server_target,
    ),
}
