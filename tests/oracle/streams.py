"""The streams that a site may have: counters by name and phase, in the CT's language."""

from typing import NamedTuple

from tests.oracle.series import Limits

#: (name, phase)
StreamKey = tuple[str, str]

PRODUCTION = "production"  #: production, as its source counts it
STANDBY = "standby"  #: what the inverters draw at night: the production CT's received
IMPORT = "grid import"  #: net-consumption CT delivered
EXPORT = "grid export"  #: net-consumption CT received
TOTAL = "total consumption"  #: total-consumption CT delivered, or the eim counter
CHARGE = "battery charge"  #: storage CT received
DISCHARGE = "battery discharge"  #: storage CT delivered


class Decision(NamedTuple):
    """What the ledger decided about a stream, to be kept as an event."""

    at_s: int
    kind: str
    subject: str
    detail: str


def limits_of(name: str, peak_power_w: float | None) -> Limits:
    """Return what a stream can do on a site of this peak power (W; None where not known)."""
    if name == PRODUCTION:
        return Limits(peak_w=peak_power_w)
    if name == STANDBY:
        return Limits(floor_w=5_000, learned_floor_w=2_000)
    return Limits(floor_w=50_000, learned_floor_w=50_000, is_computed=name == TOTAL)
