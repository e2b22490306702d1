"""One sample that needs thought: what does it mean that a counter does not just go on?

A wrap, a reset, bad samples that recover, a jump that can't be, another source, or that it stood still. The decision
depends on the samples before it and on those of the next ``RECOVERY_S``.
"""

from tests.oracle.clock import QUARTER_S, utc_text
from tests.oracle.series import (
    NOISE_MWH,
    RECOVERY_S,
    RETIRED_S,
    SPIKE_MWH,
    STALL_POWER_W,
    STALL_S,
    WRAP_MWH,
    WRAP_SLACK_MWH,
    WRAPPING_SOURCES,
)
from tests.oracle.walk import Walk


class Judge(Walk):
    """Decides about single samples on a walk along a counter."""

    def _step(self, index: int, source_changes: bool) -> int:
        t, value = self.series.times_s[index], self.series.values_mwh[index]
        step = value - self.value
        if t <= self.at_s:
            return index + 1
        if 0 <= step <= self.small_mwh and not (source_changes or self.stalled_s):
            self._good(index)
            return index + 1
        if source_changes and self._source_of(index) != self.source:
            return self._broken(index, "source_change")
        if step < -WRAP_SLACK_MWH:
            return self._broken(index, "drop")
        # While it said 0 although there was power, it was no reading that others could go on from.
        was_reading = not (self.stalled_s and self.value == 0)
        if step > 0 and was_reading and self._stalled(index):
            return index + 1
        if step > (self._allowed_mwh(t, index) if was_reading else 0):
            return self._broken(index, "jump")
        growth_mwh = self._growth_mwh(t - self.at_s, (self.power_w, self.series.powers_w[index]))
        if step > SPIKE_MWH and step > growth_mwh:
            if (fallen := self._fall(index)) is not None:
                self.bad_until_s = self.series.times_s[fallen - 1]
                return self._pass_over(index)
            if t + RECOVERY_S > self.until_s:
                self._unsettle(self.at_s)
            if self.still_s < self.at_s:
                self.out.stills_s.append((self.still_s, t))
        self._good(index)
        return index + 1

    def _fall(self, index: int) -> int | None:
        """Return the first sample after a spike, if a step up falls back to where it was soon."""
        times, values = self.series.times_s, self.series.values_mwh
        step = values[index] - self.value
        for later in range(index + 1, len(times)):
            if times[later] > times[index] + RECOVERY_S or values[later] < self.value:
                return None
            if self._source_of(later) != self.source:
                return None
            if 2 * (values[later - 1] - values[later]) >= step:
                return later
        return None

    def _good(self, index: int, *, offset_mwh: int = 0) -> None:
        """Take a sample as the next good one; a wrap adds its offset."""
        t, value = self.series.times_s[index], self.series.values_mwh[index]
        above = value + offset_mwh - self.value - self.debt
        step = max(0, above)
        bridged = t - self.at_s > self.gap_s
        if bridged:
            self.out.gaps_s.append((self.at_s, t))
            self._end_run()
        self._spread(self.at_s, t, step, bridged=bridged)
        if bridged:
            self.run_start_s = t
        power_w = self.series.powers_w[index]
        if step:
            self.changed_s = self.still_s = t
            self.stalled_s = 0
        elif power_w is None or power_w <= STALL_POWER_W:
            self.still_s = t
        elif not self.stalled_s and t - self.still_s > STALL_S:
            self.stalled_s = self.still_s
        self.at_s, self.value, self.debt, self.power_w = t, value, max(0, -above), power_w
        self._land(learn=not bridged)

    def _broken(self, index: int, why: str) -> int:
        """Decide what a sample that does not continue the counter means."""
        horizon_s = self._horizon_s(index)
        recovered = self._recovery(index, why, horizon_s)
        t, value = self.series.times_s[index], self.series.values_mwh[index]
        before = f"{_kwh(self.value)} kWh at {utc_text(self.at_s)}"
        after = f"{_kwh(value)} kWh at {utc_text(t)}"
        if recovered is not None:
            self.bad_until_s = self.series.times_s[recovered - 1]
            return self._pass_over(index)
        if horizon_s > self.until_s:
            self._unsettle(self.at_s)
        if why == "source_change":
            source = self._source_of(index)
            self._event(t, why, f"from {self.source} ({before}) to {source} ({after})")
        elif why == "jump":
            self._event(t, "suspect_increment", f"{after} after {before}: faster than possible")
        elif (wraps := self._wraps(index)) > 0:
            self._event(t, "counter_wrap", f"{wraps} x 2^32 J put back: {after} after {before}")
            if value + wraps * WRAP_MWH - self.value <= self._allowed_mwh(t, index):
                self._good(index, offset_mwh=wraps * WRAP_MWH)
                return index + 1
            self._event(t, "suspect_increment", f"{after} after {before}: faster than possible")
        elif self.value - value <= self._noise_mwh(t - self.at_s):
            self._good(index)
            return index + 1
        else:
            self._event(t, "counter_reset", f"{after} after {before}")
        self._end_run()
        self._begin(index)
        return index + 1

    def _pass_over(self, index: int) -> int:
        """Leave out the samples that were found bad, also those found so before counting began."""
        times = self.series.times_s
        first = index
        while index < len(times) and times[index] <= self.bad_until_s:
            index += 1
        if index == first:
            return index
        bad, bad_s = self.series.values_mwh[index - 1], times[index - 1]
        if abs(bad - self.value) > NOISE_MWH or self._source_of(index - 1) != self.source:
            # Told at the last bad sample, so that it reads the same wherever counting began.
            good = f"{_kwh(self.value)} kWh at {utc_text(self.at_s)}"
            detail = f"bad up to {_kwh(bad)} kWh at {utc_text(bad_s)}, good before: {good}"
            self._event(bad_s, "counter_dip", detail)
        return index

    def _begin(self, index: int) -> None:
        """Start a segment at a sample: what was counted before it is unknown."""
        if hasattr(self, "at_s"):
            self._cross(self.at_s, self.series.times_s[index])
            if self.series.times_s[index] - self.at_s > self.gap_s:
                self.out.gaps_s.append((self.at_s, self.series.times_s[index]))
        self.source = self._source_of(index)
        self.at_s = self.changed_s = self.still_s = self.series.times_s[index]
        self.value, self.power_w = self.series.values_mwh[index], self.series.powers_w[index]
        self.debt = self.stalled_s = 0
        self.run_start_s = self.at_s
        self._land(learn=True)

    def _horizon_s(self, index: int) -> int:
        """Return until when the samples after one that breaks the series tell what it means.

        A gateway without its meter says 0, for as long as that takes: what was 0 is judged by what
        comes after it.
        """
        times, values = self.series.times_s, self.series.values_mwh
        last, end_s = index, times[index] + RETIRED_S
        if values[index] == 0 != self.value:
            while last + 1 < len(times) and values[last + 1] == 0 and times[last + 1] <= end_s:
                last += 1
        return times[last] + RECOVERY_S

    def _recovery(self, index: int, why: str, horizon_s: int) -> int | None:
        """Return the first sample that takes up the counter where it was, if one does soon."""
        times, values = self.series.times_s, self.series.values_mwh
        for later in range(index + 1, len(times)):
            t, value = times[later], values[later]
            if t > horizon_s:
                return None
            back = value - self.value
            if not 0 <= back <= self._allowed_mwh(t, later):
                continue
            if why == "source_change":
                if self._source_of(later) == self.source:
                    return later if later == index + 1 else None
                continue
            if self._source_of(later) != self.source:
                return None
            # Only what jumps back is a recovery, seen from the bad sample before it, so that it does not matter with
            # which bad sample counting began.
            bad = values[later - 1]
            if bad > self.value:
                if value < bad:
                    return later
            elif later == index + 1 or value - bad > self._regrowth_mwh(later):
                return later
            else:
                return None  # It grew back: a reset.
        return None

    def _regrowth_mwh(self, index: int) -> int:
        """Return what a counter that was reset may have counted up to a sample.

        Over a gap nothing tells but its own history: a reset that comes to lie where the counter
        was is less likely than one that never was.
        """
        over_s = self.series.times_s[index] - self.series.times_s[index - 1]
        growth_mwh = self._growth_mwh(over_s, self.series.powers_w[index - 1 : index + 1])
        if over_s <= self.gap_s:
            return growth_mwh
        return min(growth_mwh, int(1.5 * self.most * over_s / QUARTER_S) + NOISE_MWH)

    def _wraps(self, index: int) -> int:
        """Return how often 2^32 J must be added to explain a step down; 0 when it does not."""
        if self.source not in WRAPPING_SOURCES:
            return 0
        drop = self.value - self.series.values_mwh[index]
        wraps = -(-(drop - WRAP_SLACK_MWH) // WRAP_MWH)
        rest = wraps * WRAP_MWH - drop
        plausible = self._allowed_mwh(self.series.times_s[index], index)
        return wraps if rest <= max(plausible, 20_000_000 if self.source != "device" else 0) else 0

    def _stalled(self, index: int) -> bool:
        """Bridge a counter that stood still although there was power; True when it did."""
        t, since_s = self.series.times_s[index], self.stalled_s
        step = self.series.values_mwh[index] - self.value - self.debt
        if not since_s or not 0 < step <= self._rate_mwh(t - since_s):
            return False
        detail = f"stood still since {utc_text(since_s)}, then {_kwh(step)} kWh more"
        self._event(t, "stalled_counter", detail)
        if since_s < self.since_s:
            self.out.reopen_s = since_s
        self._cut_run(since_s)
        self._spread(since_s, t, step, bridged=True)
        self.debt = 0
        self.run_start_s = t
        self.at_s, self.value = t, self.series.values_mwh[index]
        self.power_w = self.series.powers_w[index]
        self.changed_s = self.still_s = t
        self.stalled_s = 0
        self._land(learn=False)
        return True

    def _look_back(self) -> None:
        """At the end of the samples: does the counter stand still just now?"""
        since_s = self.stalled_s or self.still_s
        if self.stalled_s:
            self._cut_run(since_s)
        if 0 < self.at_s - since_s < RETIRED_S:
            self._unsettle(since_s)


def _kwh(mwh: int) -> str:
    return f"{mwh / 1e6:.3f}"
