"""A consumption CT that changes its kind: total-consumption (load only) or net-consumption (load with solar).

It is one CT, so that of a poll only one kind has readings. From the first poll with the other kind on it counts in that
one, and the registers of the kind before are not waited for. Where polls have both, there are two CTs, and one that is
missing is silent.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import inf
from typing import NamedTuple

from logger.clock import utc_text
from logger.ledger.curve import Anchor, Curve, Decision, Readings, Tie
from logger.ledger.limits import RETIRED_S, Stream, StreamKey

NET = frozenset({Stream.IMPORT, Stream.EXPORT})


class Turn(NamedTuple):
    """A change of kind."""

    before_s: int  #: last reading of the kind before
    at_s: int  #: first reading of the new kind
    is_net: bool  #: what it is then


class Absence(NamedTuple):
    """A time in which a CT was not of the kind of a register."""

    left_s: int  #: last reading of the register before
    gone_s: int  #: first of the other kind
    back_s: int | None  #: first of this kind again; None until now


@dataclass(frozen=True, slots=True)
class Kinds:
    """What kind the CT of a phase was, and is in the end: net or not, or None where it never was one or is two."""

    turns: list[Turn]
    is_net: bool | None
    last_s: Sequence[int | None]  #: by is it net: its last reading before those of the window

    def absences(self, stream: Stream, since_s: int) -> list[Absence]:
        """Return when the CT was not of the kind of a stream, from ``since_s`` on."""
        if stream not in NET and stream is not Stream.CONSUMPTION_CT:
            return []
        is_net, found = stream in NET, []
        last_s = self.last_s[is_net]
        left = since_s if last_s is None else last_s, since_s if last_s is None else last_s
        for turn in self.turns:
            if turn.is_net is is_net:
                found.append(Absence(*left, turn.at_s))
            left = turn.before_s, turn.at_s
        was_there = last_s is not None or any(turn.is_net is not is_net for turn in self.turns)
        is_over = was_there and self.is_net is not None and self.is_net is not is_net
        return [*found, Absence(*left, None)] if is_over else found

    def decisions(self, since_s: int) -> list[Decision]:
        """Return one decision for each change."""
        names = "total-consumption", "net-consumption"
        return [
            Decision(
                turn.at_s,
                "source_change",
                "consumption CT total",
                f"it counts {names[turn.is_net]} from now on, {names[not turn.is_net]} until {utc_text(turn.before_s)}",
            )
            for turn in self.turns
            if turn.at_s > since_s
        ]


def kinds_of(registers: Mapping[StreamKey, Readings], anchors: Mapping[StreamKey, Anchor], phase: str) -> Kinds:
    """Return what kind the consumption CT of a phase was when, by its readings."""
    keys = (Stream.CONSUMPTION_CT, phase), (Stream.IMPORT, phase)
    times = [set(_of_ct(registers.get(key))) for key in keys]
    last_s = [_last_s(anchors.get(key)) for key in keys]
    is_both = last_s[0] == last_s[1] is not None
    is_net = None if is_both or last_s == [None, None] else (last_s[1] or 0) > (last_s[0] or 0)
    if not all(times):
        # Of one kind alone: it is that one, or becomes it at once.
        times = [set(sorted(each)[:1]) for each in times]
    turns: list[Turn] = []
    before_s = max((at_s for at_s in last_s if at_s is not None), default=None)
    for at_s in sorted(times[0] | times[1]):
        if is_both or (at_s in times[0] and at_s in times[1]):
            is_both, is_net = True, None
        elif is_net is None:
            is_net = at_s in times[1]
        elif is_net is not (at_s in times[1]):
            is_net = not is_net
            if before_s is not None:
                turns.append(Turn(before_s, at_s, is_net))
        before_s = at_s
    return Kinds(turns, is_net, last_s)


def apart(
    at_s: Sequence[int], powers_w: Sequence[float | None], turns: Sequence[Turn]
) -> tuple[list[int], list[float | None]]:
    """Return powers that are not integrated over a time in which a net CT counted: unknown after it began."""
    times, powers = list(at_s), list(powers_w)
    for begin_s in (turn.at_s for turn in turns if turn.is_net):
        place = bisect_right(times, begin_s)
        times.insert(place, begin_s + 1)
        powers.insert(place, None)
    return times, powers


def follow(total: Curve, own: Curve) -> Curve:
    """Let a total that is put together of phases be away when its own register is."""
    away = [step for step in own.steps if step.tie is Tie.AWAY]
    begins_s, total.is_over = {step.start_s for step in away}, own.is_over
    total.steps = [
        step
        for step in total.steps
        if step.tie is not Tie.BRIDGED or not any(a.start_s < step.end_s and step.start_s < a.end_s for a in away)
    ]
    left = [step for step in own.steps if step.tie is Tie.BROKEN and step.end_s in begins_s]
    total.steps += [step for step in [*left, *away] if step not in total.steps]
    return total


def changes_back(registers: Mapping[StreamKey, Readings], anchors: Mapping[StreamKey, Anchor], key: StreamKey) -> bool:
    """Whether a register begins to count again because its CT has its kind back."""
    absences = kinds_of(registers, anchors, key[1]).absences(key[0], 0)
    return any(absence.back_s == registers[key].at_s[0] for absence in absences)


def _of_ct(readings: Readings | None) -> list[int]:
    return [] if readings is None else list(compress(readings.at_s, map("ct".__eq__, readings.source)))


def _last_s(anchor: Anchor | None) -> int | None:
    return anchor.at_s if anchor is not None and anchor.source == "ct" else None


def net_counts_s(
    registers: Mapping[StreamKey, Readings], anchors: Mapping[StreamKey, Anchor]
) -> list[tuple[float, float]]:
    """Return from when to when a net CT counts, or is waited for."""
    known_s = [anchor.at_s for (stream, _), anchor in anchors.items() if stream is Stream.IMPORT]
    read = {phase: readings.at_s for (stream, phase), readings in registers.items() if stream is Stream.IMPORT}
    phases = [phase for stream, phase in registers.keys() | anchors.keys() if stream is Stream.IMPORT]
    if not phases:
        return []
    begin_s: float | None = -inf if known_s else min(times_s[0] for times_s in read.values())
    last_s = max([*known_s, *(times_s[-1] for times_s in read.values())]) + RETIRED_S
    found: list[tuple[float, float]] = []
    for absence in kinds_of(registers, anchors, max(phases)).absences(Stream.IMPORT, 0):
        # The step to the first reading of the new kind is known by power alone.
        if begin_s is not None and begin_s < absence.left_s:
            found.append((begin_s, absence.left_s - 1))
        begin_s = None if absence.back_s is None else absence.back_s + 1
    return found if begin_s is None else [*found, (begin_s, last_s)]
