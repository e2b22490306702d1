"""/ivp/ensemble/inventory, relay, dry_contacts and generator, and /admin/lib/tariff: the states of a site's devices.

A state is a word, None where its page comes and does not say it; a page that did not come says nothing of its states.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from logger.gateway.parse import integer, items, number, table, text
from logger.gateway.sources.batteries import devices, percent

#: grid_mode, of what the gateway calls it
MODES = {
    "multimode-ongrid": "on_grid",
    "grid-tied": "on_grid",
    "on_grid": "on_grid",
    "multimode-generator": "generator",
    "multimode-offgrid": "off_grid",
    "off_grid": "off_grid",
}
#: States of grid_relay in which the house is not on the grid.
CUT_OFF = {"open", "off_grid"}
GENERATOR = {"open": "stopped", "close": "running", "closed": "running"}

States = dict[str, str | None]


def of_inventory(inventory: Any) -> States:
    """Return grid_relay and grid_mode, where a system controller or a collar has them (R11).

    The collar's grid_state serves for both. Without either, batteries still say whether they follow the grid.
    """
    enpower, collar, encharge = (
        next(iter(devices(inventory, kind)), None) for kind in ("ENPOWER", "COLLAR", "ENCHARGE")
    )
    found: States = {}
    modes: list[Any] = [] if encharge is None else [encharge.get("reported_enc_grid_state")]
    if collar is not None:
        found["grid_relay"] = _word(collar.get("grid_state"))
        modes = [collar.get("Enchg_grid_mode"), collar.get("grid_state")]
    if enpower is not None:
        found["grid_relay"] = _word(enpower.get("mains_oper_state")) or found.get("grid_relay")
        modes = [enpower.get("Enchg_grid_mode")]
    if modes:
        found["grid_mode"] = _mode(modes)
    return found


def of_relay(relay: Any) -> States:
    """Return grid_relay and grid_mode of a site with neither system controller nor collar."""
    page = table(relay)
    found: States = {"grid_relay": _word(page.get("mains_oper_state"))} if page else {}
    if mode := _mode([page.get("Enchg_grid_mode")]):
        found["grid_mode"] = mode
    return found


def of_contacts(contacts: Any) -> States:
    """Return the state of each dry contact."""
    return {f"contact {name}": _word(contact.get("status")) for name, contact in _contacts(contacts)}


def of_contact_settings(settings: Any) -> States:
    """Return the name of what is connected to each dry contact, where it has one."""
    names = ((name, text(contact.get("load_name"))) for name, contact in _contacts(settings))
    return {f"contact {name} name": load for name, load in names if load is not None}


def _contacts(page: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for contact in items(table(page).get("dry_contacts")):
        if (name := text(contact.get("id"))) is not None:
            yield name, contact


def of_generator(generator: Any, *, was_there: bool) -> States:
    """Return whether the generator runs, where there is one or was one before."""
    page = table(generator)
    if not page or (integer(page.get("present")) != 1 and not was_there):
        return {}
    return {"generator": GENERATOR.get(_word(page.get("oper_state")) or "")}


def of_secctrl(secctrl: Any) -> States:
    """Return what is kept back for outages, of a site with batteries (R15)."""
    page = table(secctrl)
    reserve_pct = percent(page.get("configured_backup_soc"))
    if reserve_pct is None or number(page.get("Enc_commissioned_capacity")) == 0:
        return {}
    return {"reserve_pct": f"{reserve_pct:g}"}


def of_tariff(tariff: Any) -> States:
    """Return how the batteries are used, and whether they may be charged from the grid (R15)."""
    page = table(table(table(tariff).get("tariff")).get("storage_settings"))
    found: States = {}
    if (mode := text(page.get("mode"))) is not None:
        found["battery_mode"] = mode
    if isinstance(charges := page.get("charge_from_grid"), bool):
        found["charge_from_grid"] = "true" if charges else "false"
    return found


def is_grid_lost(states: Mapping[str, str | None]) -> bool | None:
    """Return whether the house is cut off from the grid; None while nothing says so."""
    relay, mode = states.get("grid_relay"), states.get("grid_mode")
    if relay is None and mode is None:
        return None
    return relay in CUT_OFF or mode == "off_grid"


def is_apart(states: Mapping[str, str | None]) -> bool:
    """Return whether production may be on another grid than what the net CT measures (R14)."""
    return bool(is_grid_lost(states)) or states.get("grid_mode") == "generator" or states.get("generator") == "running"


def _word(value: Any) -> str | None:
    """Return the first word of a state: "open synchronizing" is open; None for "unknown"."""
    word = next(iter((text(value) or "").lower().split()), None)
    return None if word == "unknown" else word


def _mode(found: Iterable[Any]) -> str | None:
    return next(filter(None, (MODES.get(_word(value) or "") for value in found)), None)
