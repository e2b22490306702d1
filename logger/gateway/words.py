"""A gateway in words: what it is, what of it is recorded, and what is not and why.

Pure: made of a profile and of a poll of it. Each line has a name and a sentence without its first capital.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from logger.gateway.profile import ConsumptionFrom, ProductionFrom, Profile
from logger.gateway.quirks import firmware_of
from logger.gateway.sources.meters import is_enabled
from logger.gateway.token import Token
from logger.readings import GatewayInfo, Measurement, Poll

Line = tuple[str, str]  # a name, and what is to say of it

#: Gateways from this firmware on are called IQ Gateway; before it, they were the Envoy.
IQ_FROM = (7,)
_PRODUCTION = {
    ProductionFrom.CT: "counted by the CT (clamp) at the inverters",
    ProductionFrom.EIM: "counted by the CT (clamp) at the inverters",
    ProductionFrom.EIM_PLAIN: "counted by the CT (clamp) at the inverters",
    ProductionFrom.V1: "as the gateway adds up its inverters; news each 5 minutes",
    ProductionFrom.INVERTERS: "as the gateway adds up its inverters; news each 5 to 15 minutes",
    ProductionFrom.HTML: "the power alone, from the page that this old firmware shows",
    ProductionFrom.SUM: "the sum of what each inverter reported last",
}
_NO_ENERGY = {ProductionFrom.HTML}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a gateway gives."""

    recorded: tuple[Line, ...]
    missing: tuple[Line, ...]  #: and why


def kind(info: GatewayInfo) -> str:
    """Return what answers, in a few words."""
    name = "IQ Gateway (Envoy)" if firmware_of(info.firmware) >= IQ_FROM else "Envoy"
    part = f", part {info.part_number}" if info.part_number else ""
    return f"{name}, firmware {info.firmware}, serial number {info.serial}{part}"


def describe(profile: Profile, poll: Poll | None = None) -> Description:
    """Return what of a gateway is recorded; with a poll, also what only that shows."""
    recorded: list[Line] = []
    missing: list[Line] = []
    for is_recorded, name, text in (
        *_of_production(profile),
        *_of_consumption(profile),
        *_of_inverters(profile, poll),
        *_of_batteries(profile),
    ):
        (recorded if is_recorded else missing).append((name, text))
    return Description(recorded=tuple(recorded), missing=tuple(missing))


Found = Iterator[tuple[bool, str, str]]


def _of_production(profile: Profile) -> Found:
    lines = f", each of {profile.phases} phases too" if (profile.info.phase_count or 1) > 1 else ""
    of_ct = profile.production in {ProductionFrom.CT, ProductionFrom.EIM, ProductionFrom.EIM_PLAIN}
    yield True, "production", _PRODUCTION[profile.production] + (lines if of_ct else "")
    if profile.production in _NO_ENERGY:
        yield False, "energy", "this firmware counts none that could be trusted: its page rounds to three digits"


def _of_consumption(profile: Profile) -> Found:
    lines = f", each of {profile.phases} phases too" if (profile.info.phase_count or 1) > 1 else ""
    match profile.consumption:
        case ConsumptionFrom.NET_CT:
            yield True, "grid", f"import and export, counted by the CT at the grid{lines}"
            yield True, "consumption", "what the house uses: production + import - export"
        case ConsumptionFrom.TOTAL_CT:
            yield True, "consumption", f"what the house uses, counted by the CT of its load{lines}"
            yield True, "grid", "import and export, worked out from the difference of powers: no CT counts them"
        case ConsumptionFrom.EIM:
            yield True, "consumption", "what the house uses, as the gateway counts it"
            yield True, "grid", "import and export, worked out from power: the gateway has no counters of them"
        case None:
            yield False, "consumption", f"nor import and export: {_why_no_consumption(profile)}"


def _why_no_consumption(profile: Profile) -> str:
    slots = {Measurement.NET_CONSUMPTION, Measurement.TOTAL_CONSUMPTION}
    mine = [meter for meter in profile.info.meters if meter.measurement in slots]
    if any(map(is_enabled, mine)):
        return "the CT for it is switched on but gives no readings; look whether it is plugged in"
    if mine:
        return "the gateway has a CT for it that is switched off; an installer can enable it once its clamp is there"
    if profile.info.meters or profile.info.is_metered:
        return "no CT measures the house or the grid"
    return "this gateway has no CTs: it only hears its inverters"


def _of_inverters(profile: Profile, poll: Poll | None) -> Found:
    if poll is None:
        return
    count = len(poll.inverters)
    if not count:
        reason = next((failure.error for failure in poll.failures if "inverters" in failure.source), "")
        yield False, "inverters", f"none was listed now{f' ({reason})' if reason else ''}; they are asked again"
        return
    detailed = sum(unit.dc_voltage_v is not None for unit in poll.inverters)
    counted = sum(unit.energy_lifetime_wh is not None for unit in poll.inverters)
    what = ["power", *["energy"] * bool(counted), *["voltages", "temperature"] * bool(detailed)]
    each = f"each of the {count}" if count > 1 else "the one there is"
    yield True, "inverters", f"{each}, every 5 to 15 minutes: {', '.join(what)}"
    if not detailed:
        yield False, "voltages", f"of the inverters: firmware {profile.info.firmware} does not show them to an owner"


def _of_batteries(profile: Profile) -> Found:
    equipment = profile.equipment
    if not equipment.has_batteries:
        if equipment.is_unknown:
            yield False, "batteries", "the gateway did not list them now; they are asked again"
        return
    name = "IQ Batteries" if equipment.has_encharge else "AC Batteries"
    yield True, name, "their charge, and what they give and take"
    if profile.has_uncounted_battery:
        yield (
            False,
            "counters",
            f"of the {name}: no CT counts them, so energy is worked out from their power, and marked",
        )


def lifetime(token: Token, now: datetime, *, renews: bool) -> list[str]:
    """Return whose a token is and how long it lasts, and what to do where that is not long."""
    whose = {"owner": "an owner's token", "installer": "an installer's token"}.get(
        token.user, f"a {token.user}'s token"
    )
    if token.expires_at is None:
        return [f"{whose}, without an end"]
    left = token.expires_at - now
    ends = (
        f"until {token.expires_at:%Y-%m-%d} ({left.days} days)"
        if left.days >= 2
        else f"for {left / timedelta(hours=1):.0f} hours"
    )
    if renews:
        return [f"{whose}, good {ends}; it is renewed by itself"]
    if token.is_short:
        advice = (
            "An installer's token ends twice a day. Take one of the system's owner, which lasts a year; or let it be "
            "renewed: username and password_file of the account in the configuration."
        )
        return [f"{whose}, good {ends}", advice]
    return [f"{whose}, good {ends}", "Two weeks before that, `envoylog health` warns: paste a new one then."]
