"""Which panels face the same way, by the hour around which each makes its energy.

Only panels of one array can be compared with each other. Where no arrays are configured they are found, once for each
panel, and shown by their hour; nobody is compared across arrays.
"""

from collections.abc import Mapping, Sequence

from logger.ledger.panel_day import Hours

#: Days with known hours after which the way a panel faces is known.
DAYS = 14
#: Arrays lie this far apart, h; a panel belongs to the nearest that is no further.
APART_H = 0.75
#: A panel alone is no array.
LEAST = 2
#: Where all panels face the same way.
ALL = "all"


def middle_h(days: Sequence[Hours]) -> float | None:
    """Return the hour around which the energy of days lies; None where they are too few or dark."""
    known = [hours for hours in days if hours and sum(filter(None, hours)) > 0]
    if len(known) < DAYS:
        return None
    sums: list[float] = [sum(filter(None, column)) for column in zip(*known, strict=True)]
    return sum((hour + 0.5) * wh for hour, wh in enumerate(sums)) / sum(sums)


def found(middles_h: Mapping[str, float], known: Mapping[str, str]) -> dict[str, str]:
    """Return the arrays of panels that have none yet, by the hours around which all make their energy."""
    new = sorted((hour, serial) for serial, hour in middles_h.items() if serial not in known)
    arrays: dict[str, list[float]] = {}
    for serial, name in known.items():
        if serial in middles_h:
            arrays.setdefault(name, []).append(middles_h[serial])
    if not arrays:
        return _parted(new)
    centres = {name: sum(hours) / len(hours) for name, hours in arrays.items()}
    placed: dict[str, str] = {}
    for hour, serial in new:
        name = min(centres, key=lambda name: abs(centres[name] - hour))
        if abs(centres[name] - hour) < APART_H or len(centres) == 1:
            placed[serial] = name
    return placed


def _parted(panels: Sequence[tuple[float, str]]) -> dict[str, str]:
    """Return arrays of panels in order of their hours, parted where these lie apart."""
    groups: list[list[tuple[float, str]]] = []
    for panel in panels:
        if groups and panel[0] - groups[-1][-1][0] < APART_H:
            groups[-1].append(panel)
        else:
            groups.append([panel])
    large = [group for group in groups if len(group) >= LEAST]
    if len(large) < LEAST:
        return {serial: ALL for _, serial in panels}
    centres = {_name(group): _centre(group) for group in large}
    return {
        serial: min(centres, key=lambda name, hour=hour: abs(centres[name] - hour))  # type: ignore[misc]
        for hour, serial in panels
    }


def _centre(group: Sequence[tuple[float, str]]) -> float:
    return sum(hour for hour, _ in group) / len(group)


def _name(group: Sequence[tuple[float, str]]) -> str:
    """Return the name of an array that was found: when, by standard time, it makes most."""
    minutes = round(_centre(group) * 4) * 15
    return f"around {minutes // 60}:{minutes % 60:02d}"
