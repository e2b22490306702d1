"""One gateway: who it is, what it is, and what it says now.

``poll`` asks for the pages that this kind of gateway needs, one after the other within a time
budget. A page that fails costs what depends on it; the others still deliver.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

from logger.clock import Clock, time_zone, to_epoch_s, utc_now
from logger.errors import (
    AuthenticationError,
    EndpointMissingError,
    EndpointRefusedError,
    GatewayError,
    GatewayReplacedError,
    GatewayUnreachableError,
    MalformedDocumentError,
    NotReadyError,
    SettingsError,
)
from logger.gateway import discovery
from logger.gateway import kind as kinds
from logger.gateway.enlighten import Enlighten
from logger.gateway.kind import Kind, ProductionFrom
from logger.gateway.oddities import Oddities, Oddity, Today
from logger.gateway.onepoll import OnePoll
from logger.gateway.pages import Pages
from logger.gateway.parse import document as parse_document
from logger.gateway.parse import table
from logger.gateway.quirks import firmware_of
from logger.gateway.session import Session
from logger.gateway.tokens import Tokens
from logger.gateway.transport import Deadline, Transport
from logger.gateway.whereabouts import Whereabouts
from logger.readings import (
    Event,
    GatewayInfo,
    InverterSample,
    Outcome,
    Poll,
    Source,
    SourceFailure,
)
from logger.settings import GatewaySettings, Settings

log = logging.getLogger(__name__)

DETECTION_S = 60.0
IDENTIFY_EVERY = timedelta(hours=1)
DETECT_EVERY = timedelta(days=1)
CLOCK_SKEW_S = 60
#: A poll that takes more than this share of its time is worth telling.
SLOW_SHARE = 0.5
REMOVED_AFTER_LISTS = 3

Document = TypeVar("Document")


class Gateway:
    """Polls one gateway; keeps its connection, its session and the sources of its streams."""

    def __init__(
        self,
        settings: Settings,
        gateway: GatewaySettings,
        environ: Mapping[str, str],
        *,
        clock: Clock = utc_now,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self.settings = gateway
        self.budget_s = max(4.0, 0.9 * settings.poll_every_s)
        self.clock = clock
        self.elapsed = elapsed
        tokens = Tokens(gateway, settings.state_dir, Enlighten(environ), clock)
        self.session = Session(gateway, Transport(gateway, settings.state_dir), tokens, clock)
        self.whereabouts = Whereabouts(self.session, discovery.interfaces_of(environ), clock)
        self.known_serial = gateway.serial
        #: the source and firmware of production before this start, from the database
        self.previous: tuple[str, str] | None = None
        self.kind: Kind | None = None
        self._time_zone: str | None = None
        self._identified_at: datetime | None = None
        self._detected_at: datetime | None = None
        self._is_provisional = False
        self.pages = Pages(self.session, clock)
        self._oddities = Oddities()
        self._today = Today()
        self._skew_s = 0
        self._missing: dict[str, int] = {}

    # ------------------------------------------------------------------ who and what it is

    def identify(self, deadline: Deadline | None = None) -> GatewayInfo:
        """Return who answers, asking /info anew.

        Raises:
            GatewayUnreachableError: nobody, or something that is no gateway.
            GatewayReplacedError: another gateway than the known one.
        """
        deadline = deadline or Deadline(self.budget_s)
        info = kinds.parse_info(self.session.open_text(kinds.INFO, deadline))
        if self.known_serial is not None and info.serial != self.known_serial:
            raise GatewayReplacedError(
                f"Gateway {self.settings.name!r} should be {self.known_serial}, but {info.serial} "
                f"answers at {self.session.transport.address.host}; if it was replaced, write "
                f'serial = "{info.serial}" into the configuration, else correct host.'
            )
        self.known_serial = info.serial
        self.session.identify_as(info)
        return info

    def detect(self, deadline: Deadline) -> Kind:
        """Return what this gateway is, asking for whatever decides it.

        Raises:
            GatewayError: a page that decides did not come; not final, ask again.
        """
        info = self.identify(deadline)
        if self.kind is None:
            # Finding out what it is takes many pages, and is worth missing slots for.
            deadline.extend(max(0.0, DETECTION_S - self.budget_s))
        changed = self.kind is not None and self.kind.info.firmware != info.firmware
        now = self.clock()
        if changed or self._detected_at is None or now - self._detected_at >= DETECT_EVERY:
            self.pages.forget(firmware_changed=changed)
        documents: dict[str, Any] = {}
        info = self._with_meters(info, documents, deadline)
        if self._needs_detection(info, now):
            self._is_provisional = False
            self.kind = self._detect(info, documents, deadline)
            self._detected_at = now
        else:
            assert self.kind is not None  # noqa: S101 - detected before
            self.kind = Kind(
                info=info,
                firmware=self.kind.firmware,
                production=self.kind.production,
                consumption=self.kind.consumption,
                meters=self.kind.meters,
            )
        self._identified_at = now
        return self.kind

    def _needs_detection(self, info: GatewayInfo, now: datetime) -> bool:
        if self.kind is None or self._detected_at is None:
            return True
        before = self.kind.info
        return (
            info.firmware != before.firmware
            or info.meters != before.meters
            or now - self._detected_at >= DETECT_EVERY
            or self._is_provisional
        )

    def _with_meters(
        self, info: GatewayInfo, documents: dict[str, Any], deadline: Deadline
    ) -> GatewayInfo:
        """Add the CTs and the time zone to what /info says."""
        page = documents[kinds.METERS] = self._optional(kinds.METERS, deadline)
        found = kinds.parse_meters(page)
        enabled = [one for one in found if kinds.is_enabled(one)]
        counts = [one.phase_count for one in enabled if one.phase_count]
        if self._time_zone is None and self.settings.time_zone is None:
            self._time_zone = self._zone(deadline)
        return GatewayInfo(
            serial=info.serial,
            part_number=info.part_number,
            firmware=info.firmware,
            is_metered=info.is_metered,
            has_web_tokens=info.has_web_tokens,
            gateway_time_s=info.gateway_time_s,
            phase_mode=next((one.phase_mode for one in enabled if one.phase_mode), None),
            phase_count=max(counts, default=None),
            time_zone=self._time_zone,
            meters=found,
        )

    def _zone(self, deadline: Deadline) -> str | None:
        try:
            name = table(self._optional(kinds.HOME, deadline)).get("timezone")
            if not isinstance(name, str):
                return None
            time_zone(name)
        except (GatewayError, SettingsError):
            return None  # A convenience: it must not cost a poll.
        return name

    def _detect(self, info: GatewayInfo, documents: dict[str, Any], deadline: Deadline) -> Kind:
        """Ask for one deciding page after the other until the kind is clear."""
        keep_v1 = self.previous == (Source.V1, info.firmware) or (
            self.kind is not None
            and self.kind.production is ProductionFrom.V1
            and self.kind.info.firmware == info.firmware
        )
        found = kinds.detect(info, documents, keep_v1=keep_v1)
        for path in (kinds.READINGS, kinds.PRODUCTION_JSON, kinds.PRODUCTION, kinds.V1):
            if path == kinds.READINGS and not any(map(kinds.is_enabled, info.meters)):
                continue
            if path == kinds.PRODUCTION:
                if documents.get(kinds.PRODUCTION_JSON) is None:
                    documents[path] = self._production_page(deadline)
            else:
                documents[path] = self._optional(path, deadline)
            found = kinds.detect(info, documents, keep_v1=keep_v1)
            if kinds.is_decided(found):
                break
        if self.kind is None or found.production is not self.kind.production:
            log.info(
                "gateway=%s serial=%s firmware=%s production from %s, consumption from %s",
                self.settings.name,
                info.serial,
                info.firmware,
                found.production,
                found.consumption or "nothing",
            )
        return found

    def _production_page(self, deadline: Deadline) -> Any:
        """Return /production: JSON on newer firmware, an HTML page on 3.x, None where absent."""
        try:
            body = self.session.text(kinds.PRODUCTION, deadline)
        except (EndpointMissingError, EndpointRefusedError):
            return None
        try:
            return parse_document(body)
        except MalformedDocumentError:
            return body

    def _optional(self, path: str, deadline: Deadline) -> Any:
        """Return a page's JSON, or None where this gateway does not have it or refuses it.

        A page that worked and is refused now changes no kind for a day: a gateway that lets
        nobody in has lost no meter. Firmware 3 answers pages that it lacks with HTML. Newer
        firmware does so for a while when it is unwell: that does not change a kind that is
        known, and at the start it is only believed until the next hour.

        Raises:
            GatewayUnreachableError, AuthenticationError: not final, unlike a missing page.
        """
        if self.pages.is_unavailable(path) is not None:
            return None
        try:
            return self.pages.page(path, deadline)
        except (EndpointMissingError, EndpointRefusedError) as error:
            refused = isinstance(error, EndpointRefusedError)
            if refused and not self.pages.is_refused_for_good(path):
                raise NotReadyError(f"{path}: {error}") from error
            self.pages.set_unavailable(path, error)
        except MalformedDocumentError as error:
            old = self.session.info is not None and firmware_of(self.session.info.firmware) < (4,)
            if not old and self.kind is not None:
                raise NotReadyError(f"{path}: {error}") from error
            self._is_provisional = not old
            if old:
                self.pages.set_unavailable(path, error)
        return None

    # ------------------------------------------------------------------------ what it says

    def poll(self, *, at: datetime, inverters: bool) -> Poll:
        """Return what the gateway says, under the instant ``at``.

        After a poll that gave nothing, the next one begins with who it is that answers.

        Raises:
            GatewayError: it could not even be asked: unreachable, another one, not for us.
        """
        deadline = Deadline(self.budget_s)
        try:
            self.whereabouts.look(self.known_serial, at, self.identify, deadline)
            made = self._poll(at, deadline, inverters=inverters)
        except GatewayError as error:
            self._identified_at = None
            self.whereabouts.failed(error)
            raise
        if made.outcome is Outcome.FAILED:
            self._identified_at = None
            self.whereabouts.failed()
        else:
            self.whereabouts.answered()
        return replace(made, events=(*self.whereabouts.told(), *made.events))

    def _poll(self, at: datetime, deadline: Deadline, *, inverters: bool) -> Poll:
        started = self.elapsed()
        self._refuse_waiting(deadline)
        events: list[Event] = []
        failures: list[SourceFailure] = []
        info = None
        due = self._identified_at is None or self.clock() - self._identified_at >= IDENTIFY_EVERY
        if due or self.kind is None:
            try:
                info = self.detect(deadline).info
                events += self._skew(info, at)
            except (GatewayReplacedError, AuthenticationError):
                raise
            except GatewayError as error:
                if self.kind is None or type(error) is GatewayUnreachableError:
                    raise
                failures.append(SourceFailure(source="identity", error=str(error)))
        assert self.kind is not None  # noqa: S101 - detected, or raised above
        poll = OnePoll(self.pages, self.kind, at, deadline, failures)
        poll.ask(inverters=inverters and not self.is_nightly_outage(at))
        took_s = self.elapsed() - started
        events += self._odd(poll, at, took_s)
        if inverters:
            events += self._changes(poll.inverters, at, complete=poll.inverters_complete)
        return Poll(
            gateway_serial=self.kind.info.serial,
            polled_at=at,
            took_s=took_s,
            production=tuple(poll.production),
            consumption=tuple(poll.consumption),
            meter_readings=tuple(poll.readings),
            inverters=tuple(poll.inverters),
            failures=tuple(failures),
            events=tuple(events),
            info=info,
        )

    def _refuse_waiting(self, deadline: Deadline) -> None:
        """While a person is needed, ask /info alone, to see whether the gateway is still there."""
        if self.session.needs_person is None:
            return
        info = self.identify(deadline)
        if self.kind is not None and info.firmware != self.kind.info.firmware:
            self._identified_at = None
        if info.has_web_tokens:
            self.session.open_session(deadline)
        else:
            self.session.needs_person = None

    def is_nightly_outage(self, at: datetime) -> bool:
        """Return whether the gateway is in its nightly restart, when long pages hang it."""
        if (zone := self._zone_name) is None:
            return False
        local = at.astimezone(time_zone(zone))
        minute = local.hour * 60 + local.minute
        return 22 * 60 + 58 <= minute < 23 * 60 + 6

    def _odd(self, poll: OnePoll, at: datetime, took_s: float) -> list[Event]:
        """Return events for what has become odd about this gateway's answers."""
        found = list(poll.odd)
        if took_s > SLOW_SHARE * self.budget_s:
            detail = f"a poll took {took_s:.1f} s of the {self.budget_s:.0f} s that it has"
            found.append(Oddity("slow_answers", "gateway", detail))
        if (zone := self._zone_name) is not None and (page := poll.production_page) is not None:
            found += self._today.oddities(page, at.astimezone(time_zone(zone)).date())
        return self._oddities.told(found, at)

    @property
    def _zone_name(self) -> str | None:
        return self.settings.time_zone or self._time_zone

    def _skew(self, info: GatewayInfo, at: datetime) -> list[Event]:
        if info.gateway_time_s is None:
            return []
        ahead_s = info.gateway_time_s - to_epoch_s(self.clock())
        was, self._skew_s = self._skew_s, ahead_s
        if abs(ahead_s) <= CLOCK_SKEW_S or abs(ahead_s - was) <= CLOCK_SKEW_S:
            return []
        side = "ahead of" if ahead_s > 0 else "behind"
        detail = f"the gateway's clock runs {abs(ahead_s)} s {side} ours"
        return [Event(at=at, kind="clock_skew", subject="gateway", detail=detail)]

    def _changes(
        self, reports: list[InverterSample], at: datetime, *, complete: bool
    ) -> list[Event]:
        """Return which units came, and which were missing from three whole lists in a row."""
        if not complete or not reports:
            return []
        listed = {one.serial for one in reports}
        if not self._missing:
            self._missing = dict.fromkeys(listed, 0)
            return []
        kinds_of: dict[str, str] = {}
        for serial in sorted(listed | self._missing.keys()):
            if serial in listed:
                if serial not in self._missing:
                    kinds_of[serial] = "inverter_appeared"
                self._missing[serial] = 0
            else:
                self._missing[serial] += 1
                if self._missing[serial] >= REMOVED_AFTER_LISTS:
                    del self._missing[serial]
                    kinds_of[serial] = "inverter_removed"
        detail = f"{len(listed)} inverters are listed"
        return [
            Event(at=at, kind=kind, subject=serial, detail=detail)
            for serial, kind in kinds_of.items()
        ]


def unreachable(settings: GatewaySettings, error: GatewayError) -> GatewayError:
    """Return an error that names the gateway and what to do, for people."""
    if type(error) is not GatewayUnreachableError:
        return error
    return GatewayUnreachableError(
        f"Gateway {settings.name!r} at {settings.host} can't be read: {error} Is the host right, "
        "and is the gateway on this network?"
    )
