"""A walk along one counter: what is known on the way, what is possible, what it leaves behind.

What a sample means is decided in ``judge``; here is what the decisions need and write down.
"""

from collections.abc import Sequence

from tests.oracle.clock import QUARTER_S
from tests.oracle.series import (
    ABSURD_W,
    NOISE_MWH,
    SLOW_SOURCES,
    SPIKE_MWH,
    Counted,
    CounterEvent,
    CounterState,
    Limits,
    Series,
    State,
)


class Walk:
    """The last good sample of a counter and everything that was counted up to it."""

    def __init__(
        self, series: Series, state: CounterState | None, limits: Limits, since_s: int, until_s: int, gap_s: int
    ) -> None:
        self.series = series
        self.limits = limits
        self.since_s = since_s
        self.until_s = until_s
        self.gap_s = gap_s
        #: Every counter may grow by so much from one sample to the next, whatever its history.
        self.small_mwh = min(SPIKE_MWH, int(limits.least_power_w * 60 / 3.6))
        self.out = Counted(series)
        self.run_start_s: int | None = None
        self.stalled_s = self.bad_until_s = 0
        self.power_w: float | None = None
        if state is not None:
            self._adopt(state)
            self.out.states.append((since_s, state))
            self.run_start_s = state.at_s

    def _adopt(self, state: CounterState) -> None:
        self.source, self.at_s, self.value = state.source, state.at_s, state.value_mwh
        self.changed_s, self.still_s, self.debt = state.changed_s, state.still_s, state.debt_mwh
        self.first_s, self.most = state.first_s, state.most_mwh
        self.stalled_s, self.bad_until_s = state.stalled_s, state.bad_until_s
        self.power_w = state.power_w
        self.out.first_s = state.first_s

    @property
    def state(self) -> State:
        """What must be remembered to go on from here."""
        return (
            self.source,
            self.at_s,
            self.value,
            self.changed_s,
            self.still_s,
            self.debt,
            self.first_s,
            self.most,
            self.stalled_s,
            self.bad_until_s,
            self.power_w,
        )

    # -- limits
    def _power_w(self) -> float:
        return self.limits.power_w(self.most, self.at_s - self.first_s)

    def _rate_mwh(self, over_s: int) -> int:
        slack_s = QUARTER_S if self.source in SLOW_SOURCES else 60
        return int(self._power_w() * (over_s + slack_s) / 3.6)

    def _cheap_mwh(self) -> int:
        return -1 if self.debt else self._rate_mwh(0)

    def _allowed_mwh(self, t: int, index: int) -> int:
        """Return what may have been counted since the last good sample."""
        over_s = max(t - self.at_s, min(t - self.changed_s, 3600))
        allowed = self._rate_mwh(over_s)
        if self.limits.peak_w is None:
            powers = (abs(p) for p in self.series.powers_w[max(0, index - 1) : index + 1] if p)
            witness_w = max((p for p in powers if p < ABSURD_W), default=0.0)
            allowed = max(allowed, int(1.5 * witness_w * (t - self.at_s) / 3.6))
        return allowed

    def _growth_mwh(self, over_s: int, powers_w: Sequence[float | None]) -> int:
        """Return what may have been counted in a normal step, by the power at both of its ends."""
        known = [power_w for power_w in powers_w if power_w is not None]
        if len(known) < 2 or over_s > self.gap_s or any(abs(one) > ABSURD_W for one in known):
            return self._rate_mwh(over_s)
        slow_s = QUARTER_S if self.source in SLOW_SOURCES else 0
        # Power the other way counts on the other counter of a meter.
        return int(1.5 * max(0.0, *known) * (over_s + slow_s) / 3.6) + NOISE_MWH

    def _noise_mwh(self, over_s: int) -> int:
        """Return how far a counter may fall without being another one."""
        if not self.limits.is_computed or self.source == "ct":
            return NOISE_MWH
        peak_w = self.most * 4 / 1000
        return max(NOISE_MWH, int(peak_w * min(over_s, QUARTER_S) / 3.6))

    # -- time
    def _spread(self, t0: int, t1: int, step: int, *, bridged: bool) -> None:
        """Give each quarter hour its share of a step, to the last milliwatt-hour."""
        out, since_s = self.out.energy_mwh, self.since_s
        if bridged:
            self.out.bridges_s.append((t0, t1))
        edge = t0 - t0 % QUARTER_S + QUARTER_S
        given = 0
        while True:
            upto = step * (min(edge, t1) - t0) // (t1 - t0)
            start = edge - QUARTER_S
            if start >= since_s:
                out[start] = out.get(start, 0) + upto - given
                if bridged:
                    shares = self.out.bridged_mwh
                    shares[start] = shares.get(start, 0) + upto - given
            given = upto
            if edge >= t1:
                return
            self._close(start, edge, learn=not bridged)
            edge += QUARTER_S

    def _cross(self, t0: int, t1: int) -> None:
        """Close the quarter hours between two samples of which the step is not counted."""
        self.out.breaks_s.append((t0, t1))
        edge = t0 - t0 % QUARTER_S + QUARTER_S
        if edge < t1:
            self._close(edge - QUARTER_S, edge, learn=True)

    def _land(self, *, learn: bool) -> None:
        """Close the quarter hour that ends with a sample."""
        if self.at_s % QUARTER_S == 0:
            self._close(self.at_s - QUARTER_S, self.at_s, learn=learn)

    def _close(self, start: int, edge: int, *, learn: bool) -> None:
        """Remember the state at a quarter hour's end, once."""
        states = self.out.states
        if start < self.since_s or (states and states[-1][0] >= edge):
            return
        if learn:
            self.most = max(self.most, self.out.energy_mwh.get(start, 0))
        states.append((edge, self.state))

    def _end_run(self) -> None:
        if self.run_start_s is not None and self.at_s > self.run_start_s:
            self.out.runs_s.append((self.run_start_s, self.at_s))
        self.run_start_s = None

    def _cut_run(self, at_s: int) -> None:
        """Take back that a counter was measured after an instant."""
        self._end_run()
        self.out.runs_s = [(a, min(b, at_s)) for a, b in self.out.runs_s if a < at_s]

    def _unsettle(self, at_s: int) -> None:
        before = self.out.unsettled_s
        self.out.unsettled_s = at_s if before is None else min(at_s, before)

    def _event(self, at_s: int, kind: str, detail: str) -> None:
        if at_s > self.since_s:
            self.out.events.append(CounterEvent(at_s, kind, detail))

    def _source_of(self, index: int) -> str:
        found = self.series.sources[0][1]
        for start, source in self.series.sources:
            if start > index:
                break
            found = source
        return found
