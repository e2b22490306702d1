"""Count each day of a month or year up to yesterday as one that should have been measured.

Before, only the days before the first logged one were: a month of whose end nothing is known had
the coverage of its beginning.

Revision ID: 0005
Revises: 0004
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def views_by_name() -> SimpleNamespace:
    """Return the migration that made the views: all but one expression stays."""
    path = Path(__file__).with_name("0004_views_by_name.py")
    return SimpleNamespace(**runpy.run_path(str(path)))


def lite_days(period: str) -> str:
    """Return the SQL for how many days a period had by yesterday, or by its last logged day."""
    first = f"date(MIN(e.day), 'start of {period}')"
    last = f"date(MIN(e.day), 'start of {period}', '+1 {period}', '-1 day')"
    logged = "MAX(date('now', '-1 day'), MAX(e.day))"
    return f"CAST(julianday(MIN({last}, {logged})) - julianday({first}) + 1 AS INTEGER)"


def days(period: str) -> str:
    """Return the same for PostgreSQL."""
    first = f"CAST(date_trunc('{period}', MIN(e.day)) AS DATE)"
    last = f"CAST(date_trunc('{period}', MIN(e.day)) + INTERVAL '1 {period}' AS DATE) - 1"
    logged = "GREATEST(CAST(now() AT TIME ZONE 'UTC' AS DATE) - 1, MAX(e.day))"
    return f"(LEAST({last}, {logged}) - {first} + 1)"


def upgrade() -> None:
    before = views_by_name()
    lite = before.is_lite()
    old = before.views(lite=lite, by_name=True)
    made = {}
    for name, period, number in (
        ("v_energy_monthly", "month", "%d" if lite else "day"),
        ("v_energy_yearly", "year", "%j" if lite else "doy"),
    ):
        first = (
            f"CAST(strftime('{number}', MIN(e.day)) AS INTEGER)"
            if lite
            else f"CAST(extract({number} FROM MIN(e.day)) AS INTEGER)"
        )
        count = lite_days(period) if lite else days(period)
        whole = f"(SUM(e.period_s) + ({count} - COUNT(*)) * 86400)"
        made[name] = old[name].replace(before.WHOLE.format(first), whole)
    before.replace(made)


def downgrade() -> None:
    before = views_by_name()
    old = before.views(lite=before.is_lite(), by_name=True)
    before.replace({name: old[name] for name in ("v_energy_monthly", "v_energy_yearly")})
