"""Part the raw tables of a new PostgreSQL database by month, so that old samples go by dropping whole tables.

One that holds gateways already stays as it is: its rows would have to be written anew. `envoylog db copy` moves it.

Revision ID: 0011 Revises: 0010
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIMES = {
    "production_samples": "polled_at",
    "consumption_samples": "polled_at",
    "meter_readings": "polled_at",
    "inverter_samples": "reported_at",
    "battery_samples": "polled_at",
    "storage_samples": "polled_at",
}
#: this month and the next ones, as the server's clock has it
MONTHS = """
SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month')::date FROM generate_series(0, 3) AS n
"""
#: views of these tables, and of such views; others in the schema are somebody else's
VIEWS = """
WITH RECURSIVE dependent AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(CAST(:names AS text[])) AS name
    UNION SELECT ev_class FROM dependent
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = dependent.oid
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
)
SELECT oid::regclass::text AS relname, pg_get_viewdef(oid) AS text FROM pg_class JOIN dependent USING (oid)
WHERE relkind = 'v' ORDER BY oid
"""
COMMENTS = """
SELECT c.oid::regclass::text AS relname, relkind IN ('v') AS is_view, attname, description FROM pg_description
JOIN pg_class c ON c.oid = objoid AND relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')
LEFT JOIN pg_attribute a ON attrelid = c.oid AND attnum = objsubid AND objsubid > 0
WHERE classoid = 'pg_class'::regclass
"""
#: where the months lie: in a schema of their own, where the user may make it
SCHEMA = """
SELECT quote_ident(CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN current_schema() || '_months'
    ELSE current_schema() END)
"""
KEYS = (
    "SELECT conname, contype, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = to_regclass(:name)"
)


def upgrade() -> None:
    """Make them anew where there is nothing yet."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for name in ("gateways", *TIMES):
        if connection.execute(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)).first():
            return
    _remake(connection, is_parted=True)


def downgrade() -> None:
    """Put all months into one table again."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _remake(connection, is_parted=False)


def _remake(connection: Any, *, is_parted: bool) -> None:
    """Put tables of the other kind, with the same rows, keys and comments, in the place of those that there are."""
    here = "relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace"
    kinds = dict(connection.execute(sa.text(f"SELECT relname, relkind FROM pg_class WHERE {here}")).all())
    names = [name for name in TIMES if (kinds[name] == "p") is not is_parted]
    if not names:
        return
    schema = connection.execute(sa.text(SCHEMA)).scalar_one()
    if is_parted and schema.endswith("_months"):
        _run(connection, f"CREATE SCHEMA IF NOT EXISTS {schema}")
    views = connection.execute(sa.text(VIEWS), {"names": names}).all()
    comments = connection.execute(sa.text(COMMENTS)).all()
    _run(connection, f"DROP VIEW {', '.join(view.relname for view in views)}")
    for name in names:
        keys = connection.execute(sa.text(KEYS), {"name": name}).all()
        _run(connection, f"ALTER TABLE {name} RENAME TO {name}_old")
        parting = f" PARTITION BY RANGE ({TIMES[name]})" if is_parted else ""
        _run(connection, f"CREATE TABLE {name} (LIKE {name}_old INCLUDING DEFAULTS INCLUDING STORAGE){parting}")
        if is_parted:
            months = [str(month) for (month,) in connection.execute(sa.text(MONTHS))]
            edges = ["MINVALUE", *(f"'{month} 00:00:00+00'" for month in months), "MAXVALUE"]
            parts = ["before", *(month[:7].replace("-", "_") for month in months[:-1]), "after"]
            for part, since, until in zip(parts, edges[:-1], edges[1:], strict=True):
                _run(
                    connection,
                    f"CREATE TABLE {schema}.{name}_{part} PARTITION OF {name} FOR VALUES FROM ({since}) TO ({until})",
                )
        _run(connection, f"INSERT INTO {name} SELECT * FROM {name}_old")
        _run(connection, f"DROP TABLE {name}_old")
        for key in keys:
            if key.contype in {"p", "u", "f", "c"}:
                _run(connection, f"ALTER TABLE {name} ADD CONSTRAINT {key.conname} {key.text}")
    if not is_parted and schema.endswith("_months"):
        _run(connection, f"DROP SCHEMA IF EXISTS {schema}")
    for view in views:
        _run(connection, f"CREATE VIEW {view.relname} AS {view.text}")
    for comment in comments:
        if comment.relname in {*names, *(view.relname for view in views)}:
            of = "VIEW" if comment.is_view else "TABLE"
            what = f"COLUMN {comment.relname}.{comment.attname}" if comment.attname else f"{of} {comment.relname}"
            text = comment.description.replace("'", "''")
            _run(connection, f"COMMENT ON {what} IS '{text}'")


def _run(connection: Any, statement: str) -> None:
    """Run a statement as it is: what looks like a parameter in it is none."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
