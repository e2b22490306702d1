"""The rows of polls as columns, one for each series of samples."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from logger.rollups.clock_check import Row

#: The values of a column, in the order of the rows
Column = Sequence[Any]
#: In polls of more rows, each row is looked at alone.
LARGEST_POLL = 100


def by_series(rows: Sequence[Row], keys: int) -> Iterator[tuple[Any, list[Column]]]:
    """Yield each key of the rows with its columns, without the keys, in the order of the rows.

    The columns of the key, or of both of its parts, come after the first.
    """
    if not rows:
        return
    first, *columns = zip(*rows, strict=True)
    key_columns, values = columns[:keys], [first, *columns[keys:]]
    poll_size = _poll_size(key_columns)
    if poll_size:
        for place in range(poll_size):
            key = tuple(column[place] for column in key_columns)
            yield key if keys > 1 else key[0], [column[place::poll_size] for column in values]
        return
    places: defaultdict[Any, list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*key_columns, strict=True) if keys > 1 else key_columns[0]):
        places[key].append(place)
    for key, mine in places.items():
        yield key, [[column[place] for place in mine] for column in values]


def _poll_size(key_columns: Sequence[Column]) -> int:
    """Return of how many rows each poll consists; 0 if not all have the same in one order."""
    start = list(zip(*(column[:LARGEST_POLL] for column in key_columns), strict=True))
    size = start.index(start[0], 1) if start[0] in start[1:] else len(start)
    is_regular = all(column[size:] == column[:-size] for column in key_columns)
    return size if is_regular and len(set(start[:size])) == size else 0


def drop_missing(values: Column, *others: Column) -> tuple[Any, ...]:
    """Return the sequences without the places where the first is None."""
    if None not in values:
        return values, *others
    places = [i for i, value in enumerate(values) if value is not None]
    return tuple([column[i] for i in places] for column in (values, *others))
