"""What a collector remembers of a gateway's inverters from one quarter hour to the next.

Walk: rollup -> here -> inverters, today
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from logger.clock import from_epoch_s
from logger.rollups import inverters
from logger.rollups.checkpoints import Rolled
from logger.rollups.read import Window
from logger.rollups.today import Today
from logger.store.models import INVERTER_SAMPLES

_columns = INVERTER_SAMPLES.c
_STORED = select(
    func.max(_columns.reported_at),
    func.count(),
    func.count().filter(_columns.reported_at <= bindparam("until", type_=_columns.reported_at.type)),
).where(_columns.gateway_id == bindparam("gateway"), _columns.reported_at > bindparam("since"))
#: While no inverter reports, its day is looked at again after this long, s.
QUIET_S = 3_600


class _Reports(NamedTuple):
    """Which reports of a gateway are stored since a checkpoint."""

    gateway_id: int
    since_s: int
    newest: object
    number: int


@dataclass(slots=True)
class Memory:
    """Counts the inverters of a day that is not over, each time from where it was.

    What comes later than others is as new as what comes last: stored reports are counted, not only looked at from some
    time on.
    """

    today: Today | None = None
    _counted: _Reports | None = None
    _until_s: int = 0

    def forget(self) -> None:
        """Count anew from the last checkpoint."""
        self.today = self._counted = None

    def count(self, window: Window, *, is_last: bool) -> Rolled | None:
        """Return the days of a window that begins at a checkpoint; None where nothing is new.

        One that is not the ``is_last`` to be counted begins days ago, and says nothing of what comes after it.
        """
        if not is_last:
            self.forget()
            return inverters.count(window)
        if self._counted and self._counted.gateway_id != window.site.gateway_id:
            self.forget()  # It was replaced.
        today = self.today if self.today and self.today.since_s == window.since_s else None
        found, earlier = _reports(window, today.at_s if today else window.since_s)
        # Time that passes changes little.
        if found == self._counted and 0 <= window.until_s - self._until_s < QUIET_S:
            return None
        rolled = None
        if today is not None and today.reports == earlier:
            later = window._replace(states=today.states, since_s=today.at_s, after_s=today.at_s)
            rolled = inverters.go_on(later, today)
        rolled = rolled or inverters.count(window)
        self.today, self._counted, self._until_s = rolled.today, found, window.until_s
        return rolled


def _reports(window: Window, at_s: int) -> tuple[_Reports, int]:
    """Return which reports are stored of a window, and how many of them up to an instant."""
    of = {"gateway": window.site.gateway_id, "since": from_epoch_s(window.since_s), "until": from_epoch_s(at_s)}
    newest, count, before = window.connection.execute(_STORED, of).one()
    return _Reports(window.site.gateway_id, window.since_s, newest, count), before
