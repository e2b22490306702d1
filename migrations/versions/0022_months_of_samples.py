"""Look in PostgreSQL at what an instant needs, also where there are many months of samples, days or events.

A plan for any instant is one for all months, which a session makes once it has asked some times: the functions of
batteries have one made for each instant. They look an hour back, then a month, then at all. Whether a day is the last
of its month or year is mostly told by the next day alone; a longer span reads on through its page of the index. Of a
`UNION ALL` the planner has no numbers, and takes an equation for one row in two hundred: written as two comparisons it
takes more to be left, and finds the newest events of a gateway in their order. A day of a battery is sought by its
gateway, and not among those of all gateways for each of them.

Revision ID: 0022 Revises: 0021
"""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

#: whole texts of views and functions, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
FUNCTIONS = {
    "battery_level": "(SMALLINT, TIMESTAMP WITH TIME ZONE)",
    "battery_levels": "(SMALLINT, TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH TIME ZONE)",
}
#: The function sees what who owns it may see, as a view does, and no tables but these.
ALTER = """
DO $$ BEGIN EXECUTE format('ALTER FUNCTION {} SET search_path = %I, pg_temp', current_schema()); END $$
"""


def upgrade() -> None:
    replace("upgrade")


def downgrade() -> None:
    replace("downgrade")


def replace(direction: str) -> None:
    """Make functions and views anew; PostgreSQL keeps who may use them, and what columns mean."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for name, arguments in FUNCTIONS.items():
        create(TEXTS / "postgresql" / direction / "functions" / f"{name}.sql", "FUNCTION")
        run(ALTER.format(name + arguments))
    for path in sorted((TEXTS / "postgresql" / direction).glob("*.sql")):
        create(path, "VIEW")


def create(path: Path, kind: str) -> None:
    text = " ".join(path.read_text(encoding="utf-8").split())
    run(text.replace(f"CREATE {kind}", f"CREATE OR REPLACE {kind}", 1))


def run(statement: str) -> None:
    """Run a statement as it is: what looks like a parameter in it is none."""
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
