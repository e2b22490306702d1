"""Rows as the driver gives them, as columns for each meter or inverter."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

#: The instant (epoch seconds), what tells the rows of one poll apart, then values
Row = tuple[Any, ...]
#: In polls of more rows, each row is looked at alone.
LARGEST = 100


def by_key(found: Sequence[Row], keys: int) -> Iterator[tuple[Any, list[Sequence[Any]]]]:
    """Yield each key of the rows with its columns, without the keys, in the order of the rows.

    The columns of the key, or of both of its parts, come after the first.
    """
    if not found:
        return
    first, *columns = zip(*found, strict=True)
    of_key, values = columns[:keys], [first, *columns[keys:]]
    once = _rows_of_poll(of_key)
    if once:
        for place in range(once):
            key = tuple(column[place] for column in of_key)
            yield key if keys > 1 else key[0], [column[place::once] for column in values]
        return
    places: defaultdict[Any, list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*of_key, strict=True) if keys > 1 else of_key[0]):
        places[key].append(place)
    for key, mine in places.items():
        yield key, [[column[place] for place in mine] for column in values]


def _rows_of_poll(of_key: Sequence[Sequence[Any]]) -> int:
    """Return of how many rows each poll consists; 0 if not all have the same ones in one order."""
    start = list(zip(*(column[:LARGEST] for column in of_key), strict=True))
    once = start.index(start[0], 1) if start[0] in start[1:] else len(start)
    is_regular = all(column[once:] == column[:-once] for column in of_key)
    return once if is_regular and len(set(start[:once])) == once else 0


def known(values: Sequence[Any], *others: Sequence[Any]) -> tuple[Sequence[Any], ...]:
    """Return the sequences without the places where the first is None."""
    if None not in values:
        return values, *others
    places = [i for i, value in enumerate(values) if value is not None]
    return tuple([column[i] for i in places] for column in (values, *others))
