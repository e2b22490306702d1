"""What one register (lifetime counter) counted: its readings validated and edited to a curve.

Most readings simply go on from the one before; they are taken in long parts. Each other one is
decided about on its own, by the curve before it and the readings of the next ``RECOVERY_S``: so the
same readings give the same decisions, whether they are read at once or as they come.
"""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import ne, sub

from logger.clock import QUARTER_S, utc_text
from logger.ledger.curve import Anchor, Curve, Readings, RegisterEvent, Segment, Step, Tie
from logger.ledger.limits import (
    ABSURD_W,
    NOISE_MWH,
    RECOVERY_S,
    REST_S,
    RETIRED_S,
    SLOW_SOURCES,
    SPIKE_MWH,
    WRAP_MWH,
    WRAP_REST_MWH,
    WRAP_SLACK_MWH,
    WRAPPING_SOURCES,
    Limits,
)


def read_register(
    readings: Readings,
    anchor: Anchor | None,
    limits: Limits,
    *,
    since_s: int,
    until_s: int,
    gap_s: int = QUARTER_S,
) -> Curve:
    """Return what a register counted, from ``since_s`` (the start of a quarter hour) on.

    There is an ``anchor``, what was known at ``since_s``, or at least one reading; readings up to
    the anchor's are passed over. ``until_s`` is the instant up to which readings were read,
    ``gap_s`` the longest normal step.
    """
    believed = Readings()
    if anchor is None:
        believed.append_from(readings, slice(1))
        count_mwh, first_s, index = believed.value_mwh.copy(), readings.at_s[0], 1
    else:
        believed.extend(anchor.source, [anchor.at_s], [0], [anchor.power_w])
        believed.value_mwh[0] = anchor.value_mwh
        count_mwh, first_s = [anchor.value_mwh + anchor.below_high_mwh], anchor.first_s
        index = bisect_right(readings.at_s, anchor.at_s)
    curve = Curve(believed, count_mwh, first_s, since_s, anchor, [Segment(0, 0, True)])
    _Validation(readings, curve, limits, until_s, gap_s).run(index)
    curve.events = [event for event in curve.events if event.at_s > since_s]
    return curve


class _Validation:
    """Continues a curve by readings; its end is the last reading that is believed."""

    def __init__(
        self, readings: Readings, curve: Curve, limits: Limits, until_s: int, gap_s: int
    ) -> None:
        self.readings = readings
        self.curve = curve
        self.limits = limits
        self.until_s = until_s
        self.gap_s = gap_s
        times, values = readings.at_s, readings.value_mwh
        self.steps_mwh: list[int] = [0, *map(sub, values[1:], values)]
        self.may_fall = min(self.steps_mwh) < 0
        has_gaps = max(map(sub, times[1:], times), default=0) > gap_s
        self.gaps = (
            [i for i in range(1, len(times)) if times[i] - times[i - 1] > gap_s] if has_gaps else []
        )

    def run(self, index: int) -> None:
        """Continue by the readings from ``index`` on."""
        times, odd, coming = self.readings.at_s, self._odd(), 0
        while index < len(times):
            if index and times[index - 1] == self.curve.last_s:
                coming = bisect_left(odd, index, coming)
                end = odd[coming] if coming < len(odd) else len(times)
                index = self._take(index, end) if index < end else index
            if index < len(times):
                index = self._decide(index)
        self._look_back()

    # -- readings that simply go on
    def _odd(self) -> list[int]:
        """Return the readings that do not simply go on from the one before them, in order."""
        steps_mwh, sources = self.steps_mwh, self.readings.source
        small_mwh = min(SPIKE_MWH, int(self.limits.least_power_w * 60 / 3.6))
        odd: set[int] = set()
        if min(steps_mwh) < -WRAP_SLACK_MWH or max(steps_mwh) > small_mwh:
            odd.update(
                i
                for i, step_mwh in enumerate(steps_mwh)
                if step_mwh < -WRAP_SLACK_MWH or (step_mwh > small_mwh and not self._is_ordinary(i))
            )
        if sources and sources.count(sources[0]) < len(sources):
            odd.update(i for i, other in enumerate(map(ne, sources[1:], sources), start=1) if other)
        return sorted(odd)

    def _is_ordinary(self, index: int) -> bool:
        """Return whether any register may have grown like that since the reading before."""
        times, step_mwh = self.readings.at_s, self.steps_mwh[index]
        over_s = times[index] - times[index - 1]
        least_mwh = int(self.limits.least_power_w * (over_s + 60) / 3.6)
        if step_mwh <= SPIKE_MWH:
            return step_mwh <= least_mwh
        powers_w = self.readings.power_w[index - 1 : index + 1]
        by_power_mwh = self._by_power_mwh(over_s, powers_w, slow_s=0)
        return step_mwh <= least_mwh and (by_power_mwh is None or step_mwh <= by_power_mwh)

    def _take(self, first: int, end: int) -> int:
        """Believe readings; return the first that was not taken: it grew after being stuck."""
        curve, readings = self.curve, self.readings
        known = len(curve.count_mwh)
        offset_mwh, high_mwh = curve.segments[-1].offset_mwh, curve.count_mwh[-1]
        counts = readings.value_mwh[first:end]
        if offset_mwh:
            counts = [value_mwh + offset_mwh for value_mwh in counts]
        if self.may_fall or counts[0] < high_mwh:
            counts = list(accumulate(counts, max, initial=high_mwh))[1:]
        before_s = curve.last_s
        curve.readings.append_from(readings, slice(first, end))
        curve.count_mwh += counts
        if (grew := curve.growth_after_stuck(known)) is not None:
            end = first + grew - known
            curve.readings.cut(grew)
            del curve.count_mwh[grew:]
        if end > first and readings.at_s[first] - before_s > self.gap_s:
            self._bridge(before_s, readings.at_s[first])
        if self.gaps:
            for i in self.gaps[bisect_right(self.gaps, first) : bisect_left(self.gaps, end)]:
                self._bridge(readings.at_s[i - 1], readings.at_s[i])
        return end

    def _bridge(self, start_s: int, end_s: int) -> None:
        self.curve.gaps_s.append((start_s, end_s))
        self.curve.steps.append(Step(Tie.BRIDGED, start_s, end_s))
        self.curve.whole_s.append((start_s, end_s))

    # -- readings that need a decision
    def _decide(self, index: int) -> int:
        """Decide what a reading means, by the end of the curve; return where to go on."""
        curve, readings = self.curve, self.readings
        end, value_mwh = curve.readings, readings.value_mwh[index]
        at_s, before_s = readings.at_s[index], curve.last_s
        step_mwh = value_mwh - end.value_mwh[-1]
        if readings.source[index] != end.source[-1]:
            return self._broken(index, "source_change")
        if step_mwh < -WRAP_SLACK_MWH:
            return self._broken(index, "drop")
        flat = curve.flat(len(end.at_s) - 1)
        # While it read 0 although there was power, it was no reading that others could go on from.
        was_reading = not (flat.is_stuck and end.value_mwh[-1] == 0)
        if flat.is_stuck and step_mwh > 0 and was_reading:
            grown_mwh = value_mwh + curve.segments[-1].offset_mwh - curve.count_mwh[-1]
            if 0 < grown_mwh <= self._rate_mwh(at_s - flat.since_s):
                return self._caught_up(index, grown_mwh)
        if step_mwh > (self._allowed_mwh(index) if was_reading else 0):
            return self._broken(index, "jump")
        if step_mwh > SPIKE_MWH:
            powers_w = [end.power_w[-1], readings.power_w[index]]
            if step_mwh > self._growth_mwh(at_s - before_s, powers_w):
                if (fallen := self._fallen(index)) is not None:
                    return self._leave_out(fallen)
                if at_s + RECOVERY_S > self.until_s:
                    self._reopen(before_s)
                if flat.since_s < before_s:
                    curve.flats_s.append((flat.since_s, at_s))
                    curve.whole_s.append((flat.since_s, at_s - 1 + QUARTER_S))
        self._believe(index)
        return index + 1

    def _believe(self, index: int) -> None:
        """Take one reading as the next that is believed, whatever the register was before."""
        curve, readings = self.curve, self.readings
        before_s, at_s = curve.last_s, readings.at_s[index]
        count_mwh = readings.value_mwh[index] + curve.segments[-1].offset_mwh
        curve.readings.append_from(readings, slice(index, index + 1))
        curve.count_mwh.append(max(curve.count_mwh[-1], count_mwh))
        if at_s - before_s > self.gap_s:
            self._bridge(before_s, at_s)

    def _fallen(self, index: int) -> int | None:
        """Return the first reading after a spike, if a step up falls back to where it was soon."""
        times, values, sources = self.readings.at_s, self.readings.value_mwh, self.readings.source
        before_mwh, source = self.curve.readings.value_mwh[-1], self.curve.readings.source[-1]
        step_mwh = values[index] - before_mwh
        for later in range(index + 1, bisect_right(times, times[index] + RECOVERY_S)):
            if values[later] < before_mwh or sources[later] != source:
                return None
            if 2 * (values[later - 1] - values[later]) >= step_mwh:
                return later
        return None

    def _leave_out(self, end: int) -> int:
        """Leave out erroneous reads up to ``end``, which goes on from the end of the curve."""
        curve, readings = self.curve, self.readings
        good_mwh, good_s = curve.readings.value_mwh[-1], curve.last_s
        bad_mwh, bad_s = readings.value_mwh[end - 1], readings.at_s[end - 1]
        curve.whole_s.append((good_s, readings.at_s[end]))
        if (
            abs(bad_mwh - good_mwh) > NOISE_MWH
            or readings.source[end - 1] != curve.readings.source[-1]
        ):
            # At the last of them, so that it reads the same wherever counting began.
            good = f"{_kwh(good_mwh)} kWh at {utc_text(good_s)}"
            bad = f"{_kwh(bad_mwh)} kWh at {utc_text(bad_s)}"
            self._event(bad_s, "counter_dip", f"bad up to {bad}, good before: {good}")
        return end

    def _caught_up(self, index: int, grown_mwh: int) -> int:
        """Spread what a register was stuck for and then caught up with over all of that time."""
        curve, at_s = self.curve, self.readings.at_s[index]
        flat = curve.flat(len(curve.count_mwh) - 1)
        detail = f"stood still since {utc_text(flat.since_s)}, then {_kwh(grown_mwh)} kWh more"
        self._event(at_s, "stalled_counter", detail)
        if flat.since_s < curve.since_s:
            curve.reopen_s = flat.since_s
        curve.max_quarter_mwh(curve.last_s)
        offset_mwh = curve.segments[-1].offset_mwh
        curve.readings.cut(flat.point + 1)
        del curve.count_mwh[flat.point + 1 :]
        while curve.segments[-1].point > flat.point:
            curve.segments.pop()
        if offset_mwh != curve.segments[-1].offset_mwh:
            curve.segments.append(Segment(flat.point + 1, offset_mwh, begins_anew=False))
        curve.readings.append_from(self.readings, slice(index, index + 1))
        curve.count_mwh.append(curve.count_mwh[-1] + grown_mwh)
        curve.steps.append(Step(Tie.CAUGHT_UP, flat.since_s, at_s))
        curve.whole_s.append((flat.since_s, at_s))
        return index + 1

    def _broken(self, index: int, why: str) -> int:
        """Decide what a reading that does not continue the register means."""
        curve, readings = self.curve, self.readings
        horizon_s = self._horizon_s(index)
        recovered = self._recovered(index, why, horizon_s)
        if recovered is not None:
            return self._leave_out(recovered)
        before_s, before_mwh = curve.last_s, curve.readings.value_mwh[-1]
        at_s, value_mwh = readings.at_s[index], readings.value_mwh[index]
        if horizon_s > self.until_s:
            self._reopen(before_s)
        before = f"{_kwh(before_mwh)} kWh at {utc_text(before_s)}"
        after = f"{_kwh(value_mwh)} kWh at {utc_text(at_s)}"
        if why == "source_change":
            source, other = curve.readings.source[-1], readings.source[index]
            self._event(at_s, why, f"from {source} ({before}) to {other} ({after})")
        elif why == "jump":
            self._event(at_s, "suspect_increment", f"{after} after {before}: faster than possible")
        elif (wraps := self._wraps(index)) > 0:
            self._event(at_s, "counter_wrap", f"{wraps} x 2^32 J put back: {after} after {before}")
            if value_mwh + wraps * WRAP_MWH - before_mwh <= self._allowed_mwh(index):
                offset_mwh = curve.segments[-1].offset_mwh + wraps * WRAP_MWH
                curve.segments.append(Segment(len(curve.count_mwh), offset_mwh, begins_anew=False))
                self._believe(index)
                return index + 1
            self._event(at_s, "suspect_increment", f"{after} after {before}: faster than possible")
        elif before_mwh - value_mwh <= self._noise_mwh(at_s - before_s):
            self._believe(index)
            return index + 1
        else:
            self._event(at_s, "counter_reset", f"{after} after {before}")
        self._begin_anew(index)
        return index + 1

    def _begin_anew(self, index: int) -> None:
        """Start a segment: what was counted before is unknown, and the curve goes on level."""
        curve, before_s, at_s = self.curve, self.curve.last_s, self.readings.at_s[index]
        offset_mwh = curve.count_mwh[-1] - self.readings.value_mwh[index]
        curve.segments.append(Segment(len(curve.count_mwh), offset_mwh, begins_anew=True))
        curve.readings.append_from(self.readings, slice(index, index + 1))
        curve.count_mwh.append(curve.count_mwh[-1])
        curve.steps.append(Step(Tie.BROKEN, before_s, at_s))
        curve.whole_s.append((before_s, at_s - 1 + QUARTER_S))
        if at_s - before_s > self.gap_s:
            curve.gaps_s.append((before_s, at_s))

    def _horizon_s(self, index: int) -> int:
        """Return until when readings show what one means that breaks the register.

        A gateway without its meter reads 0, for as long as that takes: what was 0 is judged by what
        comes after it.
        """
        times, values = self.readings.at_s, self.readings.value_mwh
        last, end_s = index, times[index] + RETIRED_S
        if values[index] == 0 != self.curve.readings.value_mwh[-1]:
            while last + 1 < len(times) and values[last + 1] == 0 and times[last + 1] <= end_s:
                last += 1
        return times[last] + RECOVERY_S

    def _recovered(self, index: int, why: str, horizon_s: int) -> int | None:
        """Return the first reading that takes up the register where it was, if one does soon."""
        times, values, sources = self.readings.at_s, self.readings.value_mwh, self.readings.source
        before_mwh, source = self.curve.readings.value_mwh[-1], self.curve.readings.source[-1]
        for later in range(index + 1, bisect_right(times, horizon_s)):
            back_mwh = values[later] - before_mwh
            if back_mwh < 0 or back_mwh > self._allowed_mwh(later):
                continue
            if why == "source_change":
                if sources[later] == source:
                    return later if later == index + 1 else None
                continue
            if sources[later] != source:
                return None
            # Only what jumps back is a recovery, seen from the bad reading before it, so that it
            # does not matter with which bad reading counting began.
            bad_mwh = values[later - 1]
            if bad_mwh > before_mwh:
                if values[later] < bad_mwh:
                    return later
            elif later == index + 1 or values[later] - bad_mwh > self._regrowth_mwh(later):
                return later
            else:
                return None  # It grew back: a reset.
        return None

    def _wraps(self, index: int) -> int:
        """Return how often 2^32 J must be added to explain a step down; 0 when it does not."""
        source = self.curve.readings.source[-1]
        if source not in WRAPPING_SOURCES:
            return 0
        drop_mwh = self.curve.readings.value_mwh[-1] - self.readings.value_mwh[index]
        wraps = -(-(drop_mwh - WRAP_SLACK_MWH) // WRAP_MWH)
        rest_mwh = wraps * WRAP_MWH - drop_mwh
        most_mwh = max(self._allowed_mwh(index), 0 if source == "device" else WRAP_REST_MWH)
        return wraps if rest_mwh <= most_mwh else 0

    # -- what is possible
    def _rate_mwh(self, over_s: int) -> int:
        """Return what the register may count in a time at most."""
        curve = self.curve
        slack_s = QUARTER_S if curve.readings.source[-1] in SLOW_SOURCES else 60
        known_for_s = curve.last_s - curve.first_s
        power_w = self.limits.power_w(curve.max_quarter_mwh(curve.last_s), known_for_s)
        return int(power_w * (over_s + slack_s) / 3.6)

    def _allowed_mwh(self, index: int) -> int:
        """Return what may have been counted since the end of the curve up to a reading."""
        at_s, before_s = self.readings.at_s[index], self.curve.last_s
        last_increase_s = self.curve.last_increase_s(len(self.curve.count_mwh) - 1)
        allowed_mwh = self._rate_mwh(max(at_s - before_s, min(at_s - last_increase_s, REST_S)))
        if self.limits.peak_w is None:
            powers_w = self.readings.power_w[max(0, index - 1) : index + 1]
            known_w = (abs(power_w) for power_w in powers_w if power_w)
            witness_w = max((power_w for power_w in known_w if power_w < ABSURD_W), default=0.0)
            allowed_mwh = max(allowed_mwh, int(1.5 * witness_w * (at_s - before_s) / 3.6))
        return allowed_mwh

    def _by_power_mwh(
        self, over_s: int, powers_w: list[float | None], *, slow_s: int
    ) -> int | None:
        """Return what may have been counted by the power at both ends; None where it is unknown."""
        known_w = [power_w for power_w in powers_w if power_w is not None]
        if len(known_w) < 2 or over_s > self.gap_s or any(abs(w) > ABSURD_W for w in known_w):
            return None
        # Power the other way counts on the other register of a meter.
        return int(1.5 * max(0.0, *known_w) * (over_s + slow_s) / 3.6) + NOISE_MWH

    def _growth_mwh(self, over_s: int, powers_w: list[float | None]) -> int:
        """Return what may have been counted in a normal step, by the power at both of its ends."""
        slow_s = QUARTER_S if self.curve.readings.source[-1] in SLOW_SOURCES else 0
        by_power_mwh = self._by_power_mwh(over_s, powers_w, slow_s=slow_s)
        return self._rate_mwh(over_s) if by_power_mwh is None else by_power_mwh

    def _regrowth_mwh(self, index: int) -> int:
        """Return what a register that was reset may have counted up to a reading.

        Over a gap there is nothing but its own history: a reset that comes to lie where the
        register was is less likely than one that never was.
        """
        over_s = self.readings.at_s[index] - self.readings.at_s[index - 1]
        growth_mwh = self._growth_mwh(over_s, self.readings.power_w[index - 1 : index + 1])
        if over_s <= self.gap_s:
            return growth_mwh
        most_mwh = self.curve.max_quarter_mwh(self.curve.last_s)
        return min(growth_mwh, int(1.5 * most_mwh * over_s / QUARTER_S) + NOISE_MWH)

    def _noise_mwh(self, over_s: int) -> int:
        """Return how far a register may fall without being another one."""
        if not self.limits.is_computed or self.curve.readings.source[-1] == "ct":
            return NOISE_MWH
        peak_w = self.curve.max_quarter_mwh(self.curve.last_s) * 4 / 1000
        return max(NOISE_MWH, int(peak_w * min(over_s, QUARTER_S) / 3.6))

    # -- the end
    def _look_back(self) -> None:
        """At the end of the readings: is the register stuck just now?"""
        curve = self.curve
        flat = curve.flat(len(curve.count_mwh) - 1)
        if flat.is_stuck:
            curve.steps.append(Step(Tie.STUCK, flat.since_s, curve.last_s))
        if 0 < curve.last_s - flat.since_s < RETIRED_S:
            self._reopen(flat.since_s)

    def _reopen(self, at_s: int) -> None:
        """Keep open what comes after an instant: more readings may change it."""
        open_s = self.curve.open_s
        self.curve.open_s = at_s if open_s is None else min(open_s, at_s)

    def _event(self, at_s: int, kind: str, detail: str) -> None:
        self.curve.events.append(RegisterEvent(at_s, kind, detail))


def _kwh(mwh: int) -> str:
    return f"{mwh / 1e6:.3f}"
