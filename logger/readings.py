"""The nouns: what one poll of a gateway gives.

Sign: ``power_w`` is positive in the direction its measurement is named for; net-consumption is positive for import from
the grid, storage and batteries are positive for discharging. Missing is ``None``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: Two clocks that differ by no more agree: a reading is some seconds old when it is asked for.
CLOCKS_AGREE_S = 30


class Phase(StrEnum):
    """``TOTAL`` is what the gateway reports as the total, never our sum of phases."""

    TOTAL = "total"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


#: The line phases in the order in which documents list them.
LINES = (Phase.L1, Phase.L2, Phase.L3)


class Measurement(StrEnum):
    """``measurementType`` of /ivp/meters, where we look at it; others are kept as text."""

    PRODUCTION = "production"
    TOTAL_CONSUMPTION = "total-consumption"
    NET_CONSUMPTION = "net-consumption"
    STORAGE = "storage"


class Source(StrEnum):
    """Where a number came from; a stream keeps its source."""

    CT = "ct"  #: /ivp/meters/readings
    EIM = "eim"  #: production.json, items of type eim
    V1 = "v1"  #: /api/v1/production
    INVERTERS = "inverters"  #: production.json, the item of type inverters
    HTML = "html"  #: the HTML page /production of firmware 3
    DERIVED = "derived"  #: computed from other readings of the same poll
    ENSEMBLE = "ensemble"  #: /ivp/ensemble/…: IQ Batteries and system devices
    ACB = "acb"  #: production.json, the storage item of type acb
    INVENTORY = "inventory"  #: /inventory.json: each AC Battery
    LIVEDATA = "livedata"  #: /ivp/livedata/status


class BatteryKind(StrEnum):
    """The two families of batteries."""

    ENCHARGE = "encharge"  #: IQ Battery
    ACB = "acb"  #: AC Battery


class Outcome(StrEnum):
    """How a poll ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProductionSample:
    """What the site produces at one instant, in total or on one phase."""

    phase: Phase
    power_w: float | None
    energy_lifetime_wh: float | None
    reading_age_s: int | None  #: polled_at minus the gateway's reading time; None where it has none
    source: Source


@dataclass(frozen=True, slots=True)
class ConsumptionSample:
    """Total or net consumption at one instant, in total or on one phase."""

    measurement: Measurement  #: TOTAL_CONSUMPTION or NET_CONSUMPTION (positive for import)
    phase: Phase
    power_w: float | None
    energy_lifetime_wh: float | None
    reading_age_s: int | None
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What one enabled CT reports (/ivp/meters/readings), in total or on one of its channels."""

    measurement: str  #: measurementType as the gateway spells it
    phase: Phase
    power_w: float | None  #: activePower
    delivered_wh: float | None  #: actEnergyDlvd
    received_wh: float | None  #: actEnergyRcvd
    voltage_v: float | None
    current_a: float | None
    power_factor: float | None  #: as reported: on newer firmware the total is a sum of phases
    apparent_power_va: float | None
    reactive_power_var: float | None
    frequency_hz: float | None
    reading_age_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterSample:
    """One microinverter's report, keyed by the time of its report."""

    reported_at: datetime
    serial: str
    device_type: int | None = None  #: devType: 1 microinverter; None on firmware 3
    power_w: float | None = None
    max_power_w: float | None = None
    energy_lifetime_wh: float | None = None
    energy_interval_wh: float | None = None
    interval_s: int | None = None
    dc_voltage_v: float | None = None
    dc_current_a: float | None = None
    ac_voltage_v: float | None = None
    ac_current_a: float | None = None
    frequency_hz: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """One battery, as a list of devices has it."""

    serial: str
    kind: BatteryKind
    part_number: str | None = None
    firmware: str | None = None
    capacity_wh: float | None = None  #: encharge_capacity; it may change with a firmware
    rated_power_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySample:
    """What one battery reports at one instant."""

    serial: str
    power_w: float | None = None  #: positive for discharging; None while the battery is silent
    soc_pct: float | None = None  #: 0 to 100
    temperature_c: float | None = None
    cell_temperature_c: float | None = None  #: of the warmest cell
    state: str | None = None  #: as the gateway spells it
    reading_age_s: int | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSample:
    """What all batteries of a kind report together at one instant."""

    kind: BatteryKind
    power_w: float | None = None  #: positive for discharging; None unless each battery's is known
    soc_pct: float | None = None
    energy_wh: float | None = None  #: a level, never a counter
    capacity_wh: float | None = None
    health_pct: float | None = None
    reserve_pct: float | None = None  #: kept back for outages
    reading_age_s: int | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """A state of the site's devices that has changed."""

    at: datetime
    subject: str  #: grid_relay, grid_mode, generator, contact NC1 …, battery_mode, reserve_pct, charge_from_grid
    state: str | None  #: None while nothing says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One CT slot of /ivp/meters."""

    measurement: str
    eid: int
    state: str  #: enabled | disabled
    metering_status: str | None
    status_flags: str | None  #: the flags joined by commas; "" where the gateway lists none
    phase_mode: str | None  #: single | split | three: the wiring, not the number in use
    phase_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayInfo:
    """Who answers: /info, /ivp/meters and /home."""

    serial: str
    part_number: str | None
    firmware: str  #: without its leading letter, e.g. "8.2.4286"
    is_metered: bool | None  #: imeter; None where absent (firmware 3)
    has_web_tokens: bool
    gateway_time_s: int | None  #: the gateway's clock, epoch seconds
    phase_mode: str | None = None
    phase_count: int | None = None  #: the most over enabled meters; None when none is enabled
    time_zone: str | None = None  #: /home timezone, where it answers
    meters: tuple[Meter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFailure:
    """A part of a poll that could not be had."""

    source: str  #: the endpoint or the stream
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change worth knowing when the energy is read years later."""

    at: datetime
    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSet:
    """This machine's clock was set, and by how much the polls before have to move."""

    by_s: int
    polls: int  #: how many polls, up to the one before, carry the time of the clock as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Everything one poll of one gateway gave."""

    gateway_serial: str
    polled_at: datetime
    took_s: float
    production: tuple[ProductionSample, ...] = ()
    consumption: tuple[ConsumptionSample, ...] = ()
    meter_readings: tuple[MeterReading, ...] = ()
    inverters: tuple[InverterSample, ...] = ()
    batteries: tuple[BatterySample, ...] = ()
    storage: tuple[StorageSample, ...] = ()
    site_states: tuple[SiteState, ...] = ()  #: those that have changed
    battery_devices: tuple[Battery, ...] = ()  #: where a list of them was asked for in this poll
    failures: tuple[SourceFailure, ...] = ()
    events: tuple[Event, ...] = ()
    #: set when the gateway was identified anew in this poll: its rows are brought up to date
    info: GatewayInfo | None = field(default=None, repr=False)
    clock_set: ClockSet | None = None  #: since the poll before

    @property
    def outcome(self) -> Outcome:
        """Complete, partial (something is missing) or failed (nothing was had)."""
        if not self.failures:
            return Outcome.COMPLETE
        measured = self.production or self.consumption or self.meter_readings or self.inverters
        return Outcome.PARTIAL if measured else Outcome.FAILED

    @property
    def error(self) -> str | None:
        """What was missing, for the polls table."""
        return "; ".join(f"{f.source}: {f.error}" for f in self.failures) or None

    @property
    def clocks_agree(self) -> bool:
        """Whether the gateway's clock and ours showed the same time; False where it shows none."""
        ages_s = [
            sample.reading_age_s
            for samples in (self.production, self.consumption, self.meter_readings)
            for sample in samples
        ]
        if self.info is not None and self.info.gateway_time_s is not None:
            ages_s.append(int(self.polled_at.timestamp()) - self.info.gateway_time_s)
        return any(age_s is not None and abs(age_s) <= CLOCKS_AGREE_S for age_s in ages_s)
