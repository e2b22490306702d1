"""Which panels a gateway has on a day: those that are heard, those that are missing, and those that are gone.

A panel is gone when the gateway no longer lists it, or when another unit came in its place.

Walk: inverter_daily, inverters, events -> here -> panel_site
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, func, select

from logger.clock import local_day, to_epoch_s
from logger.rollups.site import Site
from logger.store.models import EVENTS, INVERTER_DAILY, INVERTER_SAMPLES, INVERTERS

#: A panel that has been silent for longer is no longer waited for; one that was removed is still shown for so long.
GIVEN_UP_DAYS, SHOWN_DAYS = 365, 30
#: A unit that appears so many days before or after another fell silent is in its place, and surely so soon after it was
#: no longer listed.
BEFORE_DAYS, AFTER_DAYS, SWAP_DAYS = 2, 14, 2


class PanelList:
    """The panels of a gateway through the days from ``since`` on."""

    def __init__(self, connection: Connection, site: Site, since: date) -> None:
        self._connection, self._site = connection, site
        self._first, self._last = self._read_days()
        self._heard = {serial: day.toordinal() for serial, day in self._read_heard(since)}
        self._changes = self._read_changes()
        self._seen = self._read_seen()

    def listed(self, day: int, heard: Iterable[str]) -> dict[str, bool]:
        """Return the panels that were heard on a day or are missing on it, and whether they are still waited for."""
        self._heard |= dict.fromkeys(heard, day)
        missing = {serial: last for serial, last in self._heard.items() if last < day}
        gone = {serial for serial in missing if not self._is_listed(serial, day)}
        gone |= self._replaced(day, missing, gone)
        found: dict[str, bool] = {}
        for serial, last in self._heard.items():
            if day - last <= (SHOWN_DAYS if serial in gone else GIVEN_UP_DAYS):
                found[serial] = serial not in gone
        return found

    def _is_listed(self, serial: str, day: int) -> bool:
        """Return whether the gateway still lists a panel that was not heard."""
        changes = [is_listed for at, is_listed in self._changes.get(serial, ()) if at <= day]
        return changes[-1] if changes else day <= self._seen.get(serial, day)

    def _replaced(self, day: int, missing: dict[str, int], gone: set[str]) -> set[str]:
        """Return the panels in whose place another one came: each new one is in the place of one.

        That is one that was no longer listed when it came, or else whose reports ended next to it.
        """
        oldest = min(self._first.values())
        new = {serial: first for serial, first in self._first.items() if oldest + AFTER_DAYS < first <= day}
        pairs = [
            (
                not 0 <= first - self._gone_on(serial) <= SWAP_DAYS,
                _unlikely(first - last),
                serial in gone,
                serial,
                other,
            )
            for serial, last in missing.items()
            for other, first in new.items()
            if last - BEFORE_DAYS <= first <= last + AFTER_DAYS
            and serial != other
            # One that has been silent for longer has to wait: another may be about to fall silent.
            and (first <= last + BEFORE_DAYS or first + BEFORE_DAYS < day)
        ]
        placed: dict[str, str] = {}
        for *_, serial, other in sorted(pairs):
            if serial not in placed and other not in placed.values():
                placed[serial] = other
        return set(placed)

    def _gone_on(self, serial: str) -> int:
        """Return the day on which the gateway listed a panel last, 0 where that is not known."""
        changes = self._changes.get(serial)
        return changes[-1][0] if changes and not changes[-1][1] else self._seen.get(serial, 0)

    # -- what is stored
    def _read_days(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the first and the last day of each panel."""
        columns = INVERTER_DAILY.c
        query = select(columns.serial, func.min(columns.day), func.max(columns.day))
        query = query.where(columns.gateway_id == self._site.gateway_id).group_by(columns.serial)
        found = self._connection.execute(query.order_by(columns.serial)).all()
        return {row[0]: row[1].toordinal() for row in found}, {row[0]: row[2].toordinal() for row in found}

    def _read_heard(self, before: date) -> Iterable[tuple[str, date]]:
        """Return when each panel was heard last before a day."""
        columns = INVERTER_DAILY.c
        query = select(columns.serial, func.max(columns.day)).where(columns.gateway_id == self._site.gateway_id)
        found = self._connection.execute(query.where(columns.day < before).group_by(columns.serial))
        return [(serial, day) for serial, day in found]

    def _read_changes(self) -> dict[str, list[tuple[int, bool]]]:
        """Return when the gateway listed a panel anew or no more."""
        columns, found = EVENTS.c, defaultdict(list)
        query = select(columns.at, columns.subject, columns.kind).where(
            columns.gateway_id == self._site.gateway_id, columns.kind.in_(("inverter_appeared", "inverter_removed"))
        )
        for at, subject, kind in self._connection.execute(query.order_by(columns.at)):
            serial = subject.rpartition(" ")[2]
            found[serial].append((local_day(to_epoch_s(at), self._site.zone).toordinal(), kind == "inverter_appeared"))
        return dict(found)

    def _read_seen(self) -> dict[str, int]:
        """Return the last day on which each panel was listed, where that is more than when it reported last.

        The collector keeps when each reported, which says nothing of a list; other programs keep when each was listed:
        they do where one was seen after all reports. One that is listed and never reported is missing from the first.
        """
        columns, reported_at, zone = INVERTERS.c, INVERTER_SAMPLES.c.reported_at, self._site.zone
        query = select(columns.serial, columns.first_seen_at, columns.last_seen_at)
        found = self._connection.execute(query.where(columns.gateway_id == self._site.gateway_id)).all()
        for serial, first_at, _ in found:
            if serial not in self._last and self._first:
                since = min(self._first.values())
                if first_at is not None:
                    since = max(since, local_day(to_epoch_s(first_at), zone).toordinal())
                self._heard.setdefault(serial, since - 1)
        newest = select(reported_at).where(INVERTER_SAMPLES.c.gateway_id == self._site.gateway_id)
        newest_at = self._connection.execute(newest.order_by(reported_at.desc()).limit(1)).scalar()
        seen_at = {serial: at for serial, _, at in found if at is not None}
        if newest_at is None or all(at <= newest_at for at in seen_at.values()):
            return {}
        return {serial: local_day(to_epoch_s(at), zone).toordinal() for serial, at in seen_at.items()}


def _unlikely(days: int) -> int:
    """Return how unlikely a unit is in the place of one that was heard last so many days before: none is a day."""
    return days - 1 if days > 0 else 2 - days
