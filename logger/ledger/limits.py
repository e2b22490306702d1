"""The registers that a site may have, what each can count, and may have by a reading.

Streams are named in the CT's language (delivered, received); flows translates them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from logger.clock import QUARTER_S
from logger.ledger.curve import Curve, Readings


class Stream(StrEnum):
    """A register of a site; the value names it in events."""

    PRODUCTION = "production"  #: production, as its source counts it
    STANDBY = "standby"  #: what the inverters draw at night: the production CT's received
    IMPORT = "grid import"  #: net-consumption CT delivered
    EXPORT = "grid export"  #: net-consumption CT received
    CONSUMPTION_CT = "total consumption"  #: total-consumption CT delivered, or the eim register
    CHARGE = "battery charge"  #: storage CT received
    DISCHARGE = "battery discharge"  #: storage CT delivered


#: (stream, phase)
StreamKey = tuple[Stream, str]

#: 2^32 J, where registers of single inverters and of the inverter total roll over, in mWh.
WRAP_MWH = 1_193_046_471
#: Rounding of registers in whole Wh may make a rollover look up to this much too deep.
WRAP_SLACK_MWH = 2_000
#: Rounding of the sum of many inverters and what they make in an outage, for its rollovers.
WRAP_REST_MWH = 20_000_000
#: A register that returns to its old level within this time had erroneous reads, not a reset.
RECOVERY_S = 6 * 3600
#: What was silent for this long no longer holds the ledger back.
RETIRED_S = 7 * 86_400
#: What no gateway can measure: unsigned views of negative numbers and the like.
ABSURD_W = 1e6
#: Below this a step down is rounding and no event.
NOISE_MWH = 5_000
#: A step up by more than this is looked at: does power explain it, or does it fall back?
SPIKE_MWH = 200_000
#: A register that was quiet may count what this long allows in its next step.
REST_S = 3_600
#: Sources whose registers are made of microinverters' 32-bit joule counters.
WRAPPING_SOURCES = frozenset({"v1", "inverters", "device"})
#: Sources that move in steps of 5 to 60 minutes although they are polled each minute.
SLOW_SOURCES = frozenset({"v1", "inverters", "device", "derived"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a register can do.

    ``peak_w`` is the most that it can run at when that is known (peak power of the site);
    otherwise ``floor_w`` holds until the register's own history allows more.
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

    def power_w(self, max_quarter_mwh: int, known_for_s: int) -> float:
        """Return the power above which an increment is suspect.

        ``max_quarter_mwh`` is the most that the register counted in a quarter hour so far.
        """
        if self.peak_w is not None:
            return self.least_power_w
        floor = self.floor_w if known_for_s < self.learning_s else self.learned_floor_w
        return max(floor, 4 * max_quarter_mwh * 4 / 1000)


def limits_of(stream: Stream, peak_power_w: float | None) -> Limits:
    """Return what a stream can do on a site of this peak power (W; None where not known)."""
    if stream is Stream.PRODUCTION:
        return Limits(peak_w=peak_power_w)
    if stream is Stream.STANDBY:
        return Limits(floor_w=5_000, learned_floor_w=2_000)
    is_computed = stream is Stream.CONSUMPTION_CT
    return Limits(floor_w=50_000, learned_floor_w=50_000, is_computed=is_computed)


@dataclass(frozen=True, slots=True)
class Possible:
    """What a register may have counted by a reading, seen from the end of its curve."""

    limits: Limits
    readings: Readings
    curve: Curve
    gap_s: int

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
        if self.limits.peak_w is not None:
            return allowed_mwh
        powers_w = [abs(w) for w in self.readings.power_w[max(0, index - 1) : index + 1] if w]
        witness_w = max((power_w for power_w in powers_w if power_w < ABSURD_W), default=0.0)
        return max(allowed_mwh, int(1.5 * witness_w * over_s / 3.6))

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
