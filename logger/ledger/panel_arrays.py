"""Which panels face the same way, by the hour around which each makes its energy.

Only panels of one array can be compared with each other. Where no arrays are configured they are found, once for each
panel, and shown by their hour; nobody is compared across arrays.
"""

from collections.abc import Mapping, Sequence

from logger.ledger.panel_day import Hours

#: Days with known hours after which the way a panel faces is known, if so many of them were clear.
DAYS, CLEAR_DAYS = 14, 5
#: A clear day has this share of the energy of the best.
CLEAR = 0.6
#: Arrays lie this far apart, h, and a panel that comes later belongs to the nearest. What seemed to be one may part
#: later, in the sun of summer, where they lie further apart.
APART_H, PART_H = 0.3, 0.6
#: A panel alone is no array.
LEAST = 2
#: Where all panels face the same way.
ALL = "all"


def middle_h(days: Sequence[Hours]) -> float | None:
    """Return the hour around which the energy of clear days lies; None where they are too few."""
    known = [hours for hours in days if hours and sum(filter(None, hours)) > 0]
    best_wh = max((sum(filter(None, hours)) for hours in known), default=0.0)
    clear = [hours for hours in known if sum(filter(None, hours)) >= CLEAR * best_wh]
    if len(known) < DAYS or len(clear) < CLEAR_DAYS:
        return None
    sums: list[float] = [sum(filter(None, column)) for column in zip(*clear, strict=True)]
    return sum((hour + 0.5) * wh for hour, wh in enumerate(sums)) / sum(sums)


def found(middles_h: Mapping[str, float], known: Mapping[str, str]) -> dict[str, str]:
    """Return the arrays of panels that have none yet, by the hours around which all make their energy."""
    new = sorted((hour, serial) for serial, hour in middles_h.items() if serial not in known)
    arrays: dict[str, list[float]] = {}
    for serial, name in known.items():
        if serial in middles_h:
            arrays.setdefault(name, []).append(middles_h[serial])
    if not arrays:
        return _parted(new, APART_H)
    centres = {name: sum(hours) / len(hours) for name, hours in arrays.items()}
    placed: dict[str, str] = {}
    for hour, serial in new:
        name = min(centres, key=lambda name: abs(centres[name] - hour))
        if abs(centres[name] - hour) < APART_H or len(centres) == 1:
            placed[serial] = name
    return placed


def parted(middles_h: Mapping[str, float], known: Mapping[str, str]) -> dict[str, str]:
    """Return the arrays anew of all panels in arrays that turn out to be several."""
    changed: dict[str, str] = {}
    for name in sorted(set(known.values())):
        mine = sorted((hour, serial) for serial, hour in middles_h.items() if known.get(serial) == name)
        new = _parted(mine, PART_H)
        if len(set(new.values())) > 1:
            most = max(sorted(new.values()), key=list(new.values()).count)
            changed |= {serial: new.get(serial, most) for serial, own in known.items() if own == name}
    return changed


def _parted(panels: Sequence[tuple[float, str]], apart_h: float) -> dict[str, str]:
    """Return arrays of panels in order of their hours, parted where these lie apart."""
    groups: list[list[tuple[float, str]]] = []
    for panel in panels:
        if groups and panel[0] - groups[-1][-1][0] < apart_h:
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
