"""Which samples carry a time at which they were not taken, or a reading that stands still.

A machine without a clock battery may believe for a while that it is another year. Such samples are kept as they are and
left out of the ledger, which reports so in an event. Where our clock and the gateway's disagree by more than a day, one
of them is clearly wrong: ours, when what the gateway's shows lies closer to the samples on which both agreed. A machine
that was off may go on from where its clock stopped, for some polls: then ours is behind the gateway's by no more than
the time without samples that follows. One whose clock ran ahead for some hours took no samples in the hours in
which, by the gateway's clock, it did take them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Connection, bindparam, func, literal, select, union_all

from logger.clock import from_epoch_s
from logger.ledger.curve import Decision
from logger.store.models import METER_READINGS, PRODUCTION_SAMPLES, UtcDateTime, epoch

#: Two clocks that disagree by more can't both be right.
WRONG_S = 86_400
#: A gateway's clock that is ahead by more may be the right one.
BEHIND_S = 1_800
#: A machine that was off believes its old clock for this long at most; less than SLACK_S is no difference.
BOOTING_S, SLACK_S = 3_600, 120
#: Our clock ran ahead by more than this for this long at most; by less, what is counted wrongly is little.
AHEAD_S, LONGEST_AHEAD_S = 300, 12 * 3_600
#: No gateway of this kind was there before.
OLDEST_S = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())
#: Readings older than this may be the one before again; those of a CT are new each second.
STALE_S, STALE_CT_S = 900, 120
#: No clock is wrong by decades: such an age is in another unit. Version 0.1 kept it.
NONSENSE_S = 2**31
KIND = "misplaced_samples"
#: what is said of samples of which no reading tells how wrong their clock was
CLEARLY = "that was clearly wrong"
#: The instant (epoch seconds), what distinguishes the rows of one poll, then values
Row = tuple[Any, ...]

_AGED = (PRODUCTION_SAMPLES, METER_READINGS)
#: The gateway's clock may have been wrong in this many ways within a window.
MOST_RUNS = 50
#: For so many spans of time there is a query; the last holds them all.
SPANS = (1, 4, 16, MOST_RUNS + 1)


@lru_cache
def _agreed_around(spans: int) -> CompoundSelect[Any]:
    """Return the query for the samples on which both clocks agreed, in some spans of time and next to them."""
    parts = []
    for table in _AGED:
        time = table.c.polled_at
        agreed = select(epoch(time).label("at_s")).where(
            table.c.gateway_id == bindparam("gateway"), table.c.reading_age_s.between(-WRONG_S, WRONG_S)
        )
        for span in range(spans):
            first, last = (bindparam(f"{name}_{span}", type_=time.type) for name in ("first", "last"))
            parts += [
                agreed.where(time < first).order_by(time.desc()).limit(1),
                agreed.where(time.between(first, last)).distinct(),
                agreed.where(time > last).order_by(time).limit(1),
            ]
    return union_all(*(select(part.subquery().c.at_s) for part in parts))


class Instant(NamedTuple):
    """When a poll was stored, and what its readings show of both clocks (s; None: nothing)."""

    at_s: int
    apart_s: int | None  #: the least difference
    least_age_s: int | None
    most_age_s: int | None


@dataclass
class Clocks:
    """Our clock and the gateway's over some time, given the polls of it; asks no database."""

    polls: Sequence[Instant]
    #: Some spans of time -> the instants in and next to them when both clocks agreed to the day
    around: Callable[[Sequence[tuple[int, int]]], Iterable[int]]

    def __post_init__(self) -> None:
        self._times_s = [poll.at_s for poll in self.polls]
        self._near_s = [poll.at_s for poll in self.polls if poll.apart_s is not None and poll.apart_s <= SLACK_S]
        self._close_s = [poll.at_s for poll in self.polls if poll.apart_s is not None and poll.apart_s <= BEHIND_S]

    def is_misplaced(self, at_s: int, age_s: float | None, right_s: int | None) -> bool:
        """Return whether a sample's time is wrong.

        ``age_s`` is its reading's age, ``right_s`` a sample before it that is known to be right.
        """
        if at_s < OLDEST_S:
            return True
        if age_s is not None and abs(age_s) >= NONSENSE_S:
            return False
        if age_s is not None and age_s < -BEHIND_S and self._was_behind(at_s, age_s):
            return True
        if age_s is not None and age_s > AHEAD_S and self._was_ahead(at_s, age_s):
            return True
        if age_s is None or abs(age_s) <= WRONG_S or at_s - age_s < OLDEST_S:
            return False
        if right_s is not None and abs(at_s - right_s) <= WRONG_S:
            return False  # Our clock went on from there: it is the gateway's that jumped.
        ours_s = self._distance_s(at_s)
        return ours_s > WRONG_S and self._distance_s(round(at_s - age_s)) < ours_s

    def _was_behind(self, at_s: int, age_s: float) -> bool:
        """Return whether our clock had gone on from where it stopped, up to when it was set."""
        next_close = bisect_right(self._close_s, at_s)
        if next_close == len(self._close_s):
            return False
        close_s = self._close_s[next_close]
        if close_s > at_s + max(round(-age_s) + BOOTING_S + SLACK_S, WRONG_S):
            return False
        before_s = max(at_s, self._times_s[bisect_left(self._times_s, close_s) - 1])
        return (
            at_s - age_s <= close_s + SLACK_S
            and close_s - before_s >= -age_s - SLACK_S
            and before_s - at_s <= BOOTING_S
        )

    def _was_ahead(self, at_s: int, age_s: float) -> bool:
        """Return whether our clock ran ahead from one sample to another on which both clocks agreed.

        By the gateway's clock all samples of that clock lie between these two, where ours has none that agreed. When it
        is the gateway's that was set back, both had agreed on samples of that time.
        """
        for read_s in (at_s - age_s, at_s - age_s + SLACK_S):
            after = bisect_right(self._near_s, read_s)
            if after in {0, len(self._near_s)}:
                continue
            before_s, after_s = self._near_s[after - 1 : after + 1]
            if 1.5 * self._step_s < after_s - before_s <= LONGEST_AHEAD_S:
                alike = (poll for poll in self.polls if abs((poll.most_age_s or 0) - age_s) <= SLACK_S)
                reads_s = [poll.at_s - (poll.most_age_s or 0) for poll in alike]
                if before_s - SLACK_S <= min(reads_s) <= max(reads_s) <= after_s + SLACK_S:
                    return True
        return False

    @cached_property
    def _step_s(self) -> int:
        """How far samples on which both clocks agreed usually are apart."""
        steps = sorted(after_s - before_s for before_s, after_s in pairwise(self._near_s))
        return steps[len(steps) // 2]

    def _distance_s(self, at_s: int) -> float:
        """Return how far an instant is from the nearest sample on which both clocks agreed."""
        place = bisect_left(self._agreed_s, at_s)
        near = self._agreed_s[max(0, place - 1) : place + 1]
        return min((abs(agreed_s - at_s) for agreed_s in near), default=float("inf"))

    @cached_property
    def _agreed_s(self) -> list[int]:
        if not self.polls:
            return []
        runs: list[tuple[int, int]] = []
        before_s: int | None = None
        for at_s, _, least_s, most_s in self.polls:
            if least_s is None or most_s is None or max(-least_s, most_s) <= WRONG_S:
                continue
            first_s, last_s = at_s - most_s, at_s - least_s
            if before_s is not None and abs(least_s - before_s) <= BOOTING_S:
                first_s, last_s = min(first_s, runs[-1][0]), max(last_s, runs.pop()[1])
            runs.append((first_s, last_s))
            before_s = least_s
        spans = [(self._times_s[0], self._times_s[-1]), *runs[:MOST_RUNS]]
        return sorted(self.around(spans))


@dataclass
class ClockCheck:
    """Decides for the samples of one gateway from ``since_s`` to ``until_s``.

    It asks the database at most twice, and not at all while both clocks agree.
    """

    connection: Connection
    gateway_id: int
    since_s: int
    until_s: int
    right_s: int | None = None  #: the last sample that is known to be right
    #: UTC day (number since 1970) -> how far our clock was ahead, s; None where unknown
    misplaced_days: dict[int, int | None] = field(default_factory=dict)
    _verdicts: dict[int, bool] = field(default_factory=dict)

    def is_misplaced(self, at_s: int, age_s: float | None) -> bool:
        """Return whether a sample's time is wrong; ``age_s`` is its reading's age."""
        found = self._verdicts.get(at_s)
        if found is None:
            found = self._verdicts[at_s] = self._clocks.is_misplaced(at_s, age_s, self.right_s)
            if found:
                note(self.misplaced_days, at_s, age_s)
            else:
                self.right_s = at_s
        return found

    @property
    def misplaced_s(self) -> frozenset[int]:
        """Return when the polls were whose time was found to be wrong."""
        return frozenset(at_s for at_s, is_wrong in self._verdicts.items() if is_wrong)

    @cached_property
    def _clocks(self) -> Clocks:
        """The polls of this time, of some hours before and after it, and the first one after that."""
        after = literal(from_epoch_s(self.until_s + LONGEST_AHEAD_S), UtcDateTime)
        parts = []
        for table in _AGED:
            time, mine = table.c.polled_at, table.c.gateway_id == self.gateway_id
            following = select(func.min(time)).where(mine, time > after).scalar_subquery()
            within = (time >= from_epoch_s(self.since_s - LONGEST_AHEAD_S)) & (time <= func.coalesce(following, after))
            aged = select(epoch(time).label("at_s"), table.c.reading_age_s.label("age_s"))
            parts.append(aged.where(mine, within))
        aged_rows = union_all(*parts).subquery().c
        age = aged_rows.age_s
        query = select(aged_rows.at_s, func.min(func.abs(age)), func.min(age), func.max(age)).group_by(aged_rows.at_s)
        found = self.connection.execute(query.order_by(aged_rows.at_s))
        return Clocks([Instant(*row) for row in found], self._agreed_around)

    def _agreed_around(self, spans: Sequence[tuple[int, int]]) -> set[int]:
        # Of few sizes: each is compiled once, and kept.
        size = next(size for size in SPANS if size >= len(spans))
        of: dict[str, Any] = {"gateway": self.gateway_id}
        for span in range(size):
            first_s, last_s = spans[min(span, len(spans) - 1)]
            of |= {f"first_{span}": from_epoch_s(first_s), f"last_{span}": from_epoch_s(last_s)}
        return set(self.connection.execute(_agreed_around(size), of).scalars())


def note(days: dict[int, int | None], at_s: int, age_s: float | None) -> None:
    """Keep on which day a sample was misplaced, by the first of each day."""
    days.setdefault(at_s // 86_400, None if age_s is None else round(age_s))


def misplaced_decisions(days: Mapping[int, int | None]) -> list[Decision]:
    """Return one decision for each day, by the clock that was wrong, of misplaced samples."""
    decisions = []
    for day, ahead_s in sorted(days.items()):
        words = CLEARLY
        if ahead_s is not None:
            days_off = abs(ahead_s) / 86_400
            much = f"{days_off:.0f} days" if days_off >= 2 else f"{days_off * 24:.1f} hours"
            words = f"{much} {'ahead of' if ahead_s > 0 else 'behind'} the gateway's"
        detail = f"samples of this day carry a clock {words}: kept, not counted"
        decisions.append(Decision(day * 86_400, KIND, "collector", detail))
    return decisions


@dataclass
class StaleFilter:
    """Takes out samples that mean nothing: stale readings, and those of a wrong clock.

    Of rows whose last column but one is the age.
    """

    clock: ClockCheck
    key: Callable[[Row], Any]  #: whose sample a row is
    source: int | None = None  #: where the row names its source, if it may be another than a CT
    #: by key: the gateway's own time of its last reading
    _read_at_s: dict[Any, int] = field(default_factory=dict)
    _before: Sequence[Row] = ()

    def drop_stale(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows without those to be left out."""
        before, self._before = self._before, rows
        if all(_is_usual(age_s, STALE_CT_S) for age_s in {row[-2] for row in rows}):
            return rows
        for row in before:
            if row[-2] is not None:
                self._read_at_s[self.key(row)] = row[0] - row[-2]
        return [row for row in rows if not self._is_left_out(row)]

    def _is_left_out(self, row: Row) -> bool:
        """Return whether a sample is to be left out.

        Readings whose own time stands still are the one before again; those of a gateway whose clock is only wrong move
        on.
        """
        at_s, age_s = row[0], row[-2]
        if age_s is None:
            return False
        key = self.key(row)
        before_s, self._read_at_s[key] = self._read_at_s.get(key), at_s - age_s
        is_ct = self.source is None or row[self.source] == "ct"
        if _is_usual(age_s, STALE_CT_S if is_ct else STALE_S):
            return False
        if age_s > 0 and before_s is not None and abs(at_s - age_s - before_s) <= 1:
            return True
        return self.clock.is_misplaced(at_s, age_s)


def _is_usual(age_s: int | None, stale_s: int) -> bool:
    return age_s is None or -BEHIND_S <= age_s <= stale_s or abs(age_s) >= NONSENSE_S
