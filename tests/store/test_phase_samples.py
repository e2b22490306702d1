"""What SQLite keeps of the phases of polls is one table, behind views that are read and written as tables are."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from logger.errors import RowRefusedError
from logger.simulator.site import Shape
from logger.store import schema
from logger.store.database import opened
from logger.store.phase_samples import VIEWS, copy_in, thousandths
from logger.store.writer import remember_gateway, save
from tests.conftest import Benches

MEASURED = ("production", "net-consumption", "storage", "total-consumption")
BY_NAME = {view.name: view for view in VIEWS}
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from(
        (0.0, 1459281.359, -0.98, 1.23456789, 1e300, -9e12, 5, 10**15, "5.5", " 5.5", "-3", "much", math.inf)
    ),
    st.sampled_from(("-", ".", "1-2", "5e", "2026-06-15")),
    st.integers(-(10**9), 10**12).map(lambda whole: whole / 1000),
    st.floats(allow_nan=False),
)
VALUES = {"reading_age_s": st.sampled_from((None, 0, 12, -3)), "source": st.sampled_from((None, "ct", "eim", "other"))}
KEYS = {
    "gateway_id": st.just(1),
    "polled_at": st.sampled_from(("2026-06-15 09:00:00", "2026-06-15 09:01:00")),
    "phase": st.sampled_from(("total", "L1", "N")),
}
MEASUREMENTS = {
    "consumption_samples": st.sampled_from(("total-consumption", "net-consumption")),
    "meter_readings": st.sampled_from(("production", "net-consumption", "backfeed")),
}


def row_of(view: Table) -> st.SearchStrategy[dict[str, Any]]:
    names = KEYS | VALUES | {"measurement": MEASUREMENTS.get(view.name, st.nothing())}
    return st.fixed_dictionaries({column.name: names.get(column.name, NUMBERS) for column in view.c})


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, tuple[Any, ...]]:
    """Return a change of a view, as SQL that has its name left out, and its values."""
    view = draw(st.sampled_from(VIEWS))
    row = draw(row_of(view))
    names, key = list(row), [column.name for column in view.primary_key]
    how = draw(
        st.sampled_from(("INSERT", "INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE", "UPDATE", "MOVE", "DELETE"))
    )
    here = " AND ".join(f"{name} = ?" for name in key)
    at = tuple(row[name] for name in key)
    if how == "DELETE":
        return view.name, f"DELETE FROM {{}} WHERE {here}", at
    if how == "UPDATE":
        others = [name for name in names if name not in key]
        put = ", ".join(f"{name} = ?" for name in others)
        return view.name, f"UPDATE {{}} SET {put} WHERE {here}", (*(row[name] for name in others), *at)
    if how == "MOVE":
        verb = draw(st.sampled_from(("UPDATE", "UPDATE OR IGNORE")))
        to = draw(st.sampled_from(("2026-06-15 09:01:00", "2026-06-15 09:02:00", None)))
        return view.name, f"{verb} {{}} SET polled_at = ? WHERE {here}", (to, *at)
    return view.name, f"{how} INTO {{}} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", (*row.values(),)


@pytest.fixture(scope="module")
def both(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database, and tables as they were before: old_production_samples, …"""
    path = tmp_path_factory.mktemp("both") / "both.db"
    path.write_bytes(sqlite_template.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO gateways (gateway_id, serial) VALUES (1, 'a')")
        for view in VIEWS:
            made = str(CreateTable(view).compile(dialect=sqlite.dialect()))
            db.execute(made.replace(f"TABLE {view.name}", f"TABLE old_{view.name}").replace("fk_", "old_fk_"))
        yield db


@settings(max_examples=150, deadline=None)
@given(st.lists(changes(), max_size=12))
def test_a_view_is_read_and_written_as_a_table_of_its_name_would_be(
    both: sqlite3.Connection, steps: list[tuple[str, str, tuple[Any, ...]]]
) -> None:
    both.execute("BEGIN")
    try:
        for name, sql, values in steps:
            ends = []
            for place in (f"old_{name}", name):
                try:
                    both.execute(sql.format(place), values)
                    ends.append("")
                except sqlite3.IntegrityError as error:
                    ends.append(str(error).partition(":")[0])
            assert ends[0] == ends[1], sql
            for view in VIEWS:
                key = ", ".join(column.name for column in view.primary_key)
                old, new = (
                    both.execute(f"SELECT * FROM {place} ORDER BY {key}").fetchall()
                    for place in (f"old_{view.name}", view.name)
                )
                assert [list(map(repr, row)) for row in old] == [list(map(repr, row)) for row in new], sql
        assert both.execute(
            "SELECT count(*) FROM phase_samples WHERE NOT is_reading AND source IS NULL"
        ).fetchone() == (0,)
    finally:
        both.execute("ROLLBACK")


def rows_of_views(connection: Connection) -> dict[Table, Sequence[Any]]:
    """Return the rows of all views, in the order of the key."""
    return {
        view: connection.exec_driver_sql(
            f"SELECT * FROM {view.name} ORDER BY {', '.join(column.name for column in view.primary_key)}"
        ).fetchall()
        for view in VIEWS
    }


@pytest.fixture(scope="module")
def together(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("together") / "together.db"
    path.write_bytes(sqlite_template.read_bytes())
    with opened(f"sqlite:///{path}") as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO gateways (gateway_id, serial) VALUES (1, 'a')")
        yield engine


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(VIEWS).flatmap(lambda view: st.tuples(st.just(view), row_of(view))), max_size=12))
def test_what_was_read_of_all_views_goes_into_their_table_at_once(
    together: Engine, filled: list[tuple[Table, dict[str, Any]]]
) -> None:
    with together.connect() as connection:
        for view, row in filled:
            values = f"({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
            connection.exec_driver_sql(f"INSERT OR REPLACE INTO {view.name} {values}", tuple(row.values()))
        before = rows_of_views(connection)
        assert connection.exec_driver_sql("DELETE FROM phase_samples").rowcount <= len(filled)
        copy_in(connection, {view: iter([rows[:1], rows[1:]]) for view, rows in before.items()})
        assert list(map(repr, rows_of_views(connection).values())) == list(map(repr, before.values()))


def test_consumption_that_is_named_production_is_no_production(together: Engine) -> None:
    """A server takes such a row by plain SQL."""
    rows = {view: iter([[(1, "2026-06-15 09:00:00", "production", "total", *[None] * 6)]]) for view in VIEWS}
    with together.connect() as connection, pytest.raises(RowRefusedError, match="of consumption_samples is named"):
        copy_in(connection, rows)


@given(st.floats(allow_nan=False) | st.integers(-(10**12), 10**12).map(lambda whole: whole / 1000))
def test_a_number_is_the_same_number_in_thousandths(number: float) -> None:
    kept = thousandths(number)
    assert (kept / 1000 if type(kept) is int else kept) == number


def test_the_collector_writes_what_its_rows_would_be_in_the_views(bench: Benches) -> None:
    with closing(sqlite3.connect(polled(bench))) as db:
        written, rows = everything(db), rows_of(db)
        db.execute("DELETE FROM phase_samples")
        assert len(written) == 4 * len(MEASURED)
        for name, found in rows.items():
            marks = ", ".join("?" * len(BY_NAME[name].c))
            db.executemany(f"INSERT INTO {name} VALUES ({marks})", found)
        assert everything(db) == written
        assert all(isinstance(value, int) for row in written for value in row[5:] if value is not None)


def test_older_tables_become_one_and_come_back_with_the_same_rows(bench: Benches) -> None:
    path = polled(bench)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "INSERT INTO meter_readings VALUES (1, 'x', 'backfeed', 'N', 0.12345, 1e300, NULL, 'a', 1,1,1,1,1, 1)"
        )
        # Other programs look at no foreign key.
        db.execute("INSERT INTO production_samples VALUES (9, '2026-06-15 09:00:00', 'total', '-', 1, 1, 'ct')")
        db.commit()
        written, rows = everything(db), rows_of(db)
    with opened(f"sqlite:///{path}") as engine:
        schema.downgrade(engine, "0017")
        with closing(sqlite3.connect(path)) as db:
            kinds = dict(db.execute("SELECT name, type FROM sqlite_master WHERE type <> 'index'"))
            assert {kinds[name] for name in BY_NAME} == {"table"}
            assert rows_of(db) == rows
        schema.upgrade(engine)
    with closing(sqlite3.connect(path)) as db:
        assert everything(db) == written
        assert rows_of(db) == rows


def test_consumption_is_not_taken_for_production(both: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="total-consumption or net-consumption"):
        both.execute(
            "INSERT INTO consumption_samples VALUES (1, '2026-06-15 09:00:00', 'production', 'total', 1, 1, 1, '')"
        )


@pytest.mark.parametrize("view", VIEWS, ids=BY_NAME)
def test_a_row_that_can_not_be_put_where_another_lies_stays_or_takes_its_place(
    both: sqlite3.Connection, view: Table
) -> None:
    """As when samples of two gateways become those of one."""
    times = [f"2026-06-15 09:0{minute}:00" for minute in range(3)]
    both.execute("BEGIN")
    try:
        for power_w, at in zip((5.5, 7.5, 7.5), times, strict=True):
            key = {"gateway_id": 1, "polled_at": at, "phase": "total", "measurement": "net-consumption"}
            row = [key.get(column.name, power_w if column.name == "power_w" else None) for column in view.c]
            both.execute(f"INSERT INTO {view.name} VALUES ({', '.join('?' * len(row))})", row)
        here = f"{view.name} SET polled_at = '{times[1]}' WHERE polled_at ="
        rows = f"SELECT polled_at, power_w FROM {view.name} ORDER BY polled_at"
        before = both.execute(rows).fetchall()
        for at in times:
            both.execute(f"UPDATE OR IGNORE {here} '{at}'")
        with pytest.raises(sqlite3.IntegrityError):
            both.execute(f"UPDATE {here} '{times[0]}'")
        assert both.execute(rows).fetchall() == before
        both.execute(f"UPDATE OR REPLACE {here} '{times[0]}'")
        assert both.execute(rows).fetchall() == [(times[1], 5.5), (times[2], 7.5)]
    finally:
        both.execute("ROLLBACK")


def polled(bench: Benches) -> Path:
    """Return a database that one poll of a site with three phases and a battery was stored in."""
    roof = bench(cts="storage", shape=Shape(phases=3, battery=True))
    poll = roof.poll(roof.gateway(), inverters=False)
    engine = roof.engine()
    schema.upgrade(engine)
    with engine.begin() as connection:
        assert poll.info is not None
        save(connection, remember_gateway(connection, poll.info, roof.settings.gateways[0], poll.polled_at), poll)
    return Path(roof.settings.database_url.removeprefix("sqlite:///"))


def everything(db: sqlite3.Connection) -> list[Any]:
    return db.execute("SELECT * FROM phase_samples ORDER BY 1, 2, 3, 4").fetchall()


def rows_of(db: sqlite3.Connection) -> dict[str, list[Any]]:
    return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4").fetchall() for name in BY_NAME}
