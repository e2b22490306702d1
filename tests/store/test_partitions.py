"""PostgreSQL keeps samples by month, and drops whole months of old ones."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.clock import utc_now
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import partitions, schema
from logger.store.database import opened
from logger.store.models import METADATA, PRODUCTION_SAMPLES
from tests.sample_data import fill, fill_inverters, times, utc

INSERT = "INSERT INTO production_samples (gateway_id, polled_at, phase) VALUES (1, :at, 'total')"
GATEWAY = "INSERT INTO gateways (gateway_id, name, serial) VALUES (1, 'roof', 's')"
WHERE = """
    SELECT relname::text, count(*) FROM production_samples s JOIN pg_class c ON c.oid = s.tableoid GROUP BY 1 ORDER BY 1
"""


@pytest.fixture
def server(postgresql_url: str) -> Iterator[Engine]:
    with opened(postgresql_url) as engine:
        yield engine


def test_a_new_database_has_this_month_and_the_next_ones(server: Engine) -> None:
    partitions.make_ahead(server, utc_now())
    with server.begin() as connection:
        for table in partitions.TABLES:
            names = [one.name.removeprefix(f"{table.name}_") for one in partitions.partitions(connection, table)]
            assert (names[0], names[-1], len(names)) == ("before", "after", 5)
            assert names[1] == f"{utc_now():%Y_%m}"


def test_a_row_of_any_time_has_a_place_and_goes_into_its_month_once_that_is_made(server: Engine) -> None:
    with server.begin() as connection:
        connection.execute(text(GATEWAY))
        for at in (utc(1970, 1, 1), utc(2016, 3, 1), utc(2016, 5, 31, 23, 59), utc(2090, 1, 1)):
            connection.execute(text(INSERT), {"at": at})
        assert connection.execute(text(WHERE)).all() == [
            ("production_samples_after", 1), ("production_samples_before", 3)
        ]  # fmt: skip
        partitions.make(connection, {PRODUCTION_SAMPLES: [utc(2016, 3, 1), utc(2016, 5, 1), utc(2090, 1, 1)]})
        assert connection.execute(text(WHERE)).all() == [
            ("production_samples_2016_03", 1), ("production_samples_2016_05", 1), ("production_samples_2090_01", 1),
            ("production_samples_before", 1),
        ]  # fmt: skip
        plan = connection.execute(
            text(
                "EXPLAIN SELECT polled_at FROM production_samples WHERE gateway_id = 1 ORDER BY polled_at DESC LIMIT 1"
            )
        )
        assert "Merge" not in "\n".join(plan.scalars())  # One after the other, the last one first.


def test_every_unique_key_of_samples_holds_gateway_and_time(server: Engine) -> None:
    """Timescale, Citus and partitions need it."""
    query = """
        SELECT c.relname, array_agg(attname::text) FROM pg_index JOIN pg_class c ON c.oid = indrelid
        JOIN pg_attribute ON attrelid = c.oid AND attnum = ANY(indkey)
        WHERE indisunique AND c.relname = ANY(:names) GROUP BY c.relname, indexrelid
    """
    with server.begin() as connection:
        names = [table.name for table in partitions.TABLES] + ["polls", "events", "site_states"]
        found = connection.execute(text(query), {"names": names}).all()
    assert {name for name, _ in found} == set(names)
    times_of = {name: partitions.time_of(METADATA.tables[name]).name for name in names}
    assert [name for name, columns in found if not {"gateway_id", times_of[name]} <= set(columns)] == []


def test_a_database_in_use_stays_as_it_is_and_can_go_back_to_tables_without_months(server: Engine) -> None:
    with server.begin() as connection:
        connection.execute(text(GATEWAY))
        for at in (utc(2016, 1, 1), utc_now()):
            connection.execute(text(INSERT), {"at": at})
    before = schema.revisions()[schema.revisions().index("0011") - 1]
    steps: list[Callable[[], None]] = [lambda: schema.downgrade(server, before), lambda: schema.upgrade(server)]
    for step in steps:
        step()
        with server.begin() as connection:
            assert partitions.partitions(connection, PRODUCTION_SAMPLES) == []
            assert connection.execute(text("SELECT count(*) FROM production_samples")).scalar_one() == 2
            assert connection.execute(text("SELECT count(*) FROM v_power_now")).scalar_one() == 1
            assert connection.execute(text("SELECT col_description('v_power_now'::regclass, 1)")).scalar_one()


def test_views_of_somebody_else_outlive_a_migration(server: Engine) -> None:
    look = text("SELECT oid, relacl::text FROM pg_class WHERE relname LIKE :name")
    with server.begin() as connection:
        connection.execute(text("""CREATE VIEW "somebody's view" AS SELECT 1 AS number"""))
        connection.execute(text("""CREATE VIEW "their days" AS SELECT day, production_kwh FROM v_energy_daily"""))
        connection.execute(text("""CREATE VIEW best AS SELECT max(production_kwh) AS kwh FROM "their days" """))
        connection.execute(text("GRANT SELECT ON best TO PUBLIC"))
        before = connection.execute(look, {"name": "somebody%"}).one(), connection.execute(look, {"name": "best"}).one()
    schema.downgrade(server, "0010")
    schema.upgrade(server)
    with server.connect() as connection:
        assert connection.execute(text("SELECT kwh FROM best")).scalars().all() == [None]
        assert connection.execute(look, {"name": "somebody%"}).one() == before[0]
        assert connection.execute(look, {"name": "best"}).one()[1] == before[1][1]


def test_old_samples_go_by_whole_months_and_no_total_changes(
    server: Engine, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = utc(2026, 2, 25)
    site = Site(Shape(phases=1), since - timedelta(days=1))
    at = times(since, since + timedelta(days=10), 7200)
    fill(server, site, at, zone="Europe/Amsterdam")
    fill_inverters(server, site, at, {"a": 0.5})
    rollup.bring_up_to_date(server, 1, now=at[-1], gap_s=7200)
    totals = "SELECT * FROM energy_15min ORDER BY gateway_id, starts_at, phase"
    with server.begin() as connection:
        partitions.make(connection, {t: partitions.months_of(connection, t) for t in partitions.TABLES})
        before = connection.execute(text(totals)).all()
    keep_days = (utc_now() - utc(2026, 3, 4)).days
    monkeypatch.setenv("ENVOYLOG_KEEP_SAMPLES_DAYS", str(keep_days))
    assert run(["--database-url", postgresql_url, "db", "prune", "--yes"]) == 0
    with server.begin() as connection:
        assert connection.execute(text(totals)).all() == before
        for table in partitions.TABLES[:4]:
            names = [one.name for one in partitions.partitions(connection, table)]
            assert names[:2] == [f"{table.name}_before", f"{table.name}_2026_03"]
            first = connection.execute(text(f"SELECT min({partitions.time_of(table).name}) FROM {table.name}"))
            # What the next one is counted from stays.
            assert utc(2026, 2, 26) < first.scalar_one() <= utc(2026, 3, 1)
        assert rollup.rebuild(connection, 1, now=at[-1], gap_s=7200, since=None) == []
