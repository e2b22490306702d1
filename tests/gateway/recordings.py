"""Makes tests/data/gateways: what gateways of every kind answer, and the poll that it gives.

``python -m tests.gateway.recordings`` writes the files anew; look at the difference before you commit it. Documents
come from the simulator, changed to what the kind is known for. No serial number, and no value, is that of a real
gateway.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from logger.clock import to_epoch_s
from logger.errors import EndpointMissingError, GatewayError
from logger.gateway import equipment, parse
from logger.gateway import profile as profiles
from logger.gateway.devices import Devices
from logger.gateway.poll import Parts, read
from logger.gateway.profile import Documents, Profile
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation
from logger.simulator.site import Shape, SimulatedClock

DIRECTORY = Path(__file__).parents[1] / "data" / "gateways"
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
PATHS = (
    profiles.INFO,
    profiles.METERS,
    profiles.READINGS,
    profiles.PRODUCTION_JSON,
    profiles.PRODUCTION,
    profiles.V1,
    profiles.V1_INVERTERS,
    profiles.DEVICE_DATA,
)
NO_PAGE = EndpointMissingError("this gateway has no such page.")
MISSING = '{ "error" : "404 - Not Found" }'
LOGIN = "<html><body><h1>401 Authorization Required</h1></body></html>"

Answers = dict[str, dict[str, Any]]  # path -> status, body


# ----------------------------------------------------------------------------- reading them


def documents_of(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded answers as ``Documents``."""
    return {path: _document(path, answer) for path, answer in answers.items()}


def _document(path: str, answer: Mapping[str, Any]) -> Any:
    body = answer["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    try:
        return parse.document(answer["status"], text.encode(), or_html=path == profiles.PRODUCTION)
    except GatewayError as error:
        return error


def polled(answers: Mapping[str, Any], at_s: int) -> tuple[Profile, list[str], Parts]:
    """Return what a gateway with these answers is, what it is asked for, and the poll."""
    recorded = documents_of(answers)
    info = profiles.parse_info(answers[profiles.INFO]["body"])
    info = profiles.with_meters(info, profiles.known(recorded, profiles.METERS))
    deciding: dict[str, Any] = {}
    while (path := profiles.next_deciding_endpoint(info, deciding)) is not None:
        deciding[path] = recorded.get(path, NO_PAGE)
    profile = profiles.detect(info, deciding, keep_v1=False)
    return profile, *poll_of(profile, recorded, at_s)


def poll_of(profile: Profile, recorded: Documents, at_s: int) -> tuple[list[str], Parts]:
    """Return what is asked for of these documents, and the poll."""
    documents: dict[str, Any] = {}
    devices = Devices()
    if not isinstance(page := recorded.get(profiles.PRODUCTION_JSON), GatewayError):
        profile = replace(profile, equipment=devices.equipment(profile.equipment, {}, page))
    due = profile.equipment.slow_pages()
    while (path := profiles.next_endpoint(profile, documents, with_inverters=True, due=due)) is not None:
        documents[path] = recorded.get(path, NO_PAGE)
    devices.remember(documents, at_s)
    return list(documents), read(profile, documents, at_s, with_inverters=True, remembered=devices.remembered(0))


def plain(profile: Profile, asked: list[str], parts: Parts) -> dict[str, Any]:
    """Return a poll as it is recorded; what is unknown is left out of a sample."""

    def rows(samples: list[Any]) -> list[dict[str, Any]]:
        records = [asdict(sample) for sample in samples]
        return [
            {
                name: to_epoch_s(value) if isinstance(value, datetime) else value
                for name, value in record.items()
                if value is not None
            }
            for record in records
        ]

    of_batteries = {
        "batteries": rows(parts.batteries),
        "battery_devices": rows(parts.battery_devices),
        "storage": rows(parts.storage),
        "states": parts.states,
        "silent": {subject: why for subject, why in parts.heard.items() if why is not None},
    }
    return {
        "serial": profile.info.serial,
        "firmware": profile.info.firmware,
        "gateway_time_s": profile.info.gateway_time_s,
        "phases": profile.info.phase_count,
        "asked": asked,
        "production": rows(parts.production),
        "consumption": rows(parts.consumption),
        "meter_readings": rows(parts.meter_readings),
        "inverters": rows(parts.inverters),
        **{name: found for name, found in of_batteries.items() if found},
        "failures": [f"{failure.source}: {failure.error}" for failure in parts.failures],
        "anomalies": [" ".join(anomaly) for anomaly in parts.anomalies],
    }


# ------------------------------------------------------------------------------ making them


@dataclass(frozen=True)
class Kind:
    """One kind of gateway: how it is simulated, and what is then changed about its answers."""

    name: str
    about: str
    model: Model
    shape: Shape = field(default_factory=lambda: Shape(inverters=2))
    fault: str = ""
    change: Callable[[Answers], None] = lambda _: None


def answers_of(kind: Kind) -> Answers:
    simulation = Simulation(
        shape=kind.shape, model=kind.model, clock=SimulatedClock(NOON, speed=0), born=NOON - timedelta(days=1)
    )
    if kind.fault:
        what, _, argument = kind.fault.partition("=")
        simulation.fault(what, argument=argument)
    answers: Answers = {}
    for path in PATHS:
        body = simulation.page(NOON, path)
        answers[path] = {"status": 200, "body": body} if body is not None else _missing()
    kind.change(answers)
    return answers


def _missing() -> dict[str, Any]:
    return {"status": 404, "body": MISSING}


def without(*paths: str, status: int = 404) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        for path in paths:
            answers[path] = {"status": status, "body": MISSING if status == 404 else LOGIN}

    return change


def body(path: str, text: Any, status: int = 200) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        answers[path] = {"status": status, "body": text}

    return change


def both(*changes: Callable[[Answers], None]) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        for step in changes:
            step(answers)

    return change


def cut(path: str) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        answers[path]["body"] = json.dumps(answers[path]["body"])[:60]

    return change


def ac_batteries(answers: Answers) -> None:
    """Three AC Batteries beside the inverters, and a storage section that stands still."""
    devices, at_s = answers[profiles.DEVICE_DATA]["body"], to_epoch_s(NOON)
    for number in range(3):
        serial = f"1219{number:08d}"
        answers[profiles.V1_INVERTERS]["body"].append(
            {"serialNumber": serial, "lastReportDate": at_s - 200, "devType": 11,
             "lastReportWatts": 86, "maxReportWatts": 272}
        )  # fmt: skip
        devices[str(554_000_000 + number)] = {
            "devName": "acb", "sn": serial, "active": True, "modGone": False, "SOC": 41,
            "channels": [{"watts": {"now": 86}, "lastReading": {"endDate": at_s - 200}}],
        }  # fmt: skip
    devices["deviceCount"] += 3
    answers[profiles.PRODUCTION_JSON]["body"]["storage"] = [
        {"type": "acb", "activeCount": 3, "readingTime": at_s - 41 * 3600, "wNow": 260,
         "whNow": 1650, "state": "discharging", "percentFull": 41}
    ]  # fmt: skip


def iq_batteries(answers: Answers) -> None:
    """Two IQ Batteries that charge and a system controller; names and serials are made up."""
    at_s = to_epoch_s(NOON)
    common = {"part_num": "836-01000-r01", "img_pnum_running": "3.0.7000_rel/31.33", "admin_state": 6,
              "admin_state_str": "ENCHG_STATE_READY", "communicating": True, "sleep_enabled": False,
              "dc_switch_off": False, "reported_enc_grid_state": "multimode-ongrid", "led_status": 12,
              "encharge_rev": 3, "encharge_capacity": 5000, "phase": "ph-a"}  # fmt: skip
    batteries = [
        common | {"serial_num": f"4920{number:08d}", "percentFull": 40 + number, "temperature": 18 + number,
                  "maxCellTemp": 19, "last_rpt_date": at_s - 60 * number - 8}
        for number in range(2)
    ]  # fmt: skip
    enpower = {"part_num": "865-00000-r01", "serial_num": "482000000000", "last_rpt_date": at_s - 3,
               "temperature": 83, "communicating": True, "admin_state_str": "ENPWR_STATE_OPER_CLOSED",
               "mains_admin_state": "closed", "mains_oper_state": "closed",
               "Enpwr_grid_mode": "multimode-ongrid", "Enchg_grid_mode": "multimode-ongrid"}  # fmt: skip
    inventory = [{"type": "ENCHARGE", "devices": batteries}, {"type": "ENPOWER", "devices": [enpower]},
                 {"type": "C6 RGM", "devices": [{"FW Version": "1.0", "Device State": 80}]}]  # fmt: skip
    power = [
        {"serial_num": battery["serial_num"], "real_power_mw": -1_324_000 + 8_000 * number,
         "apparent_power_mva": -1_324_000 + 8_000 * number, "soc": 42 + number}
        for number, battery in enumerate(batteries)
    ]  # fmt: skip
    secctrl = {"configured_backup_soc": 20, "adjusted_backup_soc": 20, "agg_soc": 42, "Max_energy": 10000,
               "ENC_agg_soc": 42, "ENC_agg_soh": 100, "ENC_agg_backup_energy": 2000, "ENC_agg_avail_energy": 4250,
               "Enc_commissioned_capacity": 10000, "Enc_max_available_capacity": 10000,
               "ACB_agg_soc": 0, "ACB_agg_energy": 0}  # fmt: skip
    rated = {battery["serial_num"]: {"device_type": 13, "encharge_rated_power": 3840} for battery in batteries}
    contacts = [{"id": name, "status": "closed"} for name in ("NC1", "NC2", "NO1", "NO2")]
    names = [{"id": "NC1", "type": "LOAD", "load_name": "Pool pump"}, {"id": "NO1", "type": "NONE", "load_name": ""}]
    storage_settings = {"mode": "self-consumption", "reserved_soc": 30.0, "charge_from_grid": False}
    pages = {
        equipment.INVENTORY: inventory,
        equipment.POWER: {"devices:": power},
        equipment.SECCTRL: secctrl,
        equipment.STATUS: {"inventory": {"serial_nums": rated}, "secctrl": secctrl},
        equipment.CONTACTS: {"dry_contacts": contacts},
        equipment.CONTACT_SETTINGS: {"dry_contacts": names},
        equipment.GENERATOR: {"admin_state": "unknown", "oper_state": "open", "present": 0, "type": 1},
        equipment.GENERATOR_SETTINGS: {},
        equipment.TARIFF: {"tariff": {"currency": {"code": "EUR"}, "storage_settings": storage_settings}},
    }
    answers |= {path: {"status": 200, "body": page} for path, page in pages.items()}


def beside_ac_batteries(answers: Answers) -> None:
    """One IQ Battery without a system controller, and AC Batteries that have not reported for long."""
    both(iq_batteries, ac_batteries)(answers)
    inventory = answers[equipment.INVENTORY]["body"]
    del inventory[1:], inventory[0]["devices"][1:]
    inventory[0]["devices"][0] |= {"encharge_capacity": 3500, "reported_enc_grid_state": "grid-tied"}
    answers[equipment.POWER]["body"]["devices:"] = [
        {"serial_num": "492000000000", "real_power_mw": 105_000, "apparent_power_mva": 105_000, "soc": 54}
    ]
    relay = {"mains_admin_state": "closed", "mains_oper_state": "closed", "Enchg_grid_mode": "unknown"}
    answers[equipment.RELAY] = {"status": 200, "body": relay}
    answers[equipment.ACB_INVENTORY] = {"status": 200, "body": [
        {"type": "PCU", "devices": []},
        {"type": "ACB", "devices": [
            {"serial_num": f"1219{number:08d}", "part_num": "800-00930-r03", "percentFull": 2, "maxCellTemp": 32,
             "sleep_enabled": number == 2, "charge_status": "idle", "last_rpt_date": str(to_epoch_s(NOON) - 700),
             "device_status": ["envoy.global.ok"], "admin_state": 3 if number == 1 else 2, "dev_type": 11}
            for number in range(3)
        ]},
    ]}  # fmt: skip


def on_a_generator(answers: Answers) -> None:
    """The grid is lost, and a generator runs."""
    iq_batteries(answers)
    answers[equipment.INVENTORY]["body"][1]["devices"][0] |= {
        "mains_oper_state": "open synchronizing", "Enchg_grid_mode": "multimode-generator",
        "admin_state_str": "ENPWR_STATE_OPER_GEN_CLOSE",
    }  # fmt: skip
    running = {"admin_state": "close", "oper_state": "close", "admin_mode": 2, "schedule": 1, "present": 1, "type": 1}
    answers[equipment.GENERATOR]["body"] = running
    answers[equipment.GENERATOR_SETTINGS]["body"] = {"max_cont_gen_amps": 58.3, "name_plate_rating_wat": 14.0}


def collar(answers: Answers) -> None:
    """A collar instead of a system controller; on 7.3 no state of health, and the key of powers without its colon."""
    iq_batteries(answers)
    inventory = answers[equipment.INVENTORY]["body"]
    inventory[1] = {"type": "COLLAR", "devices": [
        {"serial_num": "482100000000", "mid_state": "close", "grid_state": "on_grid", "control_error": 0,
         "collar_state": "Installed", "temperature": 42, "last_rpt_date": to_epoch_s(NOON) - 9_000_000}
    ]}  # fmt: skip
    del answers[equipment.SECCTRL]["body"]["ENC_agg_soh"]
    answers[equipment.POWER]["body"] = {"devices": answers[equipment.POWER]["body"]["devices:"]}


def odd_batteries(answers: Answers) -> None:
    """Text, nulls and impossible numbers; a silent battery, one that has no report, one that is not listed."""
    iq_batteries(answers)
    first, second = answers[equipment.INVENTORY]["body"][0]["devices"]
    first |= {"temperature": "unknown", "maxCellTemp": None, "percentFull": "39", "admin_state_str": None}
    second |= {"communicating": False, "encharge_capacity": "unknown"}
    answers[equipment.INVENTORY]["body"] += [None, {"type": "WIND", "devices": [{"serial_num": "1"}]}]
    powers = answers[equipment.POWER]["body"]["devices:"]
    powers[0] |= {"real_power_mw": -4_300_000, "soc": 104}
    powers += [{"serial_num": "492000000009", "real_power_mw": "12000", "soc": None}, {"real_power_mw": 5}, "text"]
    powers.reverse()
    answers[equipment.SECCTRL]["body"] |= {"ENC_agg_soc": 101, "ENC_agg_avail_energy": "unknown"}
    answers[equipment.STATUS] = {"status": 503, "body": "<html>503</html>"}
    for path in (equipment.CONTACTS, equipment.TARIFF):
        answers[path] = {"status": 200, "body": None}


def without_powers(answers: Answers) -> None:
    """The page of powers is not for us."""
    iq_batteries(answers)
    answers[equipment.POWER] = {"status": 401, "body": LOGIN}


def removed_devices(answers: Answers) -> None:
    """Two units that are gone, one whose joules have passed 2^32, a disabled CT that counted."""
    devices = answers[profiles.DEVICE_DATA]["body"]
    for number in range(2):
        devices[str(555_000_000 + number)] = {
            "devName": "pcu", "sn": f"1218{number:08d}", "active": False, "modGone": True,
            "channels": [{"chanEid": 1, "created": 0, "watts": {}, "lastReading": {},
                          "lifetime": {}}],
        }  # fmt: skip
        answers[profiles.V1_INVERTERS]["body"].append(
            {"serialNumber": f"1218{number:08d}", "lastReportDate": 1_540_000_000, "devType": 1,
             "lastReportWatts": 17, "maxReportWatts": 240}
        )  # fmt: skip
    devices["deviceCount"] += 2
    unit = next(device for device in devices.values() if isinstance(device, dict) and device["active"])
    unit["channels"][0]["lifetime"]["joulesProduced"] = 2**32 + 600_000_000
    (reading,) = (r for r in answers[profiles.READINGS]["body"] if r["eid"] == 704643584)
    reading |= {"actEnergyDlvd": 5_000_000.0, "activePower": 488.0}


def more_devices_than_are_listed(answers: Answers) -> None:
    """The detail of 52 devices is cut at 50; the plain list has them all (few are kept here)."""
    answers[profiles.DEVICE_DATA]["body"] |= {"deviceCount": 52, "deviceDataLimit": 50}
    at_s = to_epoch_s(NOON)
    answers[profiles.V1_INVERTERS]["body"] += [
        {"serialNumber": f"1217{number:08d}", "lastReportDate": at_s - 100, "devType": 1,
         "lastReportWatts": 201, "maxReportWatts": 290} for number in range(2)
    ]  # fmt: skip


def other_cts(answers: Answers) -> None:
    """Enabled CTs of a load, a charger and a third-party inverter; 0 where one was never read."""
    for eid, measurement, power_w, delivered_wh, received_wh, age_s in (
        (704644608, "load", 1203.5, 88_000.0, 0.0, 1),
        (704644864, "evse", 7100.25, 910_000.5, 12.0, 1),
        (704645120, "pv3p", 2950.0, 4_000_000.0, 33.0, 1),
        (704644352, "backfeed", -686.0, 3_100.0, 9_200.0, 1),
    ):
        answers[profiles.METERS]["body"].append(
            {"eid": eid, "state": "enabled", "measurementType": measurement, "phaseMode": "three",
             "phaseCount": 1, "meteringStatus": "normal", "statusFlags": ["power-on-unused-phase"]}
        )  # fmt: skip
        answers[profiles.READINGS]["body"].append(
            {"eid": eid, "timestamp": float(to_epoch_s(NOON) - age_s), "activePower": power_w,
             "actEnergyDlvd": delivered_wh, "actEnergyRcvd": received_wh, "voltage": 230.4,
             "current": 5.2, "pwrFactor": 1.94, "freq": 50.0, "channels": [{}, {}, {}]}
        )  # fmt: skip


def seven_slots(answers: Answers) -> None:
    """The newer metering lists all slots, and three lines everywhere: two of them are noise."""
    slots = {704643840: "storage", 704644352: "backfeed", 704644608: "load",
             704644864: "evse", 704645120: "pv3p"}  # fmt: skip
    for eid, measurement in slots.items():
        answers[profiles.METERS]["body"].append(
            {"eid": eid, "state": "disabled", "measurementType": measurement,
             "phaseMode": "three", "phaseCount": 1, "meteringStatus": "not-metering"}
        )  # fmt: skip
        answers[profiles.READINGS]["body"].append(
            {"eid": eid, "timestamp": 0, "activePower": -14.6, "actEnergyDlvd": 0.0,
             "actEnergyRcvd": -19.677, "channels": []}
        )  # fmt: skip
    noise = {"wNow": 0.2, "whLifetime": 0.005, "rmsVoltage": 1.5}
    for item in answers[profiles.PRODUCTION_JSON]["body"]["production"][1:]:
        item |= {"whToday": item["whLifetime"], "lines": [dict(item), noise, noise]}


def unnamed_items(answers: Answers) -> None:
    """An early firmware names no measurement, and has no CT page."""
    page = answers[profiles.PRODUCTION_JSON]["body"]
    del page["production"][1]["measurementType"], page["storage"]
    total = page["consumption"][0]
    del total["measurementType"], total["readingTime"]
    page["consumption"] = [total]
    without(profiles.METERS, profiles.READINGS)(answers)


def null_and_text(answers: Answers) -> None:
    """Nulls, text and impossible numbers where numbers should be."""
    for reading in answers[profiles.READINGS]["body"][:2]:
        odd: dict[str, Any] = {"activePower": 4294967292, "voltage": "n/a", "freq": "50.0"}
        odd |= {"current": None, "actEnergyRcvd": -19.677}
        reading.update(odd, timestamp=str(reading["timestamp"]))
        reading["channels"][0] |= odd


def wrapped_five_times(answers: Answers) -> None:
    """The sum of inverters is modulo 2^32 J here; /api/v1/production is not."""
    answers[profiles.V1]["body"]["wattHoursLifetime"] += 5 * 1_193_046


def model(generation: str, firmware: str = "", cts: str = "net") -> Model:
    return Model(generation=generation, firmware=firmware, cts=cts)


SPLIT, THREE = Shape(inverters=2, phases=2), Shape(inverters=2, phases=3)
BATTERY = Shape(inverters=2, phases=2, battery=True)

KINDS = [
    Kind("3.17-legacy", "HTML on the production pages; v1 and inverters as digest user",
         model("3", cts="none")),
    Kind("3.7-page-for-people", "no v1: power of the HTML page alone", model("3", "3.7.0", "none"),
         change=without(profiles.V1, profiles.METERS)),
    Kind("4.10-metered-split", "CTs below firmware 7; /production is refused to everybody",
         model("5", "4.10.35"), SPLIT, change=without(profiles.PRODUCTION, status=401)),
    Kind("4.2-unnamed-items", "eim items without measurementType, no CT page", model("5", "4.2.33"),
         change=unnamed_items),
    Kind("5.0-standard", "no meters", model("5", cts="none"),
         change=without(profiles.PRODUCTION, status=401)),
    Kind("5.0-only-plain-production", "production.json is missing, /production has the items",
         model("5"), SPLIT,
         change=without(profiles.METERS, profiles.READINGS, profiles.PRODUCTION_JSON)),
    Kind("7.3-production-ct-only", "consumption items are filled although no CT feeds them",
         model("7", "7.3.130", "production"), SPLIT),
    Kind("7.6-standard", "no meters; the sum of inverters has wrapped",
         model("7", cts="none"), change=wrapped_five_times),
    Kind("7.6-metered-single", "one phase of three, production and net CT", model("7")),
    Kind("7.6-metered-three-phase", "three phases with lines", model("7"), THREE),
    Kind("7.6-no-ct-page", "the CT page is not for us: eim items", model("7"), SPLIT,
         change=without(profiles.METERS, profiles.READINGS, status=401)),
    Kind("7.6-nothing-but-inverters", "every page but the list of inverters is forbidden",
         model("7", cts="none"),
         change=without(profiles.METERS, profiles.READINGS, profiles.PRODUCTION_JSON,
                        profiles.PRODUCTION, profiles.V1, status=403)),
    Kind("8.2.4264-metered-no-ct", "meter board without CTs: v1 stands still",
         model("8", "8.2.4264", "disabled"), change=without(profiles.DEVICE_DATA)),
    Kind("8.2-total-ct", "a total-consumption CT", model("8", "8.2.4345", "total"), SPLIT),
    Kind("8.2-three-ct-split", "production, net and storage CT, split phase",
         model("8", "8.2.4286", "storage"), BATTERY, change=without(profiles.DEVICE_DATA)),
    Kind("8.2-device-data", "detail of each inverter", model("8", "8.2.4345")),
    Kind("8.2-ac-batteries", "AC Batteries are no panels; a stale storage section",
         model("8", "8.2.4382"), change=ac_batteries),
    Kind("8.2-iq-batteries", "IQ Batteries and a system controller, no storage CT",
         model("8", "8.2.4286"), SPLIT, change=iq_batteries),
    Kind("8.2-iq-batteries-with-ct", "the same with a storage CT",
         model("8", "8.2.4286", "storage"), BATTERY, change=iq_batteries),
    Kind("8.2-iq-beside-ac-batteries", "an IQ Battery, AC Batteries that have long been silent",
         model("8", "8.2.4382"), change=beside_ac_batteries),
    Kind("8.2-on-a-generator", "off the grid, a generator runs", model("8", "8.2.4286"), change=on_a_generator),
    Kind("7.3-collar", "a collar; early pages", model("7", "7.3.466"), change=collar),
    Kind("8.2-odd-batteries", "no numbers where numbers should be, devices of unknown types",
         model("8", "8.2.4286"), change=odd_batteries),
    Kind("7.3-no-powers", "batteries whose page of powers is refused", model("7", "7.3.130"), change=without_powers),
    Kind("8.3-removed-devices", "removed units, a disabled CT that counted, a unit beyond 2^32 J",
         model("8", "8.3.5289", "production"), change=removed_devices),
    Kind("8.3-more-devices-than-listed", "device_data is cut at 50 devices",
         model("8", "8.3.5289"), change=more_devices_than_are_listed),
    Kind("8.3.5422-zero-v1", "no meters, all zeros in v1", model("8", "8.3.5422", "none")),
    Kind("8.3.5433-total-copies-net", "no CT page, total-consumption is a copy of net",
         model("8", "8.3.5433"), SPLIT, "copy_net",
         without(profiles.METERS, profiles.READINGS, status=401)),
    Kind("8.3.5528-inactive-meter", "activeCount 0 of an enabled production CT",
         model("8", "8.3.5528"), SPLIT, "inactive"),
    Kind("8.3.6086-lost-storage-channel", "a storage CT phase drops to zero",
         model("8", "8.3.6086", "storage"), BATTERY, "lost_channel"),
    Kind("8.3-seven-slots", "all slots listed, three lines on one phase",
         model("8", "8.3.5289"), change=seven_slots),
    Kind("8.3-other-cts", "load, evse, pv3p and backfeed CTs", model("8", "8.3.5289"),
         change=other_cts),
    Kind("8.3-counter-reset", "the registers have started anew", model("8"), fault="reset"),
    Kind("8.3-duplicates", "every inverter twice", model("8"), fault="duplicate"),
    Kind("8.3-null-and-text", "no numbers where numbers should be", model("8"),
         change=null_and_text),
    Kind("8.3-clock-skew", "the gateway's clock is 300 s ahead", model("8"), fault="clock_skew"),
    Kind("8.3-changed-serial", "another gateway answers", model("8"), fault="new_serial"),
    Kind("8.3-503-on-inverters", "not ready: 503 on both lists", model("8"),
         change=both(body(profiles.DEVICE_DATA, "<html>503</html>", 503),
                     body(profiles.V1_INVERTERS, "<html>503</html>", 503))),
    Kind("8.3-cut-production", "production.json is cut", model("8"),
         change=cut(profiles.PRODUCTION_JSON)),
    Kind("8.3-html-for-readings", "HTML with status 200 where a CT's readings should be",
         model("8"), change=body(profiles.READINGS, "<html><body>Please wait</body></html>")),
    Kind("8.3-forbidden-detail", "403 on device_data", model("8"),
         change=without(profiles.DEVICE_DATA, status=403)),
]  # fmt: skip


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        answers, at_s = answers_of(kind), to_epoch_s(NOON)
        recording = {"about": kind.about, "at_s": at_s, "answers": answers, "poll": plain(*polled(answers, at_s))}
        path = DIRECTORY / f"{kind.name}.json"
        path.write_text(json.dumps(recording, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
