"""Find the newest rows of a view, and what months of samples have of an instant, whatever the years.

PostgreSQL plans a view with `UNION ALL` without knowing in which order its rows are asked for, and one of parted tables
with all of their months. So the rows of gateways of one name are added up beside each row, where it has any; and two
functions look at samples of an instant, for which alone a plan is made of the months that this instant lies in.
SQLite looks at gaps in the order of time, also at those of one gateway.

Revision ID: 0017 Revises: 0016
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

#: whole texts of views and functions per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
FUNCTIONS = {
    "battery_levels": "(SMALLINT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE)",
    "newest_powers": "(SMALLINT, TIMESTAMP WITH TIME ZONE)",
}
#: The function sees what who owns it may see, as a view does, and no tables but these.
ALTER = """
DO $$ BEGIN EXECUTE format('ALTER FUNCTION {} SET search_path = %I, pg_temp', current_schema()); END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name, arguments in FUNCTIONS.items():
            run(text_of(TEXTS / "postgresql" / "functions" / f"{name}.sql"))
            run(ALTER.format(name + arguments))
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")
    if op.get_bind().dialect.name == "postgresql":
        for name, arguments in FUNCTIONS.items():
            run(f"DROP FUNCTION {name}{arguments}")


def replace_views(direction: str) -> None:
    """Make views anew; PostgreSQL keeps who may read them, and what their columns mean."""
    engine = op.get_bind().dialect.name
    for path in sorted((TEXTS / engine / direction).glob("*.sql")):
        if engine == "sqlite":
            op.execute(sa.text(f"DROP VIEW {path.stem}"))
            op.execute(sa.text(text_of(path)))
        else:
            run(text_of(path).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def text_of(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


def run(statement: str) -> None:
    """Run a statement as it is: what looks like a parameter in it is none."""
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
