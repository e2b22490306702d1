"""A gateway's pages: which of them it has, and which meters' readings stand still."""

from datetime import datetime, timedelta
from typing import Any

from logger.clock import Clock
from logger.errors import GatewayError
from logger.gateway.session import Session
from logger.gateway.sources import meters
from logger.gateway.transport import Deadline

#: A page that is missing or not for us is asked for again after so long; one that worked, sooner.
ASK_AGAIN_AFTER = timedelta(days=1)
ASK_WORKING_AGAIN_AFTER = timedelta(hours=1)
#: A meter whose own clock stands still this long says nothing new.
FROZEN_AFTER_S = 60


class Pages:
    """Asks for pages, and remembers which ones are not to be had."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self.session = session
        self.clock = clock
        self._unavailable: dict[str, tuple[datetime, GatewayError]] = {}
        self._worked: set[str] = set()
        self._refused_since: dict[str, datetime] = {}
        self._reading_times: dict[int, tuple[int, int]] = {}

    def forget(self, *, firmware_changed: bool = False) -> None:
        """Ask for every page again; under another firmware none has worked yet."""
        self._unavailable.clear()
        if firmware_changed:
            self._worked.clear()
            self._refused_since.clear()

    def worked(self, path: str) -> None:
        """Remember that a page came."""
        self._worked.add(path)
        self._refused_since.pop(path, None)

    def is_refused_for_good(self, path: str) -> bool:
        """Return whether a page that is refused is not for us: one that worked gets a day."""
        since = self._refused_since.setdefault(path, self.clock())
        return path not in self._worked or self.clock() - since >= ASK_AGAIN_AFTER

    def is_unavailable(self, path: str) -> GatewayError | None:
        """Return why a page is not asked for at present, or None."""
        found = self._unavailable.get(path)
        if found is None:
            return None
        since, error = found
        patience = ASK_WORKING_AGAIN_AFTER if path in self._worked else ASK_AGAIN_AFTER
        if self.clock() - since >= patience:
            del self._unavailable[path]
            return None
        return error

    def set_unavailable(self, path: str, error: GatewayError) -> None:
        """Do not ask for a page for a while: it is missing, or not for us."""
        self._unavailable[path] = (self.clock(), error)

    def page(self, path: str, deadline: Deadline) -> Any:
        """Return a page's JSON.

        Raises:
            GatewayError: as ``Session.json``.
        """
        made = self.session.json(path, deadline)
        self.worked(path)
        return made

    def frozen(self, document: Any, now_s: int) -> frozenset[int]:
        """Return the slots whose own reading time has stood still for a minute."""
        standing = set()
        for eid, timestamp_s in meters.times(document):
            before, since_s = self._reading_times.get(eid, (None, now_s))
            if before != timestamp_s:
                since_s = now_s
            self._reading_times[eid] = (timestamp_s, since_s)
            if now_s - since_s >= FROZEN_AFTER_S:
                standing.add(eid)
        return frozenset(standing)
