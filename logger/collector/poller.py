"""One gateway, asked slot by slot; each poll is handed to its keeper.

A poll that fails is a poll too, with its reason, and the next slot is the retry. Log lines are written on the edge of a
change, not per poll.

Walk: collector.service -> here -> gateway.client, then collector.keeper
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from logger.collector.keeper import MOST_MOVED, Keeper
from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayError,
    GatewayReplacedError,
    LoggerError,
    guarded,
)
from logger.gateway.client import Gateway
from logger.readings import ClockSet, Event, GatewayInfo, Outcome, Poll, SourceFailure

log = logging.getLogger(__name__)

#: failure -> the event that its first poll has, and the event's words
CHANGES: dict[type[LoggerError], tuple[str, str]] = {
    GatewayReplacedError: ("gateway_replaced", "another gateway answers; not asked until the configuration names it"),
    CertificateChangedError: (
        "certificate_change",
        "another certificate than the pinned one; not asked until it is accepted",
    ),
}


class Poller:
    """Polls one gateway; everything here belongs to the thread that polls."""

    def __init__(self, gateway: Gateway, keeper: Keeper) -> None:
        self.gateway = gateway
        self.keeper = keeper
        self.name = keeper.name
        self.last_error: LoggerError | None = None  #: why the last poll failed altogether
        self._events: list[Event] = []  #: of this machine, for the next poll
        self._clock_set: ClockSet | None = None  #: for the next poll
        #: how many polls were taken since the last on which the gateway's clock agreed with ours
        self._unproven = 0
        self._failed_by: type[LoggerError] | None = None  #: what the last failure was
        self._bug: type[Exception] | None = None  #: of this program, that was logged
        self._is_bound = False
        self._info: GatewayInfo | None = None
        self.failing_since: datetime | None = None  #: since when no poll measured anything
        self.failed_at: datetime | None = None  #: the last that did not
        self._failed_polls = 0
        self._lockout_reported = False

    def poll(self, at: datetime, *, inverters: bool) -> Poll:
        """Ask the gateway once, and hand over what it reports."""
        self._bind()
        if self.keeper.is_gateway_unknown:
            self.gateway.identify_again()
        poll = self._hand_over(self._ask(at, inverters=inverters))
        self._log_changes(poll)
        return poll

    def hang_up(self) -> None:
        """Close the connection; the next poll opens another one."""
        self.gateway.endpoints.http.forget_connection()

    def skip(self, at: datetime) -> None:
        """Record a slot in which the poll before was still running."""
        failure = SourceFailure(source="slot", error="the poll before was still running")
        self._hand_over(Poll(gateway_serial="", polled_at=at, took_s=0.0, failures=(failure,)))

    def clock_was_set(self, by_s: int, at: datetime) -> None:
        """Keep as an event that this machine's clock was set, to ``at``.

        The polls before move with it, back to the last one on which the gateway's clock agreed
        with ours: until then ours was right.
        """
        before, moved = at - timedelta(seconds=by_s), min(self._unproven, MOST_MOVED)
        detail = f"this machine's clock was set by {by_s:+d} s, from {before:%Y-%m-%d %H:%M:%S}; "
        detail += f"{moved} {'poll' if moved == 1 else 'polls'} moved"
        self._events.append(Event(at=at, kind="clock_set", subject="collector", detail=detail))
        self._clock_set = ClockSet(by_s=by_s + (self._clock_set.by_s if self._clock_set else 0), polls=moved)

    def _bind(self) -> None:
        """Bind the gateway to its serial, and production to its source, as before a restart."""
        identity = self.keeper.identity
        if self._is_bound or identity is None:
            return
        self._is_bound = True
        if self.gateway.known_serial is None:
            self.gateway.known_serial = identity.serial
        if identity.serial != self.gateway.known_serial:
            return
        self.gateway.devices.go_on(identity.states, identity.batteries)
        if identity.source is not None:
            self.gateway.previous = (identity.source, identity.firmware)

    def _hand_over(self, poll: Poll) -> Poll:
        poll = replace(poll, events=(*self._events, *poll.events), clock_set=self._clock_set)
        self._events, self._clock_set = [], None
        self._unproven = 0 if poll.clocks_agree else self._unproven + 1
        self.keeper.queue.append(poll)
        return poll

    def _ask(self, at: datetime, *, inverters: bool) -> Poll:
        started_s = self.gateway.elapsed()
        self.last_error = None
        found = guarded(lambda: self.gateway.poll(inverters=inverters, at=at), self._failure)
        if isinstance(found, Poll):
            self._info = found.info or self._info
            self._failed_by = self._bug = None
            return found
        self.last_error = failure = found
        events: tuple[Event, ...] = ()
        if type(failure) in CHANGES and type(failure) is not self._failed_by:
            kind, detail = CHANGES[type(failure)]
            events = (Event(at=at, kind=kind, subject="gateway", detail=detail),)
        self._failed_by = type(failure)
        return Poll(
            gateway_serial=self._info.serial if self._info else "",
            polled_at=at,
            took_s=self.gateway.elapsed() - started_s,
            failures=(SourceFailure(source="gateway", error=str(failure)),),
            events=events,
        )

    def _failure(self, error: Exception) -> LoggerError:
        """Return why a poll failed; a bug of this program costs that poll alone, and is logged once."""
        if isinstance(error, LoggerError):
            return error
        if type(error) is not self._bug:
            log.error("polling failed unexpectedly gateway=%s", self.name, exc_info=error)
        self._bug = type(error)
        self.hang_up()  # Something of the answer may be unread.
        return GatewayError(f"this program can't read what the gateway answers ({type(error).__name__}).")

    def _log_changes(self, poll: Poll) -> None:
        """Log when a gateway stops or starts answering, or changes."""
        for event in poll.events:
            log.warning("%s gateway=%s %s: %s", event.kind, self.name, event.subject, event.detail)
        if poll.outcome is Outcome.FAILED:
            self.failed_at = poll.polled_at
            # A gateway that comes back from a restart may lock us out only then.
            lockout = isinstance(self.last_error, AuthenticationError)
            if self.failing_since is None or (lockout and not self._lockout_reported):
                self.failing_since = self.failing_since or poll.polled_at
                self._lockout_reported = lockout
                log.warning("gateway=%s does not answer: %s", self.name, poll.error)
            self._failed_polls += 1
        elif self.failing_since is not None:
            minutes = (poll.polled_at - self.failing_since).total_seconds() / 60
            log.info("gateway=%s answers again after %.0f min polls_missed=%d", self.name, minutes, self._failed_polls)
            self.failing_since, self._failed_polls, self._lockout_reported = None, 0, False
