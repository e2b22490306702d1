"""What one register (lifetime counter) counted: its readings validated and edited to a curve.

Most readings simply go on from the one before; they are taken in long parts. Each other one is decided about on its
own, by the curve before it and the readings of the next ``RECOVERY_S``: so the same readings give the same decisions,
whether they are read at once or as they come.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, compress
from operator import ne, sub

from logger.clock import QUARTER_S, utc_text
from logger.ledger.curve import STALL_S, Anchor, Curve, Decision, Readings, Step, Tie
from logger.ledger.limits import NOISE_MWH, RECOVERY_S, RETIRED_S, SPIKE_MWH, WRAP_MWH, WRAP_SLACK_MWH, Limits
from logger.ledger.possible import Possible
from logger.ledger.turns import Absence


def read_register(
    readings: Readings,
    anchor: Anchor | None,
    limits: Limits,
    *,
    since_s: int,
    until_s: int,
    gap_s: int = QUARTER_S,
    made_w: Mapping[int, float | None] | None = None,
    absences: Sequence[Absence] = (),
) -> Curve:
    """Return what a register counted, from ``since_s`` (the start of a quarter hour) on.

    There is an ``anchor``, what was known at ``since_s``, or at least one reading; readings up to
    the anchor's are passed over. ``until_s`` is the instant up to which readings were read,
    ``gap_s`` the longest normal step; ``made_w`` has by instant the power that export comes from; in
    ``absences`` the CT counted on other registers.
    """
    if anchor is None:
        at_s, value_mwh = readings.at_s[0], readings.value_mwh[0]
        power_w, source = readings.power_w[0], readings.source[0]
        anchor = Anchor(source, at_s, value_mwh, power_w, 0, at_s, at_s, at_s, 0)
    first = Readings([anchor.at_s], [anchor.value_mwh], [anchor.power_w], [anchor.source])
    curve = Curve(readings, first, [anchor.value_mwh + anchor.below_high_mwh], anchor, since_s)
    _Validation(curve, Possible(limits, readings, curve, gap_s, made_w), until_s, absences).run()
    curve.events = [event for event in curve.events if event.at_s > since_s]
    return curve


class _Validation:
    """Continues a curve by readings; its end is the last reading that is believed."""

    def __init__(self, curve: Curve, possible: Possible, until_s: int, absences: Sequence[Absence]) -> None:
        self.readings = curve.read
        self.curve = curve
        self.possible = possible
        self.until_s = until_s
        self.gap_s = possible.gap_s
        self.absences = {absence.back_s: absence for absence in absences}
        self.may_fall = True
        #: Any register may grow by this at once.
        self.small_mwh = min(SPIKE_MWH, int(possible.limits.least_power_w * 60 / 3.6))

    def run(self) -> None:
        """Continue by all readings after the curve's end."""
        if self.curve.last_s in self.absences:
            self._add_absence(self.curve.last_s)
        times, odd, coming = self.readings.at_s, self._odd(), 0
        index = bisect_right(times, self.curve.last_s)
        passed_over = bisect_right(times, self.curve.anchor.erroneous_until_s)
        if passed_over > index:
            index = self._leave_out(passed_over)
        while index < len(times):
            if index and times[index - 1] == self.curve.last_s:
                coming = bisect_left(odd, index, coming)
                end = odd[coming] if coming < len(odd) else len(times)
                index = self._take(index, end) if index < end else index
            if index < len(times):
                index = self._decide(index)
        self._look_back()
        if None in self.absences:
            self.curve.is_over = True
            self._add_absence(None)

    # -- readings that simply go on
    def _odd(self) -> list[int]:
        """Return the readings that do not simply go on from the one before them, in order."""
        times, values, sources = self.readings.at_s, self.readings.value_mwh, self.readings.source
        over_s = [0, *map(sub, times[1:], times)]
        steps_mwh = [0, *map(sub, values[1:], values)]
        self.may_fall = min(steps_mwh) < 0
        odd = {i for i, at_s in enumerate(times) if at_s in self.absences} if self.absences else set()
        if len(set(sources)) > 1:
            odd.update(compress(range(1, len(times)), map(ne, sources[1:], sources)))
        if max(over_s) > self.gap_s:
            odd.update(i for i, seconds in enumerate(over_s) if seconds > self.gap_s)
        if min(steps_mwh) < -WRAP_SLACK_MWH or max(steps_mwh) > self.small_mwh:
            odd.update(
                i
                for i, step_mwh in enumerate(steps_mwh)
                if step_mwh < -WRAP_SLACK_MWH or (step_mwh > self.small_mwh and not self.possible.is_ordinary(i))
            )
        return sorted(odd)

    def _take(self, first: int, end: int) -> int:
        """Believe readings; return the first that was not taken: it grew after being stuck."""
        curve, size = self.curve, len(self.curve.count_mwh)
        high_mwh, offset_mwh = curve.count_mwh[-1], curve.offset_mwh
        counts = self.readings.value_mwh[first:end]
        if offset_mwh:
            counts = [value_mwh + offset_mwh for value_mwh in counts]
        if self.may_fall or counts[0] < high_mwh:
            counts = list(accumulate(counts, max, initial=high_mwh))[1:]
        curve.extend(self.readings, first, end, counts)
        if (grew := curve.growth_after_stuck(size)) is None:
            return end
        curve.cut(grew)
        return first + grew - size

    # -- readings that need a decision
    def _decide(self, index: int) -> int:
        """Decide what a reading means, by the end of the curve; return where to go on."""
        curve, end, readings = self.curve, self.curve.readings, self.readings
        at_s, before_s, before_mwh = readings.at_s[index], end.at_s[-1], end.value_mwh[-1]
        if at_s in self.absences:
            return self._back(index)
        step_mwh = readings.value_mwh[index] - before_mwh
        if readings.source[index] != end.source[-1]:
            return self._broken(index, "source_change")
        if step_mwh < -WRAP_SLACK_MWH:
            return self._broken(index, "drop")
        flat_since_s = curve.flat_since_s(curve.flat(len(end.at_s) - 1))
        is_stuck = before_s - flat_since_s > STALL_S
        if step_mwh <= self.small_mwh and not is_stuck:
            return self._believe(index)
        # While it read 0 although there was power, it was no reading that others could go on from.
        was_reading = not (is_stuck and before_mwh == 0)
        if is_stuck and step_mwh > 0 and was_reading:
            grown_mwh = readings.value_mwh[index] + curve.offset_mwh - curve.count_mwh[-1]
            if 0 < grown_mwh <= self.possible.caught_up_mwh(index, flat_since_s):
                return self._caught_up(index, grown_mwh)
        if step_mwh > (self.possible.allowed_mwh(index) if was_reading else 0):
            return self._broken(index, "jump")
        powers_w = [end.power_w[-1], readings.power_w[index]]
        if step_mwh > SPIKE_MWH and step_mwh > self.possible.growth_mwh(at_s - before_s, powers_w):
            if (fallen := self.possible.fallen(index)) is not None:
                return self._leave_out(fallen)
            if at_s + RECOVERY_S > self.until_s:
                self._keep_open(before_s)
            if flat_since_s < before_s:
                curve.flats_s.append((flat_since_s, at_s))
                curve.whole_s.append((flat_since_s, at_s - 1 + QUARTER_S))
        return self._believe(index)

    def _believe(self, index: int) -> int:
        """Take a reading as the next that is believed, whatever it was before; return the next."""
        curve = self.curve
        count_mwh = self.readings.value_mwh[index] + curve.offset_mwh
        is_gap = self.readings.at_s[index] - curve.last_s > self.gap_s
        return self._go_on(index, max(curve.count_mwh[-1], count_mwh), Tie.BRIDGED if is_gap else None)

    def _go_on(self, index: int, count_mwh: int, tie: Tie | None, since_s: int = 0) -> int:
        """Go on by a reading, tied to the one before or to an instant; return the next."""
        curve, before_s, at_s = self.curve, self.curve.last_s, self.readings.at_s[index]
        curve.extend(self.readings, index, index + 1, [count_mwh])
        if not since_s and at_s - before_s > self.gap_s:
            curve.gaps_s.append((before_s, at_s))
        if tie is not None:
            curve.steps.append(Step(tie, since_s or before_s, at_s))
            # The quarter hour in which it began anew is whole at its end.
            end_s = at_s - 1 + QUARTER_S if tie is Tie.BROKEN else at_s
            curve.whole_s.append((since_s or before_s, end_s))
        return index + 1

    def _back(self, index: int) -> int:
        """Go on level by a reading of a CT that has its kind back; return the next."""
        curve, level_mwh = self.curve, self.curve.count_mwh[-1]
        self._add_absence(self.readings.at_s[index])
        curve.offsets_mwh[len(curve.count_mwh)] = level_mwh - self.readings.value_mwh[index]
        curve.extend(self.readings, index, index + 1, [level_mwh])
        return index + 1

    def _add_absence(self, back_s: int | None) -> None:
        left_s, gone_s, _ = self.absences[back_s]
        end_s = self.until_s + RETIRED_S if back_s is None else back_s
        if gone_s > left_s:
            self.curve.steps.append(Step(Tie.BROKEN, left_s, gone_s))
        self.curve.steps.append(Step(Tie.AWAY, gone_s, end_s))

    def _leave_out(self, end: int) -> int:
        """Leave out erroneous reads up to ``end``, which goes on from the end of the curve."""
        curve, readings = self.curve, self.readings
        good_mwh, bad_mwh = curve.readings.value_mwh[-1], readings.value_mwh[end - 1]
        is_other = readings.source[end - 1] != curve.source
        if is_other or abs(bad_mwh - good_mwh) > NOISE_MWH:
            # At the last of them, so that it reads the same wherever counting began.
            bad_s, good = readings.at_s[end - 1], _reading(good_mwh, curve.last_s)
            detail = f"bad up to {_reading(bad_mwh, bad_s)}, good before: {good}"
            curve.events.append(Decision(bad_s, "counter_dip", "", detail))
        if end < len(readings.at_s):
            curve.whole_s.append((curve.last_s, readings.at_s[end]))
        return end

    def _caught_up(self, index: int, grown_mwh: int) -> int:
        """Spread what a register was stuck for and then caught up with over all of that time."""
        curve, place = self.curve, self.curve.flat(len(self.curve.count_mwh) - 1)
        since_s = curve.flat_since_s(place)
        detail = f"stood still since {utc_text(since_s)}, then {_kwh(grown_mwh)} kWh more"
        curve.events.append(Decision(self.readings.at_s[index], "stalled_counter", "", detail))
        if since_s < curve.since_s:
            curve.reopen_s = since_s
        curve.cut(place + 1)
        return self._go_on(index, curve.count_mwh[-1] + grown_mwh, Tie.BRIDGED, since_s)

    def _broken(self, index: int, why: str) -> int:
        """Decide what a reading that does not continue the register means."""
        curve, readings = self.curve, self.readings
        horizon_s = self.possible.horizon_s(index)
        if (recovered := self.possible.recovered(index, why, horizon_s)) is not None:
            return self._leave_out(recovered)
        before_s, before_mwh = curve.last_s, curve.readings.value_mwh[-1]
        at_s, value_mwh = readings.at_s[index], readings.value_mwh[index]
        if horizon_s > self.until_s:
            self._keep_open(before_s)
        noise_mwh = self.possible.noise_mwh(at_s - before_s)
        before, after = _reading(before_mwh, before_s), _reading(value_mwh, at_s)
        kind, detail = "counter_reset", f"{after} after {before}"
        if why == "source_change":
            kind = why
            detail = f"from {curve.source} ({before}) to {readings.source[index]} ({after})"
        elif why == "drop" and (wraps := self.possible.wraps(index)) > 0:
            put_back = f"{wraps} x 2^32 J put back: {detail}"
            curve.events.append(Decision(at_s, "counter_wrap", "", put_back))
            if value_mwh + wraps * WRAP_MWH - before_mwh <= self.possible.allowed_mwh(index):
                curve.offsets_mwh[len(curve.count_mwh)] = curve.offset_mwh + wraps * WRAP_MWH
                return self._believe(index)
            why = "jump"
        elif why == "drop" and before_mwh - value_mwh <= noise_mwh:
            return self._believe(index)
        if why == "jump":
            kind, detail = "suspect_increment", f"{detail}: faster than possible"
        curve.events.append(Decision(at_s, kind, "", detail))
        # What was counted before is unknown: the curve goes on level.
        level_mwh = curve.count_mwh[-1]
        curve.offsets_mwh[len(curve.count_mwh)] = level_mwh - value_mwh
        return self._go_on(index, level_mwh, Tie.BROKEN)

    # -- the end
    def _look_back(self) -> None:
        """At the end of the readings: is the register stuck just now?"""
        curve = self.curve
        since_s = curve.flat_since_s(curve.flat(len(curve.count_mwh) - 1))
        if curve.last_s - since_s > STALL_S:
            curve.steps.append(Step(Tie.STUCK, since_s, curve.last_s))
        if 0 < curve.last_s - since_s < RETIRED_S:
            self._keep_open(since_s)

    def _keep_open(self, at_s: int) -> None:
        """Keep open what comes after an instant: more readings may change it."""
        open_s = self.curve.open_s
        self.curve.open_s = at_s if open_s is None else min(open_s, at_s)


def _reading(value_mwh: int, at_s: int) -> str:
    return f"{_kwh(value_mwh)} kWh at {utc_text(at_s)}"


def _kwh(mwh: int) -> str:
    return f"{mwh / 1e6:.3f}"
