"""Pings whoever notices when pings stop: only while polls are stored, and at its /fail where all is not well.

A thread of its own, so that neither a poll nor a notification waits for it, and no ping for a slow mail server.
"""

import logging
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import urllib3

from logger.clock import running_s
from logger.collector.work import log_once
from logger.errors import SettingsError
from logger.settings.notify import HealthcheckSettings
from logger.status import Health

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
CRITICAL = 2


class HealthPinger(threading.Thread):
    """Pings at its pace until it is stopped.

    ``stored`` counts the polls that the database took; ``health`` judges as `envoylog health` does. What is critical in
    the first ``patience_s`` may be what was missed before.
    """

    def __init__(
        self,
        settings: HealthcheckSettings,
        stored: Callable[[], int],
        health: Callable[[], Health],
        *,
        patience_s: float,
        running_s: Callable[[], float] = running_s,
    ) -> None:
        super().__init__(name="healthcheck", daemon=True)
        self._settings, self._stored, self._health = settings, stored, health
        self._running_s, self._patient_until_s = running_s, running_s() + patience_s
        self._pinged = 0  #: how many polls were stored at the last ping
        self._failing = ""
        self._pool = urllib3.PoolManager(num_pools=1)
        self._is_over = threading.Event()

    def run(self) -> None:
        """Ping now and then; the next ping is the retry."""
        guarded = log_once("healthcheck", "all")
        # The first poll that is stored is worth a ping soon.
        while not self._is_over.wait(self._settings.every_s if self._pinged else min(10, self._settings.every_s)):
            guarded(self.look)

    def stop(self) -> None:
        """End soon."""
        self._is_over.set()

    def look(self) -> None:
        """Ping if polls were stored since the last ping; where something is critical, say that instead."""
        stored, health = self._stored(), self._health()
        if health.level == CRITICAL and self._running_s() >= self._patient_until_s:
            self._ping("/fail")
        elif health.level != CRITICAL and stored > self._pinged and self._ping(""):
            self._pinged = stored

    def _ping(self, path: str) -> bool:
        """Return whether a ping was taken; a change of that is logged."""
        try:
            url = urlsplit(self._settings.secret.read())
            target = url._replace(path=url.path.rstrip("/") + path).geturl()
            response = self._pool.request(
                "GET", target, timeout=PATIENCE_S, retries=urllib3.Retry(connect=0, read=0, redirect=3, other=0),
                preload_content=False,
            )  # fmt: skip
            response.close()
            problem = "" if 200 <= response.status < 300 else f"it answered {response.status}"
        except SettingsError as error:
            problem = str(error)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            problem = _in_words(getattr(error, "reason", None) or error)
        if problem != self._failing:
            if problem:
                log.error("the health check was not pinged: %s", problem)
            else:
                log.info("the health check is pinged again")
        self._failing = problem
        return not problem


def _in_words(error: Exception) -> str:
    """Return why a ping was not taken; an error's own words may show the URL."""
    if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return f"no answer within {PATIENCE_S:.0f} s"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "its certificate can't be trusted"
    if isinstance(error, ValueError):
        return "this is no URL"
    return "it can't be reached"
