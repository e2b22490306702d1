"""The nouns of counting: samples of a counter, its limits, its state, what was counted."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

#: 2^32 J, where counters of single inverters and of the inverter total wrap, in mWh.
WRAP_MWH = 1_193_046_471
#: Rounding of counters in whole Wh may make a wrap look up to this much too deep.
WRAP_SLACK_MWH = 2_000
#: A series that returns to its old level within this time had bad samples, not a reset.
RECOVERY_S = 6 * 3600
#: Unchanged for longer than this while there is power: the counter stands still.
STALL_S = 7_200
STALL_POWER_W = 50
#: What did not speak for so long no longer holds the ledger back.
RETIRED_S = 7 * 86_400
#: What no gateway can measure: unsigned views of negative numbers and the like.
ABSURD_W = 1e6
#: Below this a step down is rounding and no event.
NOISE_MWH = 5_000
#: A step up by more than this is looked at: does power explain it, or does it fall back?
SPIKE_MWH = 200_000
#: Sources whose counters are made of microinverters' 32-bit joule counters.
WRAPPING_SOURCES = frozenset({"v1", "inverters", "device"})
#: Sources that move in steps of 5 to 60 minutes although they are polled each minute.
SLOW_SOURCES = frozenset({"v1", "inverters", "device", "derived"})


class CounterEvent(NamedTuple):
    """A decision: what happened between two samples."""

    at_s: int
    kind: str  # counter_wrap | counter_reset | counter_dip | suspect_increment | …
    detail: str


class CounterState(NamedTuple):
    """What must be remembered of a counter to go on counting later."""

    source: str
    at_s: int  #: of the last good sample
    value_mwh: int
    changed_s: int  #: when the value last grew
    still_s: int  #: since when it has stood still while there was power at every sample
    debt_mwh: int  #: how far the value lies below the highest that was counted
    first_s: int  #: first sample ever
    most_mwh: int  #: the most that one quarter hour held so far
    stalled_s: int = 0  #: since when it stands still beyond doubt; 0 while it does not
    bad_until_s: int = 0  #: samples up to here were found bad, whatever they look like alone
    power_w: float | None = None  #: at the last good sample


#: The values of a ``CounterState``: quicker to make, and one is made each quarter hour.
State = tuple[str, int, int, int, int, int, int, int, int, int, float | None]


@dataclass(slots=True)
class Series:
    """The samples of one counter, in order of time; samples without a value are left out."""

    times_s: list[int] = field(default_factory=list)
    values_mwh: list[int] = field(default_factory=list)
    powers_w: list[float | None] = field(default_factory=list)
    #: (index, source) wherever the source differs from the sample before
    sources: list[tuple[int, str]] = field(default_factory=list)
    _source: str | None = field(default=None, repr=False)

    def extend(
        self, source: str, times_s: Sequence[int], values_wh: Sequence[float], powers_w: Sequence[float | None]
    ) -> None:
        """Append samples of one source; the three sequences are equally long."""
        if source != self._source and times_s:
            self.sources.append((len(self.times_s), source))
            self._source = source
        self.times_s += times_s
        self.values_mwh += [round(value_wh * 1000) for value_wh in values_wh]
        self.powers_w += powers_w

    def insert(self, index: int, at_s: int, value_mwh: int) -> None:
        """Put a sample before another of the same source."""
        self.times_s.insert(index, at_s)
        self.values_mwh.insert(index, value_mwh)
        self.powers_w.insert(index, None)
        self.sources = [(i + (i > index), source) for i, source in self.sources]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a counter can do.

    ``peak_w`` is the most that it can run at when that is known (peak power of the site);
    otherwise ``floor_w`` holds until the counter's own history allows more.
    """

    peak_w: float | None = None
    floor_w: float = 25_000.0
    learned_floor_w: float = 10_000.0
    learning_s: int = 7 * 86_400
    #: Computed by the gateway from others, so that it may fall a little (eim total-consumption).
    is_computed: bool = False

    @property
    def least_power_w(self) -> float:
        """The power up to which no increment is ever suspect."""
        if self.peak_w is not None:
            return 1.5 * self.peak_w
        return min(self.floor_w, self.learned_floor_w)

    def power_w(self, most_mwh: int, known_for_s: int) -> float:
        """Return the power above which an increment is suspect."""
        if self.peak_w is not None:
            return self.least_power_w
        floor = self.floor_w if known_for_s < self.learning_s else self.learned_floor_w
        return max(floor, 4 * most_mwh * 4 / 1000)


@dataclass(slots=True)
class Counted:
    """What came of a series."""

    series: Series = field(default_factory=Series)
    energy_mwh: dict[int, int] = field(default_factory=dict)  #: quarter hour -> energy
    bridged_mwh: dict[int, int] = field(default_factory=dict)  #: of it from steps over a gap
    runs_s: list[tuple[int, int]] = field(default_factory=list)  #: measured at normal cadence
    gaps_s: list[tuple[int, int]] = field(default_factory=list)  #: longer than normal, both ends
    bridges_s: list[tuple[int, int]] = field(default_factory=list)  #: over which energy is spread
    breaks_s: list[tuple[int, int]] = field(default_factory=list)  #: of which nothing is known
    #: over which it stood still although there was power, up to the step with which it caught up
    stills_s: list[tuple[int, int]] = field(default_factory=list)
    events: list[CounterEvent] = field(default_factory=list)
    #: (quarter start, state there), in order; the first is where counting began
    states: list[tuple[int, State]] = field(default_factory=list)
    last: CounterState | None = None
    unsettled_s: int | None = None  #: decisions from here on may change with more samples
    first_s: int | None = None
    reopen_s: int | None = None  #: an earlier instant whose energy is known only now

    def state_at(self, at_s: int) -> CounterState | None:
        """Return the state at a quarter hour's start."""
        index = bisect_right(self.states, at_s, key=itemgetter(0))
        return CounterState(*self.states[index - 1][1]) if index else None

    def grown_mwh(self, since_s: int, until_s: int) -> int:
        """Return by how much the counter grew between two instants, as far as it was read."""
        return max(0, self._value_mwh(until_s) - self._value_mwh(since_s))

    def _value_mwh(self, at_s: int) -> int:
        times, values = self.series.times_s, self.series.values_mwh
        after = bisect_left(times, at_s)
        if after > 0:
            before_s, before = times[after - 1], values[after - 1]
        elif self.states and (known := CounterState(*self.states[0][1])).at_s <= at_s:
            before_s, before = known.at_s, known.value_mwh
        else:
            return values[0] if values else 0
        if after == len(times):
            return before
        return before + (values[after] - before) * (at_s - before_s) // (times[after] - before_s)
