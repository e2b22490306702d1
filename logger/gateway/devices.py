"""What is remembered of batteries and system devices from poll to poll: slow pages, states, who is silent.

Pages that are not asked for with each poll are due here; what has changed since the poll before becomes states and
events. Nothing here asks a gateway or reads a clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from logger.clock import to_epoch_s
from logger.errors import (
    EndpointMissingError,
    EndpointRefusedError,
    GatewayError,
    GatewayUnreachableError,
    NotAskedError,
)
from logger.gateway import equipment as pages
from logger.gateway.equipment import Equipment
from logger.gateway.sources import batteries, system
from logger.gateway.sources.batteries import Listed, Remembered
from logger.gateway.sources.system import States
from logger.readings import Battery, Event, SiteState

#: A battery that this many lists in a row leave out, as the page of powers does, is gone.
REMOVED_AFTER_LISTS = 3
#: A battery is known to be there still after this long, where nothing else of it has changed.
SEEN_EVERY = timedelta(hours=1)
#: A page that did not come is due again after so many seconds.
RETRY_S = 900
#: No site has more devices or states: of more, what was heard of first is forgotten.
MOST_DEVICES = 500
#: This many polls in a row without a page of powers are no hiccup.
UNREAD_AFTER = 3


class Devices:
    """Remembers one gateway's batteries and system devices."""

    def __init__(self) -> None:
        self.states: States = {}
        self._due_s: dict[str, int] = {}
        self._devices: dict[str, Listed] = {}
        self._missing: dict[str, int] = {}  # serial -> from how many lists in a row
        self._listed_at_s = 0
        self._rated_w: dict[str, float] = {}
        self._known: States = {}  # the last states that were known
        self._contacts: States = {}  # as seen in the last answer
        self._silent: dict[str, datetime] = {}  # subject -> since when
        self._reported: set[str] = set()  # of which states were given since this start
        self._seen: dict[str, tuple[Battery, datetime]] = {}  # as given last, and when
        self._has_powers, self._unread = False, 0  # of the page of powers: it came, and did not for so many polls

    def go_on(self, states: States, serials: Iterable[str] = ()) -> None:
        """Go on from the states and the IQ Batteries before this start, which the database has."""
        self._devices = {serial: Listed() for serial in serials} | self._devices
        self.states = {**states, **self.states}
        self._known = {subject: state for subject, state in self.states.items() if state is not None}

    def due(self, equipment: Equipment, at_s: int, *, left_s: float, is_busy: bool, live: bool) -> list[str]:
        """Return the slow pages that are to be asked for in this poll; while the gateway is busy, none."""
        wanted = [] if is_busy else equipment.slow_pages()
        if left_s < pages.SLOW_PAGE_S and pages.ACB_INVENTORY in wanted:
            wanted.remove(pages.ACB_INVENTORY)
        # A clock that was set back must not let a page wait for years.
        due = [page for page in wanted if not 0 < self._due_s.get(page, 0) - at_s <= pages.DAY_S]
        return [*due, pages.LIVEDATA] if live and equipment.has_batteries else due

    def remember(self, documents: Mapping[str, Any], at_s: int) -> None:
        """Take in what the slow pages of a poll or a detection say."""
        for page, every_s in pages.EVERY_S.items():
            if page in documents:
                failed = isinstance(documents[page], GatewayError)
                self._due_s[page] = at_s + (min(every_s, RETRY_S) if failed else every_s)
        power = documents.get(pages.POWER)
        if pages.POWER in documents:
            self._unread = self._unread + 1 if isinstance(power, GatewayError) else 0
            self._has_powers = self._has_powers or self._unread == 0
        if pages.STATUS in documents:
            self._rated_w |= batteries.rated_powers(documents[pages.STATUS])
            bound(self._rated_w)
        inventory = documents.get(pages.INVENTORY)
        if isinstance(inventory, list):
            listed = batteries.encharges(inventory)
            with_power = batteries.serials(power)
            gone = self._devices.keys() - listed.keys() - with_power
            self._missing = {serial: self._missing.get(serial, 0) + 1 for serial in gone}
            for serial in [serial for serial, lists in self._missing.items() if lists >= REMOVED_AFTER_LISTS]:
                del self._devices[serial], self._missing[serial]
            self._devices |= {serial: batteries.listed_of(device) for serial, device in listed.items()}
            bound(self._devices)
            self._listed_at_s = at_s

    def remembered(self, ahead_s: int) -> Remembered:
        """Return what other pages are read with."""
        return Remembered(
            devices=self._devices,
            listed_at_s=self._listed_at_s,
            rated_w=self._rated_w,
            states=self.states,
            ahead_s=ahead_s,
        )

    def equipment(self, before: Equipment, documents: Mapping[str, Any], production_page: Any) -> Equipment:
        """Return what a site has after the documents of a poll or a detection; one that does not come changes nothing.

        Batteries that an inventory leaves out are still there while the page of powers lists them.
        """
        found = before
        if isinstance(inventory := documents.get(pages.INVENTORY), list):
            found = replace(
                found,
                has_encharge=bool(self._devices) or bool(batteries.serials(documents.get(pages.POWER))),
                has_enpower=bool(batteries.devices(inventory, "ENPOWER")),
                has_collar=bool(batteries.devices(inventory, "COLLAR")),
                is_unknown=False,
            )
        elif isinstance(inventory, (EndpointMissingError, EndpointRefusedError, NotAskedError)):
            found = replace(found, is_unknown=False)
        if isinstance(generator := documents.get(pages.GENERATOR), dict) and "present" in generator:
            found = replace(found, has_generator=generator["present"] == 1)
        if (count := pages.acb_count(production_page)) is not None:
            found = replace(found, has_acb=count > 0)
        return found

    def is_unmeasured(self, power: Any) -> bool:
        """Return whether the page of powers is not to be had, rather than late once or twice."""
        is_late = isinstance(power, GatewayUnreachableError) and self._has_powers
        return isinstance(power, GatewayError) and (not is_late or self._unread >= UNREAD_AFTER)

    def changed(self, found: States, at: datetime) -> tuple[list[SiteState], list[Event]]:
        """Return the states that have changed, and the events of grid and generator (R13, R14)."""
        now: States = {}
        for subject, state in found.items():
            if subject.startswith("contact ") and not subject.endswith(" name"):
                seen, self._contacts[subject] = self._contacts.get(subject), state
                if subject in self.states and state not in {seen, self.states[subject]}:
                    continue  # Seen once.
            now[subject] = state
        before, known = self.states, dict(self._known)
        self.states = before | now
        self._known |= {subject: state for subject, state in now.items() if state is not None}
        changes = [
            SiteState(at=at, subject=subject, state=state)
            for subject, state in now.items()
            if state != before.get(subject) or (subject not in self._reported and state is not None)
        ]
        self._reported |= now.keys()
        for remembered in (self.states, self._known, self._contacts):
            bound(remembered)
        self._reported &= self.states.keys()
        return changes, _events(known, self._known, at)

    def news(self, listed: Iterable[Battery], at: datetime) -> list[Battery]:
        """Return the batteries of a list of which something has changed, or that were not seen for an hour."""
        found = []
        for battery in listed:
            before, seen_at = self._seen.get(battery.serial, (None, at))
            if battery != before or at - seen_at >= SEEN_EVERY:
                self._seen[battery.serial] = battery, at
                found.append(battery)
        bound(self._seen)
        return found

    def silence(self, heard: Mapping[str, str | None], at: datetime) -> list[Event]:
        """Return who has fallen silent, and who is back (R9); who could not be heard is as before."""
        events = []
        for subject, why in heard.items():
            detail = why
            if why is None and subject in self._silent:
                minutes = (to_epoch_s(at) - to_epoch_s(self._silent.pop(subject))) // 60
                detail = f"it reports again, after {minutes} min"
            elif why is None or subject in self._silent:
                continue
            else:
                self._silent[subject] = at
            events.append(Event(at=at, kind="battery_silent", subject=subject, detail=detail or ""))
        bound(self._silent)
        return events


def bound(remembered: dict[Any, Any], most: int = MOST_DEVICES) -> None:
    """Forget what was heard of first, where a gateway names others without end."""
    for key in list(remembered)[: max(0, len(remembered) - most)]:
        del remembered[key]


def _events(before: States, now: States, at: datetime) -> list[Event]:
    events = []
    was_lost, is_lost = system.is_grid_lost(before), system.is_grid_lost(now)
    if is_lost is not None and is_lost is not (was_lost or False):
        kind = "grid_lost" if is_lost else "grid_back"
        words = (f"{name} is {now[name]}" for name in ("grid_relay", "grid_mode") if now.get(name))
        events.append(Event(at=at, kind=kind, subject="gateway", detail=", ".join(words)))
    ran, runs = before.get("generator"), now.get("generator")
    if runs is not None and runs != ran and "running" in {ran, runs}:
        kind = "generator_started" if runs == "running" else "generator_stopped"
        events.append(Event(at=at, kind=kind, subject="generator", detail=f"it was {ran or 'not known'} before"))
    return events
