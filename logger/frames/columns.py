"""Columns of a frame: which type each has, by its name, and how a database's values become that.

Instants are aware, in seconds; days are midnights without a zone; numbers are floats, NaN where unknown.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from logger.store.database import backend
from logger.store.models import INSTANT, UtcDateTime

#: columns of views and raw tables that hold text
TEXTS = frozenset(
    {"gateway", "phase", "measurement", "source", "serial", "outcome", "error", "kind", "subject", "detail", "month"}
    | {"name", "array", "state", "part_number", "firmware", "phase_mode", "time_zone", "grid_meter", "grid_state"}
)
WHOLE = frozenset({"year", "gateway_id"})
#: views whose instants are local times of the gateway, as people read them
LOCAL_VIEWS = frozenset({"v_gaps", "v_events", "v_outages"})


def is_instant(name: str) -> bool:
    """Return whether a column of this name holds instants."""
    return name == "at" or name.endswith("_at")


def is_local(name: str) -> bool:
    """Return whether a column of this name holds local time."""
    return name.startswith("local_")


def local_times(query: str) -> frozenset[str]:
    """Return the columns of a query that hold local times, which a file keeps as it keeps instants."""
    return frozenset({"at", "starts_at", "ends_at"} if any(view in query.lower() for view in LOCAL_VIEWS) else ())


def at_home(read: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    """Return the instants of local times that were read as UTC; of an hour that comes twice, the first."""
    local = read.dt.tz_convert("UTC").dt.tz_localize(None)
    instants: pd.Series[Any] = local.dt.tz_localize(
        zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward"
    )
    return instants


def typed(name: str) -> "sa.ColumnClause[Any]":
    """Return a column of a view, which has no types of its own."""
    if is_instant(name):
        return sa.column(name, UtcDateTime)
    if name == "day":
        return sa.column(name, sa.Date)
    return sa.column(name, sa.Text if name in TEXTS else sa.Integer if name in WHOLE else sa.Double)


def as_read(connection: Connection, column: "sa.ColumnClause[Any]") -> ColumnElement[Any]:
    """Return a column as it is read: instants, days and local times as text on either engine."""
    return sa.cast(column, sa.Text) if is_local(column.name) else backend(connection).plain(column)


def series(name: str, values: Sequence[Any], zone: str) -> "pd.Series[Any]":
    """Return the values of a column that ``as_read`` gave."""
    if is_instant(name):
        return pd.Series(pd.to_datetime(list(values), format="ISO8601", utc=True).tz_convert(zone).as_unit("s"))
    if name == "day" or is_local(name):
        form = "%Y-%m-%d" if name == "day" else INSTANT
        return pd.Series(pd.to_datetime(list(values), format=form).as_unit("s"))
    if name in TEXTS:
        return pd.Series(list(values), dtype="str")
    return pd.Series(np.array(values, dtype="int64" if name in WHOLE else "float64"))


def guessed(name: str, values: Sequence[Any], zone: str, local: frozenset[str]) -> "pd.Series[Any]":
    """Return the values of a column of any query, as its driver gave them; ``local`` names those of local time."""
    first = next((value for value in values if value is not None), None)
    has_zone = is_instant(name) and name not in local
    if (isinstance(first, datetime) and first.tzinfo is not None) or (isinstance(first, str) and has_zone):
        found = pd.to_datetime(list(values), utc=True, format="ISO8601")
        return pd.Series(found.tz_convert(zone).as_unit("s"))
    if isinstance(first, date) or (isinstance(first, str) and (name == "day" or is_local(name) or name in local)):
        return pd.Series(pd.to_datetime(list(values), format="ISO8601").as_unit("s"))
    if first is None or isinstance(first, (float, Decimal)):
        return pd.Series(np.array(values, dtype="float64"))
    return pd.Series(list(values))
