"""What a lifetime counter counted: segments, wraps, resets, dips, suspects, and its energy.

A counter is a series of samples (epoch seconds, milliwatt-hours). Each step from one good sample to the next is energy,
spread evenly over the quarter hours that it crosses. Whole numbers throughout: what was counted is conserved to the
milliwatt-hour, however the samples fall.

The decision about a sample depends on the samples before it, and for one that breaks the series on those of the next
``RECOVERY_S``; so the same samples give the same decisions, whether they are read at once or as they come.
``Counted.settled_s`` says up to when they are final.
"""

from bisect import bisect_left, bisect_right
from itertools import compress
from operator import not_, sub

from tests.oracle.clock import QUARTER_S
from tests.oracle.judge import Judge
from tests.oracle.series import SPIKE_MWH, STALL_POWER_W, STALL_S, Counted, CounterState, Limits, Series


def count(
    series: Series, state: CounterState | None, limits: Limits, *, since_s: int, until_s: int, gap_s: int = QUARTER_S
) -> Counted:
    """Return the energy of a series from ``since_s`` on.

    ``state`` is what was known at ``since_s`` (the start of a quarter hour), ``until_s`` the
    instant up to which samples were read, ``gap_s`` the longest normal step.
    """
    return _Counter(series, state, limits, since_s, until_s, gap_s).run()


class _Counter(Judge):
    def run(self) -> Counted:
        """Count all samples."""
        times = self.series.times_s
        goes_on = self.out.first_s is not None
        if not self._started():
            return self.out
        index = self._pass_over(0 if goes_on else 1)
        changes = [i for i, _ in self.series.sources[1:]]
        if index < len(times) and index not in changes and self._source_of(index) != self.source:
            changes.insert(bisect_left(changes, index), index)
        steps = [0, *map(sub, self.series.values_mwh[1:], self.series.values_mwh)]
        odd = self._odd(steps)
        size = len(times)
        while index < size:
            coming = bisect_left(changes, index)
            stop = changes[coming] if coming < len(changes) else size
            before = index
            coming = bisect_right(odd, index)
            index = self._take_quietly(index, odd[coming] if coming < len(odd) else stop, stop)
            if index < stop:
                edge = self.at_s - self.at_s % QUARTER_S + QUARTER_S
                index = self._take_one_by_one(index, bisect_right(times, edge, index, stop))
            if index == before:
                index = self._step(index, stop == index)
        self._end_run()
        self._look_back()
        self.out.last = CounterState(*self.state)
        return self.out

    def _odd(self, steps: list[int]) -> list[int]:
        """Return which samples may need thought, seen from the one before each, in order."""
        times, powers, small_mwh = self.series.times_s, self.series.powers_w, self.small_mwh
        longest_s = min(self.gap_s, QUARTER_S)
        odd: set[int] = set()
        if min(steps) < 0 or max(steps) > small_mwh:
            odd.update(i for i, step in enumerate(steps) if not 0 <= step <= small_mwh)
        if max(map(sub, times[1:], times), default=0) > longest_s:
            odd.update(i for i in range(1, len(times)) if times[i] - times[i - 1] > longest_s)
        if 0 in steps:
            still = compress(enumerate(powers), map(not_, steps))
            odd.update(i for i, power_w in still if power_w is not None and power_w > STALL_POWER_W)
        return sorted(odd)

    def _take_quietly(self, index: int, end: int, stop: int) -> int:
        """Take samples in which nothing needs thought, all at once; return the next one.

        Small steps at normal cadence that can be nothing else, from ``index`` up to the next odd
        one. It looks only at quarter hours: this is where the time of a rebuild goes.
        """
        times, values, powers = self.series.times_s, self.series.values_mwh, self.series.powers_w
        first_power_w = powers[index]
        if (
            index >= stop
            or self.debt
            or self.stalled_s
            or not 0 <= values[index] - self.value <= self.small_mwh
            or times[index] - self.at_s > min(self.gap_s, QUARTER_S)
            or (values[index] == self.value and first_power_w is not None and first_power_w > STALL_POWER_W)
        ):
            return index
        end = min(end, stop)
        energy, states, since_s = self.out.energy_mwh, self.out.states, self.since_s
        at_s, value, power_w, still_s = self.at_s, self.value, self.power_w, self.still_s
        changed_s, most_mwh, source, first_s = self.changed_s, self.most, self.source, self.first_s
        closed_s = states[-1][0] if states else 0
        counted, known = value, index
        for edge in range(at_s - at_s % QUARTER_S + QUARTER_S, times[end - 1] + 1, QUARTER_S):
            after = bisect_right(times, edge, known, end)
            if after > known:
                grown, value = values[after - 1] > value, values[after - 1]
                if grown:
                    changed_s = times[bisect_left(values, value, known, after)]
                at_s = still_s = times[after - 1]
                power_w, known = powers[after - 1], after
            upto = value
            if at_s < edge:
                upto += (values[after] - value) * (edge - at_s) // (times[after] - at_s)
            start = edge - QUARTER_S
            if start >= since_s:
                here = energy[start] = energy.get(start, 0) + upto - counted
                if edge > closed_s:
                    most_mwh = max(most_mwh, here)
                    known_now = source, at_s, value, changed_s, still_s, 0, first_s, most_mwh
                    states.append((edge, (*known_now, 0, self.bad_until_s, power_w)))
                    closed_s = edge
            counted = upto
        last = end - 1
        rest_s = times[last] % QUARTER_S
        if rest_s and (start := times[last] - rest_s) >= since_s:
            energy[start] = energy.get(start, 0) + values[last] - counted
        if values[last] > value:
            changed_s = times[bisect_left(values, values[last], known, end)]
        self.changed_s = changed_s
        self.at_s = self.still_s = times[last]
        self.value, self.power_w, self.most = values[last], powers[last], most_mwh
        return end

    def _take_one_by_one(self, index: int, until: int) -> int:
        """Take small steps at normal cadence up to ``until``; return the first that is none."""
        times, values, powers = (self.series.times_s, self.series.values_mwh, self.series.powers_w)
        at_s, value = self.at_s, self.value
        changed_s, still_s, stalled_s = self.changed_s, self.still_s, self.stalled_s
        cheap, gap_s, first = self._cheap_mwh(), self.gap_s, index
        while index < until:
            t = times[index]
            step = values[index] - value
            if (
                not 0 <= step <= cheap
                or t - at_s > gap_s
                or (step and stalled_s)
                or (
                    step > SPIKE_MWH
                    and step
                    > self._growth_mwh(t - at_s, (powers[index - 1] if index > first else self.power_w, powers[index]))
                )
            ):
                break
            if step:
                changed_s = still_s = t
                value += step
            elif (power_w := powers[index]) is None or power_w <= STALL_POWER_W:
                still_s = t
            elif not stalled_s and t - still_s > STALL_S:
                stalled_s = still_s
            at_s = t
            index += 1
        if at_s != self.at_s:
            self.changed_s, self.still_s, self.stalled_s = changed_s, still_s, stalled_s
            start = self.at_s - self.at_s % QUARTER_S
            if start >= self.since_s:
                energy = self.out.energy_mwh
                energy[start] = energy.get(start, 0) + value - self.value
            self.at_s, self.value, self.power_w = at_s, value, powers[index - 1]
            self._land(learn=True)
        return index

    def _started(self) -> bool:
        """Begin with the first sample, unless counting goes on from a state."""
        if self.out.first_s is None:
            if not self.series.times_s:
                return False
            self.first_s = self.out.first_s = self.series.times_s[0]
            self.most = 0
            self._begin(0)
        return True
