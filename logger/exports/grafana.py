"""Dashboards for Grafana, and what it has to know to find them and the database.

Walk: grafana_dashboards, store.grafana -> here -> cli.sql
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from logger.errors import UsageError
from logger.exports.files import replacing
from logger.exports.grafana_dashboards import DASHBOARDS, Dashboard, Panel, queries
from logger.store.grafana import SOURCES, Source

UID = "envoylog"
#: of Grafana 11; newer ones bring it up to date when they load it
SCHEMA = 39
#: A web server is another user, and nothing here is secret.
MODE = 0o644
GATEWAYS = "SELECT DISTINCT name FROM gateways ORDER BY name"


def write_all(folder: Path, engine: str, url: URL | None) -> list[Path]:
    """Write everything into a folder such as /etc/grafana; return the files.

    ``url`` is the database's; None where that is of another engine, and the usual place is named.

    Raises:
        UsageError: the folder can't be written.
    """
    written = []
    for name, content in files(folder, engine, url):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path.parent} can't be made ({error.strerror}); choose another folder.") from error
        with replacing(path) as out:
            out.write(content.encode())
        path.chmod(MODE)
        written.append(path)
    return written


def files(folder: Path, engine: str, url: URL | None) -> Iterator[tuple[str, str]]:
    """Yield the names within the folder, and what is in them."""
    source = SOURCES[engine]
    # JSON is YAML too, and quotes whatever a path may hold.
    data = {"name": "envoylog", "uid": UID, "type": source.plugin, "access": "proxy", **source.settings(url)}
    yield "provisioning/datasources/envoylog.yaml", _json({"apiVersion": 1, "datasources": [data]})
    provider = {
        "name": "envoylog",
        "folder": "envoylog",
        "type": "file",
        "options": {"path": str(folder.absolute() / "dashboards" / "envoylog")},
    }
    yield "provisioning/dashboards/envoylog.yaml", _json({"apiVersion": 1, "providers": [provider]})
    for dashboard in DASHBOARDS:
        yield f"dashboards/envoylog/{dashboard.name}.json", _json(document(dashboard, source))


def document(dashboard: Dashboard, source: Source) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    reference = {"type": source.plugin, "uid": UID}
    links = [
        {"type": "link", "title": other.name, "url": f"/d/{UID}-{other.name}", "keepTime": False, "includeVars": True}
        for other in DASHBOARDS
        if other is not dashboard
    ]
    every = {"text": ["All"], "value": ["$__all"]}
    variable = {
        "name": "gateway", "label": "Gateway", "type": "query", "datasource": reference, "query": GATEWAYS,
        "definition": GATEWAYS, "refresh": 1, "multi": True, "includeAll": True, "current": every, "sort": 0,
    }  # fmt: skip
    return {
        "uid": f"{UID}-{dashboard.name}",
        "title": f"envoylog: {dashboard.name}",
        "description": dashboard.about,
        "tags": ["envoylog"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": dashboard.refresh,
        "time": {"from": dashboard.since, "to": "now"},
        "timezone": "browser",
        "links": links,
        "templating": {"list": [variable]},
        "annotations": {"list": []},
        "panels": [_panel(panel, number, source) for number, panel in enumerate(dashboard.panels, start=1)],
    }


def _panel(panel: Panel, number: int, source: Source) -> dict[str, Any]:
    reference = {"type": source.plugin, "uid": UID}
    x, y, width, height = panel.place
    target = source.target(source.query(queries()[panel.query]), panel.is_series)
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": reference,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": [{"refId": "A", "datasource": reference, **target}],
        "fieldConfig": {
            "defaults": panel.defaults | (source.series if panel.is_series else {}),
            "overrides": panel.overrides,
        },
        "options": panel.options,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
