"""One gateway: who it is, what it is, and what it reports now.

A poll asks for the documents that this kind of gateway needs, one after the other within a time budget, and reads them.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from logger import errors
from logger.clock import Clock, time_zone, to_epoch_s, utc_now
from logger.gateway import equipment
from logger.gateway import profile as profiles
from logger.gateway.anomalies import Anomaly, Watch
from logger.gateway.claims import Claims
from logger.gateway.devices import Devices
from logger.gateway.discovery import Relocation
from logger.gateway.endpoints import Endpoints
from logger.gateway.parse import table
from logger.gateway.poll import read
from logger.gateway.profile import Documents, ProductionFrom, Profile
from logger.gateway.tls import Deadline
from logger.gateway.token import Token
from logger.readings import Event, GatewayInfo, Outcome, Poll, Source, SourceFailure
from logger.settings import GatewaySettings, Settings

log = logging.getLogger(__name__)

DETECTION_S = 60.0
IDENTIFY_EVERY = timedelta(hours=1)
DETECT_EVERY = timedelta(days=1)
#: A poll that takes more than this share of its time is worth an event.
SLOW_SHARE = 0.5


class Gateway:
    """Polls one gateway; keeps its connection, its session and the sources of its streams."""

    def __init__(
        self, settings: Settings, gateway: GatewaySettings, environ: Mapping[str, str], *, clock: Clock = utc_now
    ) -> None:
        self.settings = gateway
        self.budget_s = max(4.0, 0.9 * settings.poll_every_s)
        self.clock = clock
        self.elapsed = monotonic
        self.endpoints = Endpoints(gateway, settings.state_dir, environ, clock)
        self.relocation = Relocation(self.endpoints, self.identify, environ)
        self.known_serial = gateway.serial
        self.claims = Claims()
        #: the source and firmware of production before this start, from the database
        self.previous: tuple[str, str] | None = None
        self.devices = Devices()
        self._watch = Watch()
        self._ahead_s = 0  # how far the gateway's clock runs ahead of ours
        self._detected_with: dict[str, Any] = {}  # pages of batteries that the detection of this poll had
        self._time_zone: str | None = None
        self._identified_at: datetime | None = None
        self._detected_at: datetime | None = None

    @property
    def profile(self) -> Profile | None:
        """What this gateway is, once that is known."""
        return self.endpoints.profile

    def identify(self, deadline: Deadline | None = None) -> GatewayInfo:
        """Return who answers, asking /info anew.

        Raises:
            GatewayUnreachableError: nobody, or something that is no gateway.
            GatewayReplacedError: another gateway than the known one.
        """
        deadline = deadline or Deadline(self.budget_s)
        info = profiles.parse_info(self.endpoints.open_text(profiles.INFO, deadline))
        if self.known_serial is not None and info.serial != self.known_serial:
            raise errors.GatewayReplacedError(
                f"Gateway {self.settings.name!r} should be {self.known_serial}, but {info.serial} "
                f"answers at {self.endpoints.http.address.host}; if it was replaced, write "
                f'serial = "{info.serial}" into the configuration, else correct host.'
            )
        self.claims.take(info.serial, self.settings.name)
        self.known_serial = info.serial
        self.endpoints.belong_to(info)
        return info

    def try_token(self, token: Token) -> GatewayInfo:
        """Return who answers; from firmware 7 on it takes this token, which is not kept yet.

        Raises:
            TokenError: it is another gateway's, over, or refused.
            GatewayUnreachableError: nobody answers.
        """
        deadline, endpoints = Deadline(self.budget_s), self.endpoints
        info = self.identify(deadline)
        if info.has_web_tokens:
            token.check(info.serial, self.clock())
            if not endpoints.token_auth.takes(token, deadline):
                raise endpoints.token_auth.refusal()
        return info

    def identify_again(self) -> None:
        """Let the next poll begin with who it is that answers, and report it."""
        self._identified_at = None

    def detect(self, deadline: Deadline) -> Profile:
        """Return what this gateway is, asking for whatever decides it when it is time to.

        A GatewayError is not final: a document that decides did not come, ask again.
        """
        info, before, now = self.identify(deadline), self.profile, self.clock()
        if before is None:
            # Finding out what it is takes many documents, and is worth missing slots for.
            deadline.extend(max(0.0, DETECTION_S - self.budget_s))
        changed = before is not None and before.info.firmware != info.firmware
        is_due = changed or self._detected_at is None or now - self._detected_at >= DETECT_EVERY
        if is_due:
            self.endpoints.forget(firmware_changed=changed)
        documents = {profiles.METERS: self.endpoints.get_deciding(profiles.METERS, deadline)}
        info = profiles.with_meters(info, profiles.known(documents, profiles.METERS))
        if self._local(now) is None:
            name = table(self.endpoints.get(profiles.HOME, deadline)).get("timezone")
            with contextlib.suppress(errors.SettingsError):  # A convenience that costs no poll.
                self._time_zone = time_zone(name).key if isinstance(name, str) else None
        info = replace(info, time_zone=self._time_zone)
        if before is None or is_due or before.is_provisional or before.info.meters != info.meters:
            profile = self._detected(info, documents, deadline)
            self._detected_at = now
        else:
            profile = replace(before, info=info)
        self.endpoints.profile, self._identified_at = profile, now
        return profile

    def _detected(self, info: GatewayInfo, documents: dict[str, Any], deadline: Deadline) -> Profile:
        """Ask for one deciding document after the other until the profile is clear."""
        while (path := profiles.next_deciding_endpoint(info, documents)) is not None:
            is_of_batteries = path in equipment.PAGES
            get = self.endpoints.get if is_of_batteries else self.endpoints.get_deciding
            documents[path] = get(path, deadline)
        self._detected_with = {path: found for path, found in documents.items() if path in equipment.PAGES}
        self.devices.remember(self._detected_with, to_epoch_s(self.clock()))
        before = self.profile
        keep_v1 = self.previous == (Source.V1, info.firmware) or (
            before is not None and before.production is ProductionFrom.V1 and before.info.firmware == info.firmware
        )
        found = profiles.detect(info, documents, keep_v1=keep_v1)
        # What does not come changes nothing: batteries of before are still there.
        page = profiles.known(documents, profiles.PRODUCTION_JSON)
        kept = found.equipment if before is None else before.equipment
        found = replace(found, equipment=self.devices.equipment(kept, self._detected_with, page))
        if before is None or found.production is not before.production:
            who = f"gateway={self.settings.name} serial={info.serial} firmware={info.firmware}"
            consumption = found.consumption or "nothing"
            log.info("%s production from %s, consumption from %s", who, found.production, consumption)
        return found

    def poll(self, *, at: datetime, inverters: bool) -> Poll:
        """Return what the gateway reports, under the instant ``at``.

        After a poll that gave nothing, the next one begins with who it is that answers. GatewayError: it could not even
        be asked: unreachable, another one, not for us.
        """
        deadline = Deadline(self.budget_s)
        try:
            self.relocation.look(self.known_serial, at, deadline)
            poll = self._poll(at, deadline, inverters=inverters)
        except errors.GatewayError as error:
            self._identified_at = None
            self.relocation.failed(error)
            raise
        if poll.outcome is Outcome.FAILED:
            self._identified_at = None
            self.relocation.failed()
        else:
            self.relocation.failed_polls = 0
        moves, self.relocation.events = self.relocation.events, []
        return replace(poll, events=(*moves, *poll.events))

    def _poll(self, at: datetime, deadline: Deadline, *, inverters: bool) -> Poll:
        started = self.elapsed()
        self._probe_while_locked_out(deadline)
        events: list[Event] = []
        failures: list[SourceFailure] = []
        info = None
        due = self._identified_at is None or self.clock() - self._identified_at >= IDENTIFY_EVERY
        if due or self.profile is None:
            try:
                info = self.detect(deadline).info
                now_s = to_epoch_s(self.clock())
                events += self._watch.clock_skew(info.gateway_time_s, now_s, at)
                self._ahead_s = 0 if info.gateway_time_s is None else info.gateway_time_s - now_s
            except (errors.GatewayReplacedError, errors.AuthenticationError):
                raise
            except errors.GatewayError as error:
                if self.profile is None or type(error) is errors.GatewayUnreachableError:
                    raise
                failures.append(SourceFailure(source="identity", error=str(error)))
        assert self.profile is not None  # noqa: S101 - detected, or raised above
        with_inverters = inverters and not self.is_nightly_outage(at)
        at_s = to_epoch_s(at)
        documents = self._documents(self.profile, deadline, at, with_inverters=with_inverters)
        frozen = self._watch.frozen(profiles.known(documents, profiles.READINGS), at_s)
        remembered = self.devices.remembered(self._ahead_s)
        parts = read(self.profile, documents, at_s, frozen, with_inverters=with_inverters, remembered=remembered)
        took_s = self.elapsed() - started
        states, changes = self.devices.changed(parts.states, at)
        events += [*changes, *self.devices.silence(parts.heard, at)]
        parts.anomalies += self._watch.clamp(parts.production, parts.inverters, at)
        events += self._watch.begun(self._anomalies(parts.anomalies, documents, at, took_s), at, self._local(at))
        if inverters:
            events += self._watch.inverter_list(parts.inverters, at)
        return Poll(
            gateway_serial=self.profile.info.serial,
            polled_at=at,
            took_s=took_s,
            production=tuple(parts.production),
            consumption=tuple(parts.consumption),
            meter_readings=tuple(parts.meter_readings),
            inverters=tuple(parts.inverters),
            batteries=tuple(parts.batteries),
            storage=tuple(parts.storage),
            site_states=tuple(states),
            battery_devices=tuple(self.devices.news(parts.battery_devices, at)),
            failures=(*failures, *parts.failures),
            events=tuple(events),
            info=info,
        )

    def _probe_while_locked_out(self, deadline: Deadline) -> None:
        """While we wait for a person, ask /info alone, to see whether the gateway is there."""
        if self.endpoints.token_auth.lockout is None:
            return
        info = self.identify(deadline)
        if self.profile is not None and info.firmware != self.profile.info.firmware:
            self._identified_at = None
        if info.has_web_tokens:
            self.endpoints.token_auth.open(info.serial, deadline)
        else:
            self.endpoints.token_auth.lockout = None

    def _documents(self, profile: Profile, deadline: Deadline, at: datetime, *, with_inverters: bool) -> Documents:
        """Ask for what a poll needs; when nobody is there, more would only wait longer."""
        documents, self._detected_with = self._detected_with, {}
        is_there, busy, live = False, self.is_nightly_outage(at), self.settings.livedata
        due = self.devices.due(profile.equipment, to_epoch_s(at), left_s=deadline.left_s, is_busy=busy, live=live)
        due += [profiles.PRODUCTION_JSON] if self._watch.is_inactive else []
        while (path := profiles.next_endpoint(profile, documents, with_inverters=with_inverters, due=due)) is not None:
            document = documents[path] = self.endpoints.get(path, deadline)
            is_there = is_there or not isinstance(document, errors.GatewayError)
            # Without device_data there still is the plain list of inverters.
            if type(document) is errors.GatewayUnreachableError and not is_there and path != profiles.DEVICE_DATA:
                raise document
        self.devices.remember(documents, to_epoch_s(at))
        found = self.devices.equipment(
            profile.equipment, documents, profiles.known(documents, profiles.PRODUCTION_JSON)
        )
        if found != profile.equipment:
            self.endpoints.profile = replace(profile, equipment=found)
        return documents

    def _anomalies(self, found: list[Anomaly], documents: Documents, at: datetime, took_s: float) -> list[Anomaly]:
        """Add to what is odd in this poll what only shows here, and what the endpoints noticed."""
        if took_s > SLOW_SHARE * self.budget_s:
            detail = f"a poll took {took_s:.1f} s of the {self.budget_s:.0f} s that it has"
            found.append(Anomaly("slow_answers", "gateway", detail))
        power = documents.get(equipment.POWER)
        if self.profile is not None and self.profile.has_uncounted_battery and self.devices.is_unmeasured(power):
            detail = f"no CT counts what the batteries give and take, and {equipment.POWER} can't be read"
            found.append(Anomaly("battery_unmeasured", "batteries", f"{detail}: consumption is not known"))
        page, local = profiles.known(documents, profiles.PRODUCTION_JSON), self._local(at)
        if local is not None and page is not None:
            found += self._watch.day_count(page, local.date())
        noticed, self.endpoints.anomalies = self.endpoints.anomalies, []
        return found + noticed

    def _local(self, at: datetime) -> datetime | None:
        """Return an instant as the site's clocks show it; None while its zone is not known."""
        zone = self.settings.time_zone or self._time_zone
        return None if zone is None else at.astimezone(time_zone(zone))

    def is_nightly_outage(self, at: datetime) -> bool:
        """Return whether the gateway is in its nightly restart, when long documents hang it."""
        local = self._local(at)
        return local is not None and "22:58" <= f"{local:%H:%M}" < "23:06"


def unreachable(settings: GatewaySettings, error: errors.GatewayError) -> errors.GatewayError:
    """Return an error that names the gateway and what to do, for people."""
    if type(error) is not errors.GatewayUnreachableError:
        return error
    return errors.GatewayUnreachableError(
        f"Gateway {settings.name!r} at {settings.host} can't be read: {error} Is the host right, "
        "and is the gateway on this network?"
    )
