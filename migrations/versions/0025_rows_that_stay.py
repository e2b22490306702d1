"""Let a row of SQLite's views stay that UPDATE OR IGNORE can't put where another one lies, as in a table.

It was deleted before what should come in its place was ignored: whoever gave samples another gateway's number, where
both had some, lost them.

Revision ID: 0025 Revises: 0024
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

#: the views, by the columns of their key and the others
VIEWS = {
    "production_samples": (
        ("gateway_id", "polled_at", "phase"),
        ("power_w", "energy_lifetime_wh", "reading_age_s", "source"),
    ),
    "consumption_samples": (
        ("gateway_id", "polled_at", "measurement", "phase"),
        ("power_w", "energy_lifetime_wh", "reading_age_s", "source"),
    ),
    "meter_readings": (
        ("gateway_id", "polled_at", "measurement", "phase"),
        (
            "power_w", "delivered_wh", "received_wh", "voltage_v", "current_a", "power_factor", "apparent_power_va",
            "reactive_power_var", "frequency_hz", "reading_age_s",
        ),
    ),
}  # fmt: skip


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    for view, (key, _) in VIEWS.items():
        names = [f"CAST(NEW.{name} AS TEXT)" if name in {"measurement", "phase"} else f"NEW.{name}" for name in key]
        there = " AND ".join(f"there.{name} = {new}" for name, new in zip(key, names, strict=True))
        was_there = " AND ".join(f"there.{name} = OLD.{name}" for name in key)
        is_taken = f"EXISTS (SELECT 1 FROM {view} AS there WHERE {there} AND NOT ({was_there}))"
        has_key = " AND ".join(f"NEW.{name} IS NOT NULL" for name in key)
        put(
            view,
            f"DELETE FROM {view} WHERE {of_old(view)} AND {has_key} AND NOT {is_taken}",
            *inserted(view),
            # By UPDATE OR REPLACE it lies in the other's place.
            f"DELETE FROM {view} WHERE {of_old(view)} AND changes() = 1 AND {is_taken}",
        )


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    for view, (key, others) in VIEWS.items():
        names = [*key, *others]
        new = f"INSERT INTO {view} ({', '.join(names)}) VALUES ({', '.join(f'NEW.{name}' for name in names)})"
        put(view, f"DELETE FROM {view} WHERE {of_old(view)}", new)


def of_old(view: str) -> str:
    """Return SQL for: it is the row as it was."""
    key, _ = VIEWS[view]
    return " AND ".join(f"{name} = OLD.{name}" for name in key)


def inserted(view: str) -> list[str]:
    """Return what happens where a row is inserted: only of a table itself it is known whether it was ignored."""
    query = f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'insert_{view}'"
    text = op.get_bind().exec_driver_sql(query).scalar_one()
    return [str(text.partition(" BEGIN ")[2].removesuffix("; END"))]


def put(view: str, *steps: str) -> None:
    """Let these be the steps where a row of a view changes."""
    for statement in (
        f"DROP TRIGGER update_{view}",
        f"CREATE TRIGGER update_{view} INSTEAD OF UPDATE ON {view} BEGIN {'; '.join(steps)}; END",
    ):
        op.get_bind().exec_driver_sql(statement)
