"""Gateways that are first seen at the same moment, by several collectors or threads."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import Engine

from logger.readings import GatewayInfo
from logger.settings import GatewaySettings
from logger.store.queries import gateways
from logger.store.writer import remember_gateway
from tests.conftest import Benches

AT = datetime(2026, 6, 15, 10, tzinfo=UTC)


def test_each_gateway_is_created_once_and_has_a_number_of_its_own(bench: Benches, engine: Engine) -> None:
    known = bench(cts="net").gateway().identify()

    def see(number: int) -> int:
        serial = f"{122_300_000_000 + number % 6}"
        info = GatewayInfo(**{**{name: getattr(known, name) for name in known.__slots__}, "serial": serial})
        settings = GatewaySettings(name=f"roof {number % 6}", host="127.0.0.1")
        with engine.begin() as connection:
            return remember_gateway(connection, info, settings, AT)

    with ThreadPoolExecutor(12) as threads:
        numbers = list(threads.map(see, range(24)))
    with engine.connect() as connection:
        rows = gateways(connection)
    assert sorted(row.gateway_id for row in rows) == [1, 2, 3, 4, 5, 6]
    ids = {row.serial: row.gateway_id for row in rows}
    assert numbers == [ids[f"{122_300_000_000 + number % 6}"] for number in range(24)]
