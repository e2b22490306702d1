"""The documents about batteries, the system controller and the generator of a simulated gateway.

IQ Batteries claim a few watts at rest, give their power in whole watts and their charge in whole percent. Where there
is nothing, the pages are empty or filled with zeros, as real ones are.
"""

import random
from collections.abc import Callable
from typing import Any

from logger.simulator.acb import batteries, battery_serial, inventory_json, soc_pct
from logger.simulator.house import Batteries
from logger.simulator.numbers import Numbers
from logger.simulator.site import last_multiple

Record = dict[str, Any]
REPORT_EVERY_S = 300
CONTACTS = ("NC1", "NC2", "NO1", "NO2")


def _is_silent(now: Numbers, index: int) -> bool:
    silent = now.fault("silent_battery")
    return silent is not None and index == silent.number(1) - 1


def _reported_s(now: Numbers, index: int) -> int:
    """Return when a device last reported: each 5 minutes, staggered; a silent one does no more."""
    at_s = now.now_s
    if _is_silent(now, index) and (silent := now.fault("silent_battery")):
        at_s = now.start_s + silent.since_s
    return last_multiple(at_s - 8, REPORT_EVERY_S, 61 * index % REPORT_EVERY_S)


# -- IQ Batteries and their system controller
def inventory(now: Numbers) -> list[Record]:
    """Return /ivp/ensemble/inventory: batteries and controller with what they last reported."""
    of = batteries(now, "encharge")
    if of is None:
        return []
    listed = [{"type": "ENCHARGE", "devices": [_encharge(now, of, index) for index in range(of.count)]}]
    if now.site.shape.has_controller:
        listed.append({"type": "ENPOWER", "devices": [_enpower(now)]})
    return listed


def _encharge(now: Numbers, of: Batteries, index: int) -> Record:
    reported_s, silent = _reported_s(now, index), _is_silent(now, index)
    odd = now.fault("odd_battery") is not None
    return {
        "part_num": "836-01826-r76",
        "serial_num": battery_serial("encharge", index),
        "installed": 1_722_887_725,
        "device_status": ["envoy.cond_flags.enc_comm.not_reporting" if silent else "envoy.global.ok"],
        "last_rpt_date": now.clock_s(reported_s),
        "admin_state": 6,
        "admin_state_str": "ENCHG_STATE_READY",
        "img_pnum_running": "3.0.7545_rel/31.33",
        "communicating": not silent,
        "sleep_enabled": False,
        "percentFull": 250 if odd else soc_pct(now, reported_s),
        "temperature": "unknown" if odd else 18,
        "maxCellTemp": None if odd else 19,
        "reported_enc_grid_state": "multimode-offgrid" if now.is_islanded else "grid-tied",
        "led_status": 12,
        "dc_switch_off": False,
        "encharge_rev": 3,
        "encharge_capacity": round(of.capacity_wh),
        "phase": "ph-all" if now.site.shape.phases == 3 else "ph-a",
        "der_index": index + 1,
    }


def _states(now: Numbers) -> Record:
    """Return what controller and relay page say of the mains: relay and modes."""
    is_lost, runs = (now.site.outage(kind, now.now_s) for kind in ("grid_lost", "generator"))
    return {
        "mains_admin_state": "closed",
        "mains_oper_state": "open" if is_lost or runs else "closed",
        "Enpwr_grid_mode": "multimode-offgrid" if is_lost else "multimode-ongrid",
        "Enchg_grid_mode": "multimode-generator" if runs else "multimode-offgrid" if is_lost else "multimode-ongrid",
    }


def _enpower(now: Numbers) -> Record:
    runs = now.site.outage("generator", now.now_s)
    state = "GEN_CLOSE" if runs else "OPEN" if now.is_islanded else "CLOSED"
    return {
        "part_num": "865-00378-r27",
        "serial_num": "482326107450",
        "device_status": ["envoy.global.ok"],
        "last_rpt_date": now.clock_s(last_multiple(now.now_s - 3, 60)),
        "admin_state": 24,
        "admin_state_str": f"ENPWR_STATE_OPER_{state}",
        "communicating": True,
        "temperature": 91,
        **_states(now),
    }


def power(now: Numbers) -> Record:
    """Return /ivp/ensemble/power: W and charge of each battery now. The colon belongs to the key."""
    of = batteries(now, "encharge")
    listed = [] if of is None else [_power(now, of, i) for i in range(of.count) if not _is_silent(now, i)]
    return {"devices:": listed}


def _power(now: Numbers, of: Batteries, index: int) -> Record:
    watts = now.site.powers(now.now_s).storage / of.count
    if watts < 0:
        watts *= of.charge_seen
    if abs(watts) < 1:
        # At rest each claims to give a little, where a CT says 0.
        watts = random.Random(f"{index} {now.now_s // 60}").uniform(8, 24)  # noqa: S311 - noise
    milliwatts: Any = round(watts) * 1000
    if now.fault("odd_battery"):
        milliwatts = (None, "n/a", 4_294_967_292_000)[index % 3]
    return {
        "serial_num": battery_serial("encharge", index),
        "real_power_mw": milliwatts,
        "apparent_power_mva": milliwatts,
        "soc": 250 if now.fault("odd_battery") else soc_pct(now, now.now_s),
    }


def secctrl(now: Numbers) -> Record:
    """Return /ivp/ensemble/secctrl: all batteries together, energy in steps of a percent."""
    iq, acb = batteries(now, "encharge"), batteries(now, "acb")
    soc = soc_pct(now, now.now_s)
    capacity_wh = round(iq.all_wh) if iq else 0
    reserve = iq.reserve_pct if iq else 0
    return {
        "shutdown": False,
        "configured_backup_soc": reserve,
        "adjusted_backup_soc": reserve,
        "agg_soc": soc,
        "Max_energy": capacity_wh,
        "ENC_agg_soc": soc if iq else 0,
        "ENC_agg_soh": 100 if iq else 0,
        "ENC_agg_backup_energy": capacity_wh * reserve // 100,
        "ENC_agg_avail_energy": capacity_wh * soc // 100,
        "Enc_commissioned_capacity": capacity_wh,
        "Enc_max_available_capacity": capacity_wh,
        "ACB_agg_soc": soc if acb else 0,
        "ACB_agg_energy": round(acb.all_wh * soc / 100) if acb else 0,
        "VLS_Limit": 10,
        "Commission_in_progress": False,
        "ESS_in_progress": False,
    }


def status(now: Numbers) -> Record:
    """Return /ivp/ensemble/status: the only page that knows the rated power."""
    of = batteries(now, "encharge")
    serials = {
        battery_serial("encharge", index): {
            "device_type": 13,
            "com_interface_str": "CAN",
            "admin_state_str": "ENCHG_STATE_READY",
            "encharge_capacity": round(of.capacity_wh),
            "encharge_rated_power": round(of.power_w),
            "part_number": "836-01826-r76",
            "submodules": {},
        }
        for index in range(of.count if of else 0)
        if of is not None
    }
    return {"inventory": {"serial_nums": serials}, "counters": {}, "secctrl": secctrl(now), "relay": relay(now)}


def relay(now: Numbers) -> Record:
    """Return /ivp/ensemble/relay: the mains relay, which without a controller is closed for ever."""
    has_controller = batteries(now, "encharge") is not None and now.site.shape.has_controller
    states = _states(now) if has_controller else {"mains_admin_state": "closed", "mains_oper_state": "closed"}
    return states if has_controller else states | dict.fromkeys(("Enpwr_grid_mode", "Enchg_grid_mode"), "unknown")


def dry_contacts(now: Numbers) -> Record:
    """Return /ivp/ensemble/dry_contacts: closed on the grid; off it, loads that can wait are shed."""
    has_controller = batteries(now, "encharge") is not None and now.site.shape.has_controller
    closed = {"NC1", "NC2"} if now.is_islanded else set(CONTACTS)
    states = ("closed" if has_controller and contact in closed else "open" for contact in CONTACTS)
    return {"dry_contacts": [{"id": i, "status": state} for i, state in zip(CONTACTS, states, strict=True)]}


def dry_contact_settings(_now: Numbers) -> Record:
    """Return /ivp/ss/dry_contact_settings: what each contact is called and does."""
    listed = [
        {"id": i, "type": "NONE", "grid_action": "apply", "micro_grid_action": action, "gen_action": action,
         "override": "false", "load_name": name, "mode": "manual", "soc_low": 30.0, "soc_high": 70.0,
         "pv_serial_nb": []}
        for i, action, name in zip(CONTACTS, ("apply", "apply", "shed", "shed"), ("", "", "Pool", ""), strict=True)
    ]  # fmt: skip
    return {"dry_contacts": listed}


def generator(now: Numbers) -> Record:
    """Return /ivp/ensemble/generator: whether there is one, and whether it runs."""
    has, runs = now.site.shape.has_generator, now.site.outage("generator", now.now_s)
    return {
        "admin_state": "close" if runs else "open" if has else "unknown",
        "oper_state": "close" if runs else "open",
        "admin_mode": 2 if has else 0,
        "schedule": int(has),
        "start_soc": 100,
        "stop_soc": -1,
        "exc_on": 0,
        "present": int(has),
        "type": 1,
    }


def gen_config(now: Numbers) -> Record:
    """Return /ivp/ss/gen_config: the generator's plate (kW in spite of its name)."""
    config = {"max_cont_gen_amps": 58.3, "name_plate_rating_wat": 14.0, "charge_from_generator": True}
    return config if now.site.shape.has_generator else {}


def tariff(now: Numbers) -> Record:
    """Return /admin/lib/tariff: how the batteries are to be used; prices are placeholders."""
    of = batteries(now, "encharge")
    storage = {
        "mode": "self-consumption",
        "operation_mode_sub_type": "",
        "reserved_soc": float(of.reserve_pct if of else 0),
        "very_low_soc": 10,
        "charge_from_grid": False,
        "date": "1722551964",
    }
    prices = {"currency": {"code": "EUR"}, "single_rate": {"rate": 0.0, "sell": 0.0}, "seasons": []}
    return {"tariff": prices | {"logger": "mylogger", "date": "1722602347", "storage_settings": storage}}


PAGES: dict[str, Callable[[Numbers], Any]] = {
    "/ivp/ensemble/inventory": inventory,
    "/ivp/ensemble/power": power,
    "/ivp/ensemble/secctrl": secctrl,
    "/ivp/ensemble/status": status,
    "/ivp/ensemble/relay": relay,
    "/ivp/ensemble/dry_contacts": dry_contacts,
    "/ivp/ss/dry_contact_settings": dry_contact_settings,
    "/ivp/ensemble/generator": generator,
    "/ivp/ss/gen_config": gen_config,
    "/admin/lib/tariff": tariff,
    "/inventory.json?deleted=1": inventory_json,
}
