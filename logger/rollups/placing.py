"""Which samples carry a time at which they were not taken.

A machine without a clock battery may believe for a while that it is another year. Such samples
are kept as they are and left out of the ledger, which tells so in an event. Where our clock and
the gateway's disagree by more than a day, one of them is clearly wrong: ours, when what the
gateway's says lies closer to the samples on which both agreed. A machine that was off may go on
from where its clock stopped, for some polls: then ours is behind the gateway's by no more than the
time without samples that follows.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, or_, select

from logger.clock import from_epoch_s
from logger.energy.streams import Decision
from logger.store.database import epoch
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    METER_READINGS,
    PRODUCTION_SAMPLES,
)
from logger.store.queries import ends_s

#: Two clocks that disagree by more can't both be right.
WRONG_S = 86_400
#: A gateway's clock that is ahead by more may be the right one.
BEHIND_S = 1_800
#: For no longer does a machine that was off believe its old clock, s; and so much is no difference.
BOOTING_S, SLACK_S = 3_600, 120
#: No gateway of this kind was there before.
OLDEST_S = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())
#: Samples that lie in the future are of a wrong clock when nothing leads up to them.
ALONE_S = 30 * 86_400
FAR_S = 1 << 40
KIND = "misplaced_samples"

_TABLES = (PRODUCTION_SAMPLES, METER_READINGS)


class Agreed(NamedTuple):
    """The first sample after ``since_s`` on which both clocks agree, sought up to ``until_s``."""

    since_s: int
    until_s: int
    at_s: int | None
    before_s: int  #: the sample before it


class Placing:
    """Decides for the samples of one gateway; ``placed_s`` is the last one known to be right."""

    def __init__(
        self, connection: Connection, gateway_id: int, now_s: int, placed_s: int | None = None
    ) -> None:
        self._connection = connection
        self._gateway_id = gateway_id
        self._now_s = now_s
        self._placed_s = placed_s
        self._known: dict[int, bool] = {}
        #: UTC day (number since 1970) -> how far our clock was ahead, s; None where unknown
        self._told: dict[int, int | None] = {}
        self._agreed = Agreed(0, 0, None, 0)

    def is_misplaced(self, at_s: int, age_s: float | None) -> bool:
        """Return whether a sample was not taken when it says; ``age_s`` is its reading's age."""
        found = self._known.get(at_s)
        if found is None:
            found = self._known[at_s] = self._decide(at_s, age_s)
            if found:
                self._told.setdefault(at_s // 86_400, None if age_s is None else round(age_s))
            else:
                self._placed_s = at_s
        return found

    def _decide(self, at_s: int, age_s: float | None) -> bool:
        if at_s < OLDEST_S:
            return True
        if age_s is not None and age_s < -BEHIND_S and self._was_behind(at_s, age_s):
            return True
        if age_s is None or abs(age_s) <= WRONG_S or at_s - age_s < OLDEST_S:
            return False
        if self._placed_s is not None and abs(at_s - self._placed_s) <= WRONG_S:
            return False  # Our clock went on from there: it is the gateway's that jumped.
        ours_s = self._distance_s(at_s)
        return ours_s > WRONG_S and self._distance_s(round(at_s - age_s)) < ours_s

    def _was_behind(self, at_s: int, age_s: float) -> bool:
        """Return whether our clock had gone on from where it stopped, up to when it was set."""
        within_s = round(-age_s) + BOOTING_S + SLACK_S
        agreed = self._agreed
        known_until_s = agreed.until_s - within_s if agreed.at_s is None else agreed.at_s - 1
        if not agreed.since_s <= at_s <= known_until_s:
            until_s = at_s + max(within_s, WRONG_S)
            agreed = self._agreed = self._next_agreed(at_s, until_s)
        if agreed.at_s is None:
            return False
        return (
            at_s - age_s <= agreed.at_s + SLACK_S
            and agreed.at_s - agreed.before_s >= -age_s - SLACK_S
            and agreed.before_s - at_s <= BOOTING_S
        )

    def _next_agreed(self, since_s: int, until_s: int) -> "Agreed":
        """Return the first sample after an instant on which both clocks agree, if it comes soon."""
        found: list[int] = []
        for table in _TABLES:
            time, age = table.c.polled_at, table.c.reading_age_s
            soon = time.between(from_epoch_s(since_s + 1), from_epoch_s(until_s))
            first_s = self._seek(table, soon & age.between(-BEHIND_S, BEHIND_S), time)
            if first_s is not None:
                found.append(first_s)
        if not found:
            return Agreed(since_s, until_s, None, 0)
        at_s = min(found)
        before = []
        for table in _TABLES:
            time = table.c.polled_at
            earlier = (time >= from_epoch_s(since_s)) & (time < from_epoch_s(at_s))
            before.append(self._seek(table, earlier, time.desc()) or since_s)
        return Agreed(since_s, until_s, at_s, max(before))

    def _distance_s(self, at_s: int) -> int:
        """Return how far an instant is from the nearest sample on which both clocks agreed."""
        nearest = FAR_S
        for table in _TABLES:
            agreed = table.c.reading_age_s.between(-WRONG_S, WRONG_S)
            mine = select(epoch(table.c.polled_at)).where(
                table.c.gateway_id == self._gateway_id, agreed
            )
            time = table.c.polled_at
            for query in (
                mine.where(time <= from_epoch_s(at_s)).order_by(time.desc()),
                mine.where(time > from_epoch_s(at_s)).order_by(time),
            ):
                found = self._connection.execute(query.limit(1)).scalar_one_or_none()
                if found is not None:
                    nearest = min(nearest, abs(found - at_s))
        return nearest

    def look_at(self, since_s: int, until_s: int) -> None:
        """Decide about every sample of a stretch whose clocks disagree."""
        for table in _TABLES:
            time, age = table.c.polled_at, table.c.reading_age_s
            query = select(epoch(time), age).where(
                table.c.gateway_id == self._gateway_id,
                time.between(from_epoch_s(since_s), from_epoch_s(until_s)),
                or_(age > WRONG_S, age < -BEHIND_S),
            )
            for at_s, age_s in self._connection.execute(query.order_by(time)):
                self.is_misplaced(at_s, age_s)

    @property
    def first_s(self) -> int | None:
        """The first of the samples that were found not to be taken when they say."""
        return min((at_s for at_s, is_wrong in self._known.items() if is_wrong), default=None)

    # -- the ends of what is there
    def ends(self) -> tuple[int, int] | None:
        """Return when the first and last sample that count were taken, epoch seconds."""
        found: list[tuple[int, int]] = []
        for table in (PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS):
            both = ends_s(self._connection, table.c.polled_at, self._gateway_id)
            if both is None:
                continue
            first_s, last_s = self._first(table, both[0]), self._last(table, both[1])
            if first_s is not None and last_s is not None and first_s <= last_s:
                found.append((first_s, last_s))
        if not found:
            return None
        return min(first for first, _ in found), max(last for _, last in found)

    def _first(self, table: Any, first_s: int) -> int | None:
        age_s = self._age_s(table, first_s)
        if first_s >= OLDEST_S and (age_s is None or abs(age_s) <= WRONG_S):
            return first_s
        if not self.is_misplaced(first_s, age_s):
            return first_s
        placed = self._seek(table, self._plausible(table), table.c.polled_at)
        self._tell(table, until_s=placed)
        return placed

    def _last(self, table: Any, last_s: int) -> int | None:
        time = table.c.polled_at
        if last_s > self._now_s + WRONG_S:
            now = from_epoch_s(self._now_s + WRONG_S)
            before = self._seek(table, time <= now, time.desc())
            after = self._seek(table, time > now, time)
            if before is not None and after is not None and after - before > ALONE_S:
                self._tell(table, since_s=before)
                last_s = before
        age_s = self._age_s(table, last_s)
        if age_s is None or abs(age_s) <= WRONG_S:
            return last_s
        before = self._seek(table, self._plausible(table), time.desc())
        if before is None:
            return last_s
        after = self._seek(table, time > from_epoch_s(before), time)
        if after is None or not self._decide(after, self._age_s(table, after)):
            return last_s
        self._tell(table, since_s=before)
        return before

    def _plausible(self, table: Any) -> Any:
        age = table.c.reading_age_s
        right = or_(age.is_(None), age.between(-WRONG_S, WRONG_S))
        return right & (table.c.polled_at >= from_epoch_s(OLDEST_S))

    def _seek(self, table: Any, where: Any, order: Any) -> int | None:
        query = select(epoch(table.c.polled_at)).where(
            table.c.gateway_id == self._gateway_id, where
        )
        found: int | None = self._connection.execute(
            query.order_by(order).limit(1)
        ).scalar_one_or_none()
        return found

    def _age_s(self, table: Any, at_s: int) -> float | None:
        query = select(func.max(table.c.reading_age_s)).where(
            table.c.gateway_id == self._gateway_id, table.c.polled_at == from_epoch_s(at_s)
        )
        age_s: float | None = self._connection.execute(query).scalar_one()
        return age_s

    # -- what to tell
    def _tell(self, table: Any, *, since_s: int = -1, until_s: int | None = None) -> None:
        """Remember the days of samples that lie outside of what counts."""
        query = select(epoch(table.c.polled_at), table.c.reading_age_s).where(
            table.c.gateway_id == self._gateway_id, table.c.polled_at > from_epoch_s(since_s)
        )
        if until_s is not None:
            query = query.where(table.c.polled_at < from_epoch_s(until_s))
        for at_s, age_s in self._connection.execute(query):
            self._told.setdefault(at_s // 86_400, None if age_s is None else round(age_s))

    def decisions(self) -> list[Decision]:
        """Return one decision for each day, by the clock that was wrong, of such samples."""
        told = []
        for day, ahead_s in sorted(self._told.items()):
            words = "a clock that was clearly wrong"
            if ahead_s is not None:
                side = "ahead of" if ahead_s > 0 else "behind"
                days = abs(ahead_s) / 86_400
                much = f"{days:.0f} days" if days >= 2 else f"{days * 24:.1f} hours"
                words = f"a clock {much} {side} the gateway's"
            detail = f"samples of this day carry {words}: kept, not counted"
            told.append(Decision(day * 86_400, KIND, "collector", detail))
        return told
