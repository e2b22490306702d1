"""Migrations make the schema that the models describe, and can be undone."""

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Engine, inspect, text

from logger.errors import SchemaOutdatedError
from logger.store import phase_samples, schema
from logger.store.database import backend, open_engine
from logger.store.models import METADATA


def same_type(*found: Any) -> bool | None:
    inspected, wanted = found[3], found[4]
    return False if repr(inspected).startswith("VARCHAR") and "Utc" in repr(wanted) else None


def is_of_columns(found: Any, _name: str | None, kind: str, *_others: Any) -> bool:
    """Return whether models can describe this: an index of expressions stands in its migration alone."""
    return kind != "index" or all(isinstance(part, Column) for part in found.expressions)


def is_the_same_kind(found: Any, name: str | None, kind: str, *others: Any) -> bool:
    """Say the same of SQLite, where one table stands behind views of these names, and an index has more in it."""
    behind = {*(view.name for view in phase_samples.VIEWS), phase_samples.TABLE.name, "ix_gateways_name"}
    return name not in behind and is_of_columns(found, name, kind, *others)


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        only = is_the_same_kind if backend(connection).MERGES_PHASES else is_of_columns
        context = MigrationContext.configure(connection, opts={"compare_type": same_type, "include_object": only})
        found = compare_metadata(context, METADATA)
    # Comments come from the data dictionary, which only PostgreSQL also shows as comments.
    return [difference for difference in found if not (isinstance(difference, list) and "comment" in difference[0][0])]


def test_models_and_migrations_do_not_differ(engine: Engine) -> None:
    assert differences(engine) == []


def test_a_view_in_a_tables_place_has_its_columns_in_their_order(engine: Engine) -> None:
    for table in phase_samples.VIEWS:
        assert [column["name"] for column in inspect(engine).get_columns(table.name)] == table.c.keys()


def test_down_to_nothing_and_up_again_gives_the_same_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        schema.migrate(connection, "base", down=True)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    assert inspect(engine).get_view_names() == []
    schema.upgrade(engine)
    assert differences(engine) == []


def test_the_dictionary_knows_every_column_of_every_table_and_view(engine: Engine) -> None:
    look = inspect(engine)
    names = set(look.get_table_names()) - {"alembic_version"} | set(look.get_view_names())
    real = {(name, column["name"]) for name in names for column in look.get_columns(name)}
    with engine.connect() as connection:
        described = {tuple(row) for row in connection.execute(text('SELECT "table", "column" FROM data_dictionary'))}
    assert described == real


def test_a_database_of_a_newer_program_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaOutdatedError, match="newer envoylog"):
        schema.upgrade(engine)


@pytest.mark.parametrize(
    ("revision", "count", "digest"),
    [
        ("0003", 18, "55778e3ddd248215"),
        ("0004", 24, "76f66297df8be119"),
        ("0005", 8, "2a77ddcc3f33a837"),
        ("0006", 24, "10044c8c6116b853"),
        ("0007", 4, "1110845e21e96372"),
        ("0009", 2, "4b0f64fce499b2cf"),
        ("0013", 16, "03f606ddad1d16b8"),
        ("0014", 44, "a9b83dad01a39cc8"),
        ("0016", 2, "2e932f229d7ecdbf"),
        ("0017", 24, "68b9470089153cc8"),
        ("0019", 9, "06295cbd8e3df106"),
        ("0020", 4, "6f14e5e94f0c9ef0"),
        ("0021", 6, "9e0ad5ca2a693b34"),
        ("0022", 14, "d3588e1eadc9d34c"),
        ("0023", 6, "ba38944ac424345b"),
        ("0024", 8, "687811a2fe885cbb"),
    ],
)
def test_the_texts_of_views_are_frozen_with_their_migration(revision: str, count: int, digest: str) -> None:
    paths = sorted((schema.migrations_path() / "versions" / "views" / revision).rglob("*.sql"))
    texts = [" ".join(path.read_text(encoding="utf-8").split()) for path in paths]
    assert len(texts) == count
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == digest


def test_who_has_logged_several_phases_keeps_their_sums(engine: Engine) -> None:
    with engine.begin() as connection:
        schema.migrate(connection, "0005", down=True)
        rows = ("(1, 'a', 3)", "(2, 'b', 1)", "(3, 'c', NULL)")
        connection.execute(text(f"INSERT INTO gateways (gateway_id, serial, phase_count) VALUES {', '.join(rows)}"))
    schema.upgrade(engine)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT grid_meter FROM gateways ORDER BY gateway_id")).scalars().all()
    assert found == ["per_phase", None, None]


def test_a_collector_has_its_tables_made_by_a_process_that_ends(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    code = (
        "import contextlib, sys\nfrom logger.store import lock, schema\n"
        f"with contextlib.closing(lock.CollectorDatabase({url!r}, prepare=schema.prepare_apart)) as database:\n"
        "    database.ready()\n"
        "sys.exit(not {'alembic', 'sqlalchemy.dialects.postgresql'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    engine = open_engine(url)
    assert schema.current(engine) == schema.head()
    engine.dispose()
