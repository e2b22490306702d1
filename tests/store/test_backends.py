"""Both engines do the same in their own ways, and their errors are understood by code."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, select
from sqlalchemy.exc import OperationalError

from logger.clock import running_s
from logger.errors import RowRefusedError, SettingsError, StoreAwayError, StoreError
from logger.store import database, postgresql, sqlite
from logger.store.database import opened, translated_errors
from logger.store.models import GATEWAYS
from logger.store.rows import insert_or_ignore
from logger.store.schema import current, upgrade
from tests.conftest import administer, new_database, with_database
from tests.sample_data import utc

#: Held against the protocol by mypy.
BACKENDS: dict[str, database._Backend] = {"sqlite": sqlite, "postgresql": postgresql}


def ask(url: str, *statements: str) -> None:
    with opened(url) as engine, translated_errors(), engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_the_backend_of_a_database_is_that_of_its_engine(engine: Engine) -> None:
    assert database.backend(engine) is BACKENDS[engine.dialect.name]


def test_another_program_that_writes_is_waited_for_as_long_as_asked(engine: Engine) -> None:
    lock = database.backend(engine).LOCK_WRITES.format("polls")
    began_s = running_s()
    with opened(url_of(engine)) as other, engine.begin() as holding:
        holding.exec_driver_sql(lock)
        with translated_errors(), other.connect() as waiting:
            database.wait_at_most(waiting, 1)
            with pytest.raises(OperationalError) as late:
                waiting.exec_driver_sql(lock)
    assert "locked by another program" in str(database.sentence_of(late.value))
    assert running_s() - began_s < 8


def test_a_server_may_be_given_any_encoding_and_style_of_its_own(postgresql_url: str) -> None:
    name = make_url(postgresql_url).database
    for style in ("DateStyle = 'SQL, DMY'", "client_encoding = 'LATIN1'", "TimeZone = 'Asia/Kathmandu'"):
        administer(postgresql_url, f"ALTER DATABASE {name} SET {style}")
    with opened(postgresql_url) as engine, engine.begin() as connection:
        row = {"gateway_id": 1, "serial": "1", "name": "\u65e5\u672c", "first_seen_at": utc(2026, 6, 1)}
        insert_or_ignore(connection, GATEWAYS, [row])
    with opened(postgresql_url, read_only=True) as engine, engine.connect() as connection:
        found = connection.execute(select(GATEWAYS.c.name, GATEWAYS.c.first_seen_at)).one()
    assert tuple(found) == (row["name"], row["first_seen_at"])


def test_no_tables_are_made_where_most_letters_have_no_place(postgres_url: str) -> None:
    with (
        new_database(postgres_url, "template0 ENCODING 'LATIN1' LOCALE 'C'") as name,
        opened(with_database(postgres_url, name)) as engine,
    ):
        with pytest.raises(StoreError, match="encoding LATIN1"):
            upgrade(engine)
        assert current(engine) is None


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_row_that_has_no_place_is_refused_alone(database_url: str) -> None:
    with pytest.raises(RowRefusedError, match="refused"):
        ask(database_url, "INSERT INTO gateways (gateway_id) VALUES (1)")


def test_what_is_sent_without_waiting_for_answers_is_refused_alike_and_leaves_nothing(database_url: str) -> None:
    def store(engine: Engine) -> None:
        with translated_errors(), engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO gateways (gateway_id, serial) VALUES (2, '2')")
            with database.backend(connection).pipelined(connection):
                connection.exec_driver_sql("INSERT INTO gateways (gateway_id) VALUES (1)")
                connection.exec_driver_sql("DELETE FROM polls")

    with opened(database_url) as engine:
        with pytest.raises(RowRefusedError, match="refused"):
            store(engine)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM gateways").scalar_one() == 0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA max_page_count=1; CREATE TABLE x AS SELECT zeroblob(1000000)", "disk is full"),
        ("PRAGMA query_only=ON; CREATE TABLE one_more (x)", "can't be written"),
        ("SELECT * FROM nowhere", "refused: no such table: nowhere"),
    ],
)
def test_an_error_of_sqlite_is_a_sentence_with_its_remedy(sqlite_url: str, statement: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        ask(sqlite_url, *statement.split("; "))


def test_a_file_that_sqlite_cannot_open_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database, or damaged; `envoylog db check`"):
        ask(f"sqlite:///{tmp_path}/x.db", "SELECT 1")
    (tmp_path / "directory").mkdir()
    with pytest.raises(SettingsError, match="is a folder; name a file in it"):
        ask(f"sqlite:///{tmp_path}/directory", "SELECT 1")


def test_a_server_that_refuses_us_is_distinguished_from_one_that_is_away(postgres_url: str) -> None:
    with pytest.raises(StoreError, match=r"refused database_url \(.*nowhere.*check its user") as no:
        ask(with_database(postgres_url, "nowhere"), "SELECT 1")
    assert not isinstance(no.value, StoreAwayError)
    stranger = make_url(postgres_url).set(username="nobody_here").render_as_string()
    with pytest.raises(StoreError, match="refused database_url"):
        ask(stranger, "SELECT 1")
    with pytest.raises(StoreAwayError, match="can't be reached"):
        ask("postgresql://nobody@127.0.0.1:9/x", "SELECT 1")
    full = make_url(postgres_url).set(username="crowd_here")
    with opened(postgres_url) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE crowd_here LOGIN CONNECTION LIMIT 0")
        with pytest.raises(StoreAwayError, match="too many connections"):
            ask(full.render_as_string(hide_password=False), "SELECT 1")
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP ROLE crowd_here")
    with pytest.raises(StoreError, match="no tables yet; run: envoylog db upgrade"):
        ask(postgres_url, "SELECT * FROM polls_of_nobody")
