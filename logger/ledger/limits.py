"""The registers that a site may have, and what each can count.

Streams are named in the CT's language (delivered, received); flows translates them.
"""

from dataclasses import dataclass
from enum import StrEnum


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
#: Where power is unknown, a register that was quiet may count what this long allows in its next step.
REST_S = 3_600
#: What may run between two readings that show less: a wallbox that charges for less than a minute.
UNSEEN_W = 25_000.0
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
    #: By how much it may exceed the most that it counted so far.
    headroom: float = 4.0
    #: Computed by the gateway from others, so that it may fall a little (eim total-consumption).
    is_computed: bool = False
    #: The most that may run between two readings that show less; None where that is ``power_w``.
    unseen_w: float | None = None
    #: It counts nothing in the dark: production, and export where there is no battery.
    needs_sun: bool = False

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
        return max(floor, self.headroom * max_quarter_mwh * 4 / 1000)


def limits_of(stream: Stream, peak_power_w: float | None) -> Limits:
    """Return what a stream can do on a site of this peak power (W; None where not known)."""
    if stream is Stream.PRODUCTION:
        return Limits(peak_w=peak_power_w, needs_sun=True)
    if stream is Stream.STANDBY:
        return Limits(floor_w=5_000, learned_floor_w=2_000)
    needs_sun = stream is Stream.EXPORT
    return Limits(
        floor_w=50_000,
        learned_floor_w=50_000,
        is_computed=stream is Stream.CONSUMPTION_CT,
        unseen_w=1.5 * peak_power_w if needs_sun and peak_power_w else UNSEEN_W,
        needs_sun=needs_sun,
    )
