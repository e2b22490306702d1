"""The questions that owners ask, as SQL, and what Datasette wants to know of a database."""

import re
from typing import Any

from sqlalchemy import Connection, select

from logger import docs
from logger.store.models import DATA_DICTIONARY

QUESTION = re.compile(r"## (.+?)\n\n```sql\n(.+?)```", re.DOTALL)


def questions() -> dict[str, str]:
    """Return the cookbook: a question's title and its SQL, which runs on both engines."""
    return dict(QUESTION.findall(docs.page("cookbook")))


def datasette_metadata(connection: Connection, name: str) -> dict[str, Any]:
    """Return Datasette's metadata for a database file of a name (without its suffix)."""
    tables: dict[str, Any] = {}
    for row in connection.execute(select(DATA_DICTIONARY)):
        columns = tables.setdefault(row.table, {"columns": {}})["columns"]
        columns[row.column] = f"{row.meaning} [{row.unit}]" if row.unit else row.meaning
    for table, words in tables.items():
        if table.startswith("v_"):
            words["description"] = "For people: kWh, local time, the gateway's name first."
    queries = {
        re.sub(r"\W+", "-", title.lower()).strip("-"): {"title": title, "sql": sql.strip()}
        for title, sql in questions().items()
    }
    about = "Energy from lifetime counters; `coverage_pct` is how much of it was measured."
    return {"title": "envoylog", "databases": {name: {"description": about, "tables": tables, "queries": queries}}}
