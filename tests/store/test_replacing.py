"""Rows in place of those that are there are all that is there afterwards, of their time and gateway."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Table, insert, select

from logger.store import replacing
from logger.store.models import ENERGY_15MIN, GATEWAYS, INVERTER_DAILY
from tests.sample_data import utc

SINCE = utc(2026, 6, 1)


def some(table: Table, dice: random.Random) -> list[dict[str, Any]]:
    """Rows of two gateways on ten days, every now and then none."""
    time, series = list(table.primary_key)[1:]
    found = []
    for gateway_id in (1, 2):
        for number in range(10):
            at = SINCE + timedelta(days=number)
            for name in ("a", "b", "total"):
                row: dict[str, Any] = dict.fromkeys(table.c.keys())
                row |= {"gateway_id": gateway_id, time.name: at.date() if time.name == "day" else at, series.name: name}
                row |= {"covered_s": dice.choice([None, 0, 900])}
                row |= {name: dice.choice([None, 0.0, 1.25]) for name in row if name.endswith(("_wh", "_w"))}
                row |= {name: dice.choice([None, at]) for name in row if name.startswith("peak") and name[-3:] == "_at"}
                found += [row] if dice.random() < 0.8 else []
    return found


@pytest.mark.parametrize("many", [replacing.MANY, 5])
@pytest.mark.parametrize("table", [ENERGY_15MIN, INVERTER_DAILY], ids=str)
def test_rows_are_replaced_where_they_differ(
    engine: Engine, table: Table, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "MANY", many)
    dice = random.Random(many)
    keys = list(table.primary_key)
    expected = some(table, dice)
    with engine.begin() as connection:
        connection.execute(insert(GATEWAYS), [{"gateway_id": number, "serial": str(number)} for number in (1, 2)])
        connection.execute(insert(table), expected)
        for first, last in ((2, 4), (0, None), (3, 3), (9, None), (5, 8), (1, None)):
            since = SINCE + timedelta(days=first)
            until = None if last is None else SINCE + timedelta(days=last)
            span: tuple[date, date | None] = (since, until)
            if keys[1].name == "day":
                span = since.date(), until and until.date()

            def is_in(row: dict[str, Any], span: tuple[date, date | None] = span) -> bool:
                at = row[keys[1].name]
                return row["gateway_id"] == 1 and span[0] <= at and (span[1] is None or at <= span[1])

            new = [row for row in some(table, dice) if is_in(row) and first != 1]  # Last of all with none.
            kept = [row for row in expected if is_in(row) and first != 1 and dice.random() < 0.5]
            new = kept + [row for row in new if all(any(row[k.name] != old[k.name] for k in keys) for old in kept)]
            expected = [row for row in expected if not is_in(row)] + new
            replacing.replace(connection, table, 1, *span, new)
            found = connection.execute(select(table).order_by(*keys)).mappings()
            assert [*map(dict, found)] == sorted(expected, key=lambda row: [row[key.name] for key in keys])
