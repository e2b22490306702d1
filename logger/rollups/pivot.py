"""Rows as the driver gives them, as columns for each meter or inverter, and their peaks."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from logger.clock import QUARTER_S

#: The instant (epoch seconds), what tells the rows of one poll apart, then values
Row = tuple[Any, ...]
#: In polls of more rows, each row is looked at alone.
LARGEST_POLL = 100


def by_series(rows: Sequence[Row], keys: int) -> Iterator[tuple[Any, list[Sequence[Any]]]]:
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


def _poll_size(key_columns: Sequence[Sequence[Any]]) -> int:
    """Return of how many rows each poll consists; 0 if not all have the same in one order."""
    start = list(zip(*(column[:LARGEST_POLL] for column in key_columns), strict=True))
    size = start.index(start[0], 1) if start[0] in start[1:] else len(start)
    is_regular = all(column[size:] == column[:-size] for column in key_columns)
    return size if is_regular and len(set(start[:size])) == size else 0


def drop_missing(values: Sequence[Any], *others: Sequence[Any]) -> tuple[Sequence[Any], ...]:
    """Return the sequences without the places where the first is None."""
    if None not in values:
        return values, *others
    places = [i for i, value in enumerate(values) if value is not None]
    return tuple([column[i] for i in places] for column in (values, *others))


class Peaks:
    """The highest power of each quarter hour and when it was."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[float, int]] = {}  #: start of the quarter hour -> W, epoch s
        self._samples: list[tuple[Sequence[int], Sequence[float]]] = []

    def extend(self, times_s: Sequence[int], powers_w: Sequence[float]) -> None:
        """Take samples into account; one on a boundary closes the quarter hour before it."""
        self._samples.append((times_s, powers_w))
        first = 0
        while first < len(times_s):
            start = (times_s[first] - 1) // QUARTER_S * QUARTER_S
            end = bisect_right(times_s, start + QUARTER_S, first)
            power_w = max(powers_w[first:end])
            highest = self.of.get(start)
            if highest is None or power_w > highest[0]:
                self.of[start] = power_w, times_s[powers_w.index(power_w, first)]
            first = end

    def drop_implausible(self, max_power_w: Callable[[int], float], always_w: float) -> None:
        """Leave out samples of more than a quarter hour can hold; all can hold ``always_w``."""
        for start, (power_w, _) in list(self.of.items()):
            if power_w <= always_w or power_w <= (limit_w := max_power_w(start)):
                continue
            plausible = [
                (power_w, -at_s)
                for times_s, powers_w in self._samples
                for at_s, power_w in zip(times_s, powers_w, strict=True)
                if start < at_s <= start + QUARTER_S and power_w <= limit_w
            ]
            del self.of[start]
            if plausible:
                highest_w, at_s = max(plausible)
                self.of[start] = highest_w, -at_s
