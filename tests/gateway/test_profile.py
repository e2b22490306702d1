"""Which source each stream gets: the first rule that fits wins."""

from typing import Any

import pytest

from logger.gateway import profile as profiles
from logger.gateway.profile import ConsumptionFrom, ProductionFrom, detect, parse_info
from logger.gateway.quirks import firmware_of
from logger.gateway.sources.meters import slots
from logger.readings import GatewayInfo

EIM = {"type": "eim", "activeCount": 1, "measurementType": "production", "wNow": 5, "whLifetime": 9}
INVERTERS = {"type": "inverters", "activeCount": 3, "wNow": 7, "whLifetime": 8}
V1 = {"wattHoursToday": 1, "wattHoursSevenDays": 2, "wattHoursLifetime": 3, "wattsNow": 4}
ZEROS = dict.fromkeys(V1, 0)


def info(firmware: str = "7.6.175", *, metered: bool | None = True, **cts: str) -> GatewayInfo:
    items = [
        {"eid": number, "measurementType": name.replace("_", "-"), "state": state}
        for number, (name, state) in enumerate(cts.items(), start=1)
    ]
    return GatewayInfo(
        serial="1",
        part_number=None,
        firmware=firmware,
        is_metered=metered,
        has_web_tokens=True,
        gateway_time_s=None,
        meters=slots(items),
    )


def page(*production: dict[str, Any], consumption: list[dict[str, Any]] | None = None) -> Any:
    return {"production": list(production), "consumption": consumption or []}


def readings(*eids: int) -> Any:
    return [{"eid": eid} for eid in eids]


CASES = [
    (
        "P1 an enabled production CT",
        info(production="enabled"),
        {profiles.READINGS: readings(1), profiles.V1: V1},
        ProductionFrom.CT,
    ),
    (
        "P1 the readings page is not for us",
        info(production="enabled"),
        {profiles.PRODUCTION_JSON: page(EIM)},
        ProductionFrom.EIM,
    ),
    (
        "P2 no CT information, an active eim",
        info(),
        {profiles.PRODUCTION_JSON: page(INVERTERS, EIM), profiles.V1: V1},
        ProductionFrom.EIM,
    ),
    (
        "P2 an eim without a measurementType",
        info(),
        {profiles.PRODUCTION_JSON: page({"type": "eim", "activeCount": 1})},
        ProductionFrom.EIM,
    ),
    ("P3 only /production has it", info(), {profiles.PRODUCTION: page(EIM)}, ProductionFrom.EIM_PLAIN),
    (
        "P4 not metered",
        info(metered=False),
        {profiles.PRODUCTION_JSON: page(INVERTERS), profiles.V1: V1},
        ProductionFrom.V1,
    ),
    (
        "P4 metered without CT below 8.2.4264",
        info("8.2.127", production="disabled"),
        {profiles.PRODUCTION_JSON: page(INVERTERS, EIM | {"activeCount": 0}), profiles.V1: V1},
        ProductionFrom.V1,
    ),
    (
        "P5 metered without CT from 8.2.4264 on",
        info("8.2.4264", production="disabled"),
        {profiles.PRODUCTION_JSON: page(INVERTERS, EIM | {"activeCount": 0}), profiles.V1: V1},
        ProductionFrom.INVERTERS,
    ),
    (
        "P5 all energies zero",
        info("8.3.5422", metered=False),
        {profiles.PRODUCTION_JSON: page(INVERTERS), profiles.V1: ZEROS},
        ProductionFrom.INVERTERS,
    ),
    ("P6 firmware 3 without v1", info("3.7.0", metered=None), {profiles.PRODUCTION: "<html>"}, ProductionFrom.HTML),
    ("P7 nothing", info(metered=False), {}, ProductionFrom.SUM),
]


@pytest.mark.parametrize(("case", "who", "documents", "expected"), CASES, ids=[c[0] for c in CASES])
def test_production_comes_from_the_first_source_that_fits(
    case: str, who: GatewayInfo, documents: dict[str, Any], expected: ProductionFrom
) -> None:
    assert detect(who, documents, keep_v1=False).production is expected, case


def test_zeros_after_a_restart_do_not_drive_a_stream_from_its_source() -> None:
    documents = {profiles.PRODUCTION_JSON: page(INVERTERS), profiles.V1: ZEROS}
    who = info("5.0.62", metered=False)
    assert detect(who, documents, keep_v1=True).production is ProductionFrom.V1
    assert detect(who, documents, keep_v1=False).production is ProductionFrom.INVERTERS


FILLED = [
    {"type": "eim", "measurementType": name, "activeCount": 0, "wNow": 1, "whLifetime": 4_500_000}
    for name in ("total-consumption", "net-consumption")
]


@pytest.mark.parametrize(
    ("who", "consumption", "expected"),
    [
        (info(production="enabled"), FILLED, None),
        (info(production="enabled", net_consumption="disabled"), FILLED, None),
        (info(production="enabled", net_consumption="enabled"), FILLED, ConsumptionFrom.NET_CT),
        (info(production="enabled", total_consumption="enabled"), [], ConsumptionFrom.TOTAL_CT),
        (info(), [item | {"activeCount": 1} for item in FILLED], ConsumptionFrom.EIM),
        (info(), FILLED, None),
    ],
)
def test_consumption_comes_from_enabled_cts_and_never_from_inactive_items(
    who: GatewayInfo, consumption: list[dict[str, Any]], expected: ConsumptionFrom | None
) -> None:
    documents = {profiles.READINGS: readings(1, 2), profiles.PRODUCTION_JSON: page(EIM, consumption=consumption)}
    assert detect(who, documents, keep_v1=False).consumption is expected


@pytest.mark.parametrize(
    ("older", "newer"),
    [("D8.2.127", "D8.2.4264"), ("R4.10.35", "R5.0.62"), ("D8.2.4264", "M8.3.1598"), ("D8.2.127", "D8.2.127.231214")],
)
def test_firmware_compares_number_by_number(older: str, newer: str) -> None:
    assert firmware_of(older) < firmware_of(newer)


INFO = """<?xml version='1.0'?>\r\n<envoy_info>\r\n\t<time>1700000000</time><device>
<sn>122334455667</sn><pn>800-1</pn><software>{}</software>{}</device>{}</envoy_info>"""


def test_info_is_read_with_and_without_its_newer_parts() -> None:
    old = parse_info(INFO.format("R3.7.0", "", ""))
    new = parse_info(INFO.format("D8.2.4286", "<imeter>true</imeter>", "<web-tokens>true</web-tokens>"))
    assert (old.is_metered, old.has_web_tokens, old.firmware) == (None, False, "3.7.0")
    assert (new.is_metered, new.has_web_tokens, new.firmware) == (True, True, "8.2.4286")
    assert new.gateway_time_s == 1700000000


@pytest.mark.parametrize("document", [None, {}, {"error": 1}, "x", [1, None, {"eid": 5}]])
def test_no_ct_information_is_no_meters(document: Any) -> None:
    assert slots(document) == ()
