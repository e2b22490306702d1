"""What a register may have counted by a reading, seen from the end of its curve.

An increment is judged by the power measured on both sides of it, and by what the site can do in that time.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from logger.clock import QUARTER_S
from logger.ledger.curve import STALL_POWER_W, Anchor, Curve, Readings
from logger.ledger.limits import (
    ABSURD_W,
    NOISE_MWH,
    RECOVERY_S,
    REST_S,
    RETIRED_S,
    SLOW_SOURCES,
    SPIKE_MWH,
    UNSEEN_W,
    WRAP_MWH,
    WRAP_REST_MWH,
    WRAP_SLACK_MWH,
    WRAPPING_SOURCES,
    Limits,
    Stream,
    StreamKey,
)

#: Of what can run unseen by day, this much may at night, when both ends are dark.
DARK_SHARE = 0.1


def power_made(
    registers: Mapping[StreamKey, Readings], anchors: Mapping[StreamKey, Anchor], phase: str, battery_s: float = inf
) -> dict[int, float | None]:
    """Return by instant what is made behind the meter (W), until there is a battery: that may give anything.

    ``battery_s`` is when one was first heard of that no CT measures.
    """
    of_battery = [(stream, phase) for stream in (Stream.CHARGE, Stream.DISCHARGE)]
    first_s = [anchors[key].first_s for key in of_battery if key in anchors]
    first_s += [registers[key].at_s[0] for key in of_battery if key in registers]
    begin_s, key = min([battery_s, *first_s]), (Stream.PRODUCTION, phase)
    produced = registers.get(key, Readings())
    made_w = {anchors[key].at_s: anchors[key].power_w} if key in anchors else {}
    made_w |= zip(produced.at_s, produced.power_w, strict=True)
    return {at_s: power_w for at_s, power_w in made_w.items() if at_s < begin_s}


@dataclass(frozen=True, slots=True)
class Possible:
    """What a register may have counted by a reading, seen from the end of its curve."""

    limits: Limits
    readings: Readings
    curve: Curve
    gap_s: int
    #: by instant, what is made behind the meter (W): of a register that needs it and has a power of its own
    made_w: Mapping[int, float | None] | None = None

    @property
    def most_mwh(self) -> int:
        """The most that one quarter hour held so far."""
        return self.curve.max_quarter_mwh(self.curve.last_s)

    def rate_mwh(self, over_s: int) -> int:
        """Return what may be counted in a time at most."""
        slack_s = QUARTER_S if self.curve.source in SLOW_SOURCES else 60
        known_for_s = self.curve.last_s - self.curve.anchor.first_s
        return int(self.limits.power_w(self.most_mwh, known_for_s) * (over_s + slack_s) / 3.6)

    def allowed_mwh(self, index: int) -> int:
        """Return what may have been counted since the end of the curve up to a reading."""
        at_s, over_s = self.readings.at_s[index], self.readings.at_s[index] - self.curve.last_s
        last_increase_s = self.curve.last_increase_s(len(self.curve.count_mwh) - 1)
        allowed_mwh = self.rate_mwh(max(over_s, min(at_s - last_increase_s, REST_S)))
        if self.limits.peak_w is None:
            powers_w = [abs(w) for w in self.readings.power_w[max(0, index - 1) : index + 1] if w]
            witness_w = max((power_w for power_w in powers_w if power_w < ABSURD_W), default=0.0)
            allowed_mwh = max(allowed_mwh, int(1.5 * witness_w * over_s / 3.6))
        witnessed_mwh = self._witnessed_mwh(index, at_s - last_increase_s)
        return allowed_mwh if witnessed_mwh is None else min(allowed_mwh, witnessed_mwh)

    def caught_up_mwh(self, index: int, flat_since_s: int) -> int:
        """Return what a register that is stuck may have counted by a reading, since it stands still."""
        allowed_mwh, witnessed_mwh = (
            self.rate_mwh(self.readings.at_s[index] - flat_since_s),
            self._witnessed_mwh(index, 0),
        )
        return allowed_mwh if witnessed_mwh is None else min(allowed_mwh, witnessed_mwh)

    def _witnessed_mwh(self, index: int, rest_s: int) -> int | None:
        """Return the most that the power on both sides of a step leaves room for; None where it is unknown.

        That is what it runs at there, what can run in between and be seen at neither end, and what the register owes
        because it stood still under power.
        """
        over_s, own, limits = self.readings.at_s[index] - self.curve.last_s, self.curve.readings, self.limits
        before_w, after_w = own.power_w[-1], self.readings.power_w[index]
        if before_w is None or after_w is None or over_s > self.gap_s or max(abs(before_w), abs(after_w)) > ABSURD_W:
            return None
        is_slow, witness_w = self.curve.source in SLOW_SOURCES, max(0.0, before_w, after_w)
        is_dark = limits.needs_sun and witness_w <= STALL_POWER_W and self._is_dark(index)
        if is_slow and not is_dark:
            return None  # What was late may come at any time of the day.
        unseen_w = limits.power_w(self.most_mwh, self.curve.last_s - self.curve.anchor.first_s)
        if limits.unseen_w is not None:
            unseen_w = max(limits.unseen_w, 1.5 * self.most_mwh * 4 / 1000)
        if not limits.needs_sun:
            unseen_w += witness_w  # It comes on top of what runs all the time.
        if is_dark:
            unseen_w *= DARK_SHARE
        elif self.made_w is not None and None in self._made_at_ends_w(index):
            unseen_w = max(unseen_w, UNSEEN_W)  # Who knows what is exported.
        within_s = max(over_s, min(rest_s, REST_S)) + QUARTER_S if is_slow else over_s + 60
        owed_ws = self.curve.owed_ws(len(own.at_s) - 1)
        return max(SPIKE_MWH, int((max(1.5 * witness_w, unseen_w) * within_s + 1.5 * owed_ws) / 3.6))

    def _is_dark(self, index: int) -> bool:
        """Whether nothing is made behind the meter at both ends of a step."""
        return all(made_w is not None and abs(made_w) <= STALL_POWER_W for made_w in self._made_at_ends_w(index))

    def _made_at_ends_w(self, index: int) -> tuple[float | None, float | None]:
        if self.made_w is None:
            return self.curve.readings.power_w[-1], self.readings.power_w[index]
        return self.made_w.get(self.curve.last_s), self.made_w.get(self.readings.at_s[index])

    def explained_mwh(self, over_s: int, powers_w: Sequence[float | None], *, slow_s: int = 0) -> int | None:
        """Return what the power at both ends of a step explains; None where it is unknown."""
        known_w = [power_w for power_w in powers_w if power_w is not None]
        if len(known_w) < 2 or over_s > self.gap_s or max(map(abs, known_w)) > ABSURD_W:
            return None
        # Power the other way counts on the other register of a meter.
        return int(1.5 * max(0.0, *known_w) * (over_s + slow_s) / 3.6) + NOISE_MWH

    def is_ordinary(self, index: int) -> bool:
        """Return whether any register may have grown by that since the reading before."""
        times, values = self.readings.at_s, self.readings.value_mwh
        over_s, step_mwh = times[index] - times[index - 1], values[index] - values[index - 1]
        if step_mwh > int(self.limits.least_power_w * (over_s + 60) / 3.6):
            return False
        explained = self.explained_mwh(over_s, self.readings.power_w[index - 1 : index + 1])
        return step_mwh <= SPIKE_MWH or explained is None or step_mwh <= explained

    def growth_mwh(self, over_s: int, powers_w: Sequence[float | None]) -> int:
        """Return what may have been counted in a step, by the power at both of its ends."""
        slow_s = QUARTER_S if self.curve.source in SLOW_SOURCES else 0
        explained = self.explained_mwh(over_s, powers_w, slow_s=slow_s)
        return self.rate_mwh(over_s) if explained is None else explained

    def regrowth_mwh(self, index: int) -> int:
        """Return what a register that was reset may have counted up to a reading.

        Over a gap there is nothing but its own history: a reset that comes to lie where the
        register was is less likely than one that never was.
        """
        over_s = self.readings.at_s[index] - self.readings.at_s[index - 1]
        growth_mwh = self.growth_mwh(over_s, self.readings.power_w[index - 1 : index + 1])
        if over_s <= self.gap_s:
            return growth_mwh
        return min(growth_mwh, int(1.5 * self.most_mwh * over_s / QUARTER_S) + NOISE_MWH)

    def noise_mwh(self, over_s: int) -> int:
        """Return how far the register may fall without being another one."""
        if not self.limits.is_computed or self.curve.source == "ct":
            return NOISE_MWH
        return max(NOISE_MWH, int(self.most_mwh * 4 / 1000 * min(over_s, QUARTER_S) / 3.6))

    def wraps(self, index: int) -> int:
        """Return how often 2^32 J must be added to explain a step down; 0 when it does not."""
        if self.curve.source not in WRAPPING_SOURCES:
            return 0
        drop_mwh = self.curve.readings.value_mwh[-1] - self.readings.value_mwh[index]
        wraps = -(-(drop_mwh - WRAP_SLACK_MWH) // WRAP_MWH)
        rest_mwh = max(self.allowed_mwh(index), 0 if self.curve.source == "device" else WRAP_REST_MWH)
        return wraps if wraps * WRAP_MWH - drop_mwh <= rest_mwh else 0

    # -- what the readings after it show
    def fallen(self, index: int) -> int | None:
        """Return the first reading after a spike, if a step up falls back to where it was soon."""
        times, values, sources = self.readings.at_s, self.readings.value_mwh, self.readings.source
        before_mwh, source = self.curve.readings.value_mwh[-1], self.curve.source
        for later in range(index + 1, bisect_right(times, times[index] + RECOVERY_S)):
            if values[later] < before_mwh or sources[later] != source:
                return None
            if 2 * (values[later - 1] - values[later]) >= values[index] - before_mwh:
                return later
        return None

    def horizon_s(self, index: int) -> int:
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

    def recovered(self, index: int, why: str, horizon_s: int) -> int | None:
        """Return the first reading that takes up the register where it was, if one does soon."""
        times, values, sources = self.readings.at_s, self.readings.value_mwh, self.readings.source
        before_mwh, source = self.curve.readings.value_mwh[-1], self.curve.source
        for later in range(index + 1, bisect_right(times, horizon_s)):
            if not 0 <= values[later] - before_mwh <= self.allowed_mwh(later):
                continue
            if why == "source_change":
                if sources[later] == source:
                    return later if later == index + 1 else None
                continue
            if sources[later] != source:
                return None
            # Only what jumps back is a recovery, seen from the bad reading before it, so that it does not matter with
            # which bad reading counting began.
            bad_mwh = values[later - 1]
            if bad_mwh > before_mwh:
                if values[later] < bad_mwh:
                    return later
            elif later == index + 1 or values[later] - bad_mwh > self.regrowth_mwh(later):
                return later
            else:
                return None  # It grew back: a reset.
        return None
