"""Keep an event's offset from UTC, so that events and outages of a local day are sought, however many years there are.

Rollups fill it in, also of events that are there already. Until then, and where somebody else wrote the event, the
views look for it as before. Events are few, and so is what these indexes cost.

Revision ID: 0019 Revises: 0018
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

#: whole texts of views and functions per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
TABLE, COLUMN = "events", "utc_offset_s"
MEANING = "local time minus UTC; empty until it is rolled up"
#: as the views have it
LOCAL = {
    "sqlite": "datetime(at, utc_offset_s || ' seconds')",
    "postgresql": "(at AT TIME ZONE 'UTC' + utc_offset_s * INTERVAL '1 second')",
}
INDEXES = {
    "events_local": "({local})",
    "events_lost": "({local}) WHERE kind = 'grid_lost'",
    "events_unplaced": "(gateway_id, at) WHERE utc_offset_s IS NULL",
}
FUNCTION = "battery_level(SMALLINT, TIMESTAMP WITH TIME ZONE)"
#: The function sees what who owns it may see, as a view does, and no tables but these.
ALTER = f"""
DO $$ BEGIN EXECUTE format('ALTER FUNCTION {FUNCTION} SET search_path = %I, pg_temp', current_schema()); END $$
"""


def upgrade() -> None:
    engine = op.get_bind().dialect.name
    op.add_column(TABLE, sa.Column(COLUMN, sa.Integer()))
    for name, of in INDEXES.items():
        run(f"CREATE INDEX ix_{name} ON {TABLE} {of.format(local=LOCAL[engine])}")
    names = ("table", "column", "unit", "meaning")
    dictionary = sa.table("data_dictionary", *(sa.column(name, sa.Text()) for name in names))
    op.bulk_insert(dictionary, [dict(zip(names, (TABLE, COLUMN, "s", MEANING), strict=True))])
    if engine == "postgresql":
        run(f"COMMENT ON COLUMN {TABLE}.{COLUMN} IS '{MEANING} [s]'")
        run(text_of(TEXTS / engine / "functions" / "battery_level.sql"))
        run(ALTER)
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")
    if op.get_bind().dialect.name == "postgresql":
        run(f"DROP FUNCTION {FUNCTION}")
    run("""DELETE FROM data_dictionary WHERE "table" = 'events' AND "column" = 'utc_offset_s'""")
    for name in INDEXES:
        run(f"DROP INDEX ix_{name}")
    op.drop_column(TABLE, COLUMN)


def replace_views(direction: str) -> None:
    """Make views anew; PostgreSQL keeps who may read them, and what their columns mean."""
    engine = op.get_bind().dialect.name
    for path in sorted((TEXTS / engine / direction).glob("*.sql")):
        if engine == "sqlite":
            run(f"DROP VIEW {path.stem}")
            run(text_of(path))
        else:
            run(text_of(path).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def text_of(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


def run(statement: str) -> None:
    """Run a statement as it is: what looks like a parameter in it is none."""
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
