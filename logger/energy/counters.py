"""What a lifetime counter counted: segments, wraps, resets, dips, suspects, and its energy.

A counter is a series of samples (epoch seconds, milliwatt-hours). Each step from one good sample
to the next is energy, spread evenly over the quarter hours that it crosses. Whole numbers
throughout: what was counted is conserved to the milliwatt-hour, however the samples fall.

The decision about a sample depends on the samples before it, and for one that breaks the
series on those of the next ``RECOVERY_S``; so the same samples give the same decisions, whether
they are read at once or as they come. ``Counted.settled_s`` says up to when they are final.
"""

from bisect import bisect_left, bisect_right
from operator import sub

from logger.clock import QUARTER_S
from logger.energy.judge import Judge
from logger.energy.series import (
    SPIKE_MWH,
    STALL_POWER_W,
    STALL_S,
    Counted,
    CounterState,
    Limits,
    Series,
)


def count(
    series: Series,
    state: CounterState | None,
    limits: Limits,
    *,
    since_s: int,
    until_s: int,
    gap_s: int = QUARTER_S,
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
        size = len(times)
        while index < size:
            coming = bisect_left(changes, index)
            stop = changes[coming] if coming < len(changes) else size
            before = index
            index = self._take_quietly(index, stop, steps)
            if index < stop:
                edge = self.at_s - self.at_s % QUARTER_S + QUARTER_S
                index = self._take_one_by_one(index, bisect_right(times, edge, index, stop))
            if index == before:
                index = self._step(index, stop == index)
        self._end_run()
        self._look_back()
        self.out.last = CounterState(*self.state)
        return self.out

    def _take_quietly(self, index: int, stop: int, steps: list[int]) -> int:  # noqa: C901 - calls cost
        """Take the samples in which nothing needs thought, by quarter hours; return the next one.

        Small steps at normal cadence that can be nothing else. It looks at no sample alone, and
        keeps everything at hand: this is where the time of a rebuild goes.
        """
        if self.gap_s < QUARTER_S or self.debt or self.stalled_s:
            return index
        times, values, powers = self.series.times_s, self.series.values_mwh, self.series.powers_w
        energy, states, since_s = self.out.energy_mwh, self.out.states, self.since_s
        at_s, value, power_w, small_mwh = self.at_s, self.value, self.power_w, self.small_mwh
        changed_s, still_s, most_mwh = self.changed_s, self.still_s, self.most
        closed_s = states[-1][0] if states else 0
        while index < stop:
            start = at_s - at_s % QUARTER_S
            edge = start + QUARTER_S
            until = bisect_right(times, edge, index, stop)
            crosses = until == index
            if crosses:
                until += 1
                if times[index] - at_s > QUARTER_S:
                    break
            inside = steps[index:until]
            inside[0] = values[index] - value
            least, most = min(inside), max(inside)
            if least < 0 or most > small_mwh:
                break
            if not least and max(filter(None, powers[index:until]), default=0) > STALL_POWER_W:
                break
            step = values[until - 1] - value
            here = step * (edge - at_s) // (times[index] - at_s) if crosses else step
            if start >= since_s:
                energy[start] = energy.get(start, 0) + here
            known = at_s, value, changed_s, still_s
            known_w = power_w
            still_s = at_s = times[until - 1]
            value, power_w = values[until - 1], powers[until - 1]
            if least:
                changed_s = at_s
            elif most:
                changed_s = times[index + max(i for i, one in enumerate(inside) if one)]
            index = until
            if crosses and edge >= since_s:
                energy[edge] = energy.get(edge, 0) + step - here
            if at_s >= edge > closed_s and start >= since_s:
                most_mwh = max(most_mwh, energy[start])
                if not crosses:
                    known, known_w = (at_s, value, changed_s, still_s), power_w
                rest = 0, self.first_s, most_mwh, 0, self.bad_until_s, known_w
                states.append((edge, (self.source, *known, *rest)))
                closed_s = edge
        self.at_s, self.value, self.power_w = at_s, value, power_w
        self.changed_s, self.still_s, self.most = changed_s, still_s, most_mwh
        return index

    def _take_one_by_one(self, index: int, until: int) -> int:
        """Take small steps at normal cadence up to ``until``; return the first that is none."""
        times, values, powers = (
            self.series.times_s,
            self.series.values_mwh,
            self.series.powers_w,
        )
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
                    > self._growth_mwh(
                        t - at_s,
                        (powers[index - 1] if index > first else self.power_w, powers[index]),
                    )
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
