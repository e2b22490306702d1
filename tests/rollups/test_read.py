"""Rows of many meters become the columns of each, however the rows fall."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logger.rollups.series import by_series, drop_missing

POLLS = st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=60)


@given(POLLS, st.booleans(), st.integers(1, 2))
def test_each_key_has_its_rows_in_their_order(polls: list[set[str]], is_regular: bool, keys: int) -> None:
    rows: list[tuple[Any, ...]] = []
    for at_s, poll in enumerate(polls):
        for name in sorted(polls[0] if is_regular else poll):
            key = (name,) if keys == 1 else (name, name * 2)
            rows.append((at_s, *key, len(rows), float(len(rows))))
    found: dict[Any, list[tuple[Any, ...]]] = {}
    for key, columns in by_series(rows, keys):
        assert key not in found
        found[key] = list(zip(*columns, strict=True))
    for name in {row[1] for row in rows}:
        key = name if keys == 1 else (name, name * 2)
        mine = [(row[0], *row[1 + keys :]) for row in rows if row[1] == name]
        assert found.pop(key) == mine
    assert found == {}


def test_no_rows_have_no_keys() -> None:
    assert list(by_series([], 2)) == []


@given(st.lists(st.none() | st.integers()))
def test_what_is_unknown_is_taken_out_of_all_columns(values: list[int | None]) -> None:
    kept, places = drop_missing(values, range(len(values)))
    assert list(kept) == [value for value in values if value is not None]
    assert [values[place] for place in places] == list(kept)
