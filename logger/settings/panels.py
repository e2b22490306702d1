"""The panels of a gateway: what they are called, and which of them face the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from logger.errors import SettingsError
from logger.settings import document

ARRAY_KEYS: dict[str, type] = {
    "name": str,
    "azimuth_deg": float,
    "tilt_deg": float,
    "panel_wp": float,
    "inverter_va": float,
    "inverters": list,
}
#: what numbers of an array may be
RANGES = {"azimuth_deg": (0, 360), "tilt_deg": (0, 90), "panel_wp": (1, 2_000), "inverter_va": (1, 2_000)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySettings:
    """One ``[[gateways.arrays]]`` table."""

    name: str
    inverters: tuple[str, ...]  #: their serials
    azimuth_deg: float | None = None  #: 180 is south
    tilt_deg: float | None = None  #: 0 is flat
    panel_wp: float | None = None
    inverter_va: float | None = None


def arrays(tables: Sequence[Any], where: str) -> tuple[ArraySettings, ...]:
    """Return the arrays of a gateway.

    Raises:
        SettingsError: names the array and the key.
    """
    found: list[ArraySettings] = []
    placed: dict[str, str] = {}
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: write arrays as [[gateways.arrays]] tables.")
        own = f"{where}, array {table.get('name') or number}"
        values = document.typed(table, ARRAY_KEYS, where=own)
        if not values.get("name") or not values.get("inverters"):
            raise SettingsError(f"{own}: an array needs a name and its inverters, a list of serial numbers in quotes.")
        for key, (least, most) in RANGES.items():
            if values.get(key) is not None and not least <= values[key] <= most:
                raise SettingsError(f"{own}: {key} must lie between {least} and {most}, not {values[key]:g}.")
        serials = _texts(values.pop("inverters"), own)
        for serial in serials:
            if serial in placed:
                raise SettingsError(
                    f"{own}: inverter {serial} is in array {placed[serial]} too; keep it in one of them."
                )
            placed[serial] = values["name"]
        if any(values["name"] == other.name for other in found):
            raise SettingsError(f"{where}: two arrays are called {values['name']!r}; give each a name of its own.")
        found.append(ArraySettings(**values, inverters=serials))
    return tuple(found)


def names(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the names of panels by the serials of their inverters.

    Raises:
        SettingsError: one of them is no text.
    """
    for serial, name in table.items():
        if not isinstance(name, str) or not name.strip() or document.CONTROL.search(f"{serial}{name}"):
            raise SettingsError(f'{where}: write panel_names as {serial!r} = "name", in characters that show.')
    return dict(table)


def _texts(values: Sequence[Any], where: str) -> tuple[str, ...]:
    try:
        found = tuple(msgspec.convert(values, list[str]))
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: write the serial numbers of inverters in quotes.") from error
    if any(document.CONTROL.search(text) for text in found):
        raise SettingsError(f"{where}: a serial number holds a character that nobody sees; remove it.")
    return found
