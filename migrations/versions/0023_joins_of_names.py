"""Have PostgreSQL take more events of a gateway to be left, and seek each day of a battery by its key.

Of a `UNION ALL` the planner has no numbers, and takes an equation for one row in two hundred; two comparisons in its
place, as 0022 had them, are joined row by row, and look through the keys of all of a gateway's events. So the equation
is back, beside a row of a function of which the planner expects a hundred, or ten: that it has one is not looked at. A
gateway has one day of a kind, so that one is asked for: else the days of all gateways are read for each of them.

Revision ID: 0023 Revises: 0022
"""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

#: whole texts of the views, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision


def upgrade() -> None:
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")


def replace_views(direction: str) -> None:
    for path in sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql")):
        words = " ".join(path.read_text(encoding="utf-8").split())
        statement = words.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
        op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
