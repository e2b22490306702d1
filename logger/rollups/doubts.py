"""Which samples say nothing: frozen readings, and those of a wrong clock."""

from collections.abc import Callable, Sequence
from typing import Any

from logger.rollups.columns import Row
from logger.rollups.placing import BEHIND_S, Placing

#: Readings older than this may be the one before again; those of a CT are new each second.
STALE_S = 900
STALE_CT_S = 120


#: Where the age of the reading stands in each row read here.
AGE = -2


class Doubts:
    """Takes out the samples that say nothing: frozen readings, and those of a wrong clock.

    ``key`` tells whose sample a row is, ``source`` where the row names its source, if it may be
    another than a CT.
    """

    def __init__(
        self, placing: Placing, key: Callable[[Row], Any], source: int | None = None
    ) -> None:
        self._placing = placing
        self._key = key
        self._source = source
        self._last: dict[Any, int] = {}
        self._before: Sequence[Row] = ()

    def clear(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows without those to be left out; the age is the last column but one."""
        before, self._before = self._before, rows
        if all(_is_usual(age_s, STALE_CT_S) for age_s in {row[AGE] for row in rows}):
            return rows
        for row in before:
            if row[AGE] is not None:
                self._last[self._key(row)] = row[0] - row[AGE]
        return [row for row in rows if not self._is_left_out(row)]

    def _is_left_out(self, row: Row) -> bool:
        """Return whether a sample is to be left out.

        Readings whose own time stands still are the one before again; those of a gateway whose
        clock is only wrong move on.
        """
        at_s, age_s = row[0], row[AGE]
        if age_s is None:
            return False
        key = self._key(row)
        before_s, self._last[key] = self._last.get(key), at_s - age_s
        stale_s = STALE_CT_S if self._source is None or row[self._source] == "ct" else STALE_S
        if _is_usual(age_s, stale_s):
            return False
        if age_s > 0 and before_s is not None and abs(at_s - age_s - before_s) <= 1:
            return True
        return self._placing.is_misplaced(at_s, age_s)


def _is_usual(age_s: int | None, stale_s: int) -> bool:
    return age_s is None or -BEHIND_S <= age_s <= stale_s
