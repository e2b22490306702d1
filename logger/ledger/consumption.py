"""What the house consumed, also over a gap of one of the registers that it is the balance of.

Where a meter was silent its energy is spread evenly over the gap, while another's goes up and
down with the sun: quarter by quarter their balance means nothing, and only over the whole gap is
it what the house consumed. So it is spread evenly there too. The same holds where a register stood
still for a while and then caught up, and where what follows makes up for a balance below zero.

Energies are lists of mWh by quarter hour, None where unknown; ``edges_s`` are the quarter hours'
starts and the end of the last one.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from logger.clock import QUARTER_S
from logger.ledger.curve import Curve, Tie, joined
from logger.ledger.limits import (
    CHARGE,
    CONSUMPTION_CT,
    DISCHARGE,
    EXPORT,
    IMPORT,
    PRODUCTION,
    RETIRED_S,
    STALL_S,
    STANDBY,
)

Energy = list[int | None]
Stretch = tuple[int, int]

#: What the house consumed is made of these, where it has a register of its own and where it has
#: none (C3, C2); the battery is added to both (C6).
OWN = {CONSUMPTION_CT: 1, DISCHARGE: 1, CHARGE: -1}
BALANCE = {PRODUCTION: 1, IMPORT: 1, EXPORT: -1, STANDBY: -1, DISCHARGE: 1, CHARGE: -1}
#: A register that stands still for longer is reported and bridged; the quarter hours before it is.
RECOVERED_S = STALL_S + QUARTER_S


class Consumption(NamedTuple):
    """What the house consumed."""

    energy_mwh: Energy
    spread_s: list[Stretch]  #: over which it was spread to make up for what was below zero
    open_s: list[int]  #: quarter hours below zero that what follows may still make up for


def consumption(
    energy: Mapping[str, Energy], curves: Mapping[str, Curve], edges_s: range, settled_s: int
) -> Consumption:
    """Return what the house consumed; quarter hours from ``settled_s`` on may change."""
    count = len(edges_s) - 1
    own: Energy = energy.get(CONSUMPTION_CT) or [None] * count
    has_battery = CHARGE in curves or DISCHARGE in curves
    result = Consumption([None] * count, [], [])
    for signs, is_own in ((OWN, True), (BALANCE, False)):
        if not is_own and IMPORT not in curves:
            continue
        part = _sum(signs, energy, curves, edges_s)
        part = [
            mwh if (own_mwh is not None) is is_own else None
            for mwh, own_mwh in zip(part, own, strict=True)
        ]
        # A register of its own is measured, whatever the others are: only a battery makes it a
        # balance.
        if has_battery or not is_own:
            used = [curves[name] for name in signs if name in curves]
            bridges_s = joined(s for one in used for s in one.stretches_s(*BRIDGES))
            spread_evenly(part, edges_s, bridges_s)
            for flat_s in sorted(flat_s for one in used for flat_s in one.flats_s):
                _spread_deficit(part, _touched(edges_s, flat_s))
            spread_s, open_s = recover_deficits(part, edges_s, bridges_s, settled_s)
            result.spread_s.extend(spread_s)
            result.open_s.extend(open_s)
        for i, mwh in enumerate(part):
            if mwh is not None:
                result.energy_mwh[i] = mwh
    return result


BRIDGES = (Tie.BRIDGED, Tie.CAUGHT_UP)


def _sum(
    signs: Mapping[str, int],
    energy: Mapping[str, Energy],
    curves: Mapping[str, Curve],
    edges_s: range,
) -> Energy:
    """Return the signed sum of streams; nothing is known where one of them is not."""
    parts: dict[str, Energy] = {}
    nothing: Energy = [None] * (len(edges_s) - 1)
    for name in signs:
        mwh = energy.get(name, nothing)
        if name == STANDBY:
            # While it is silent, standby is too little to make consumption unknown.
            mwh = _while_there(curves.get(STANDBY), mwh, edges_s, silent_s=0)
        elif name in {CHARGE, DISCHARGE}:
            mwh = _while_there(curves.get(DISCHARGE), mwh, edges_s, silent_s=RETIRED_S)
        parts[name] = mwh
    weights = list(signs.values())
    total: Energy = [
        None if None in row else sum(map(int.__mul__, weights, row))
        for row in zip(*parts.values(), strict=True)
    ]
    _leave_out_breaks(total, parts, signs, curves, edges_s)
    return total


def _while_there(curve: Curve | None, energy: Energy, edges_s: range, *, silent_s: int) -> Energy:
    """Return the energy of a stream, and 0 while it does not belong to the site."""
    if curve is None:
        return [0] * len(energy)
    until_s = curve.last_s + silent_s
    return [
        mwh if start_s + QUARTER_S > curve.first_s and start_s < until_s else 0
        for start_s, mwh in zip(edges_s, energy, strict=False)
    ]


def _leave_out_breaks(
    total: Energy,
    parts: Mapping[str, Energy],
    signs: Mapping[str, int],
    curves: Mapping[str, Curve],
    edges_s: range,
) -> None:
    """Leave out what the other registers counted while one of them was broken off.

    It is no balance.
    """
    breaks = [
        (name, stretch)
        for name in signs
        if name in curves
        for stretch in curves[name].stretches_s(Tie.BROKEN)
    ]
    for i in sorted({i for _, stretch in breaks for i in _touched(edges_s, stretch)}):
        mwh = total[i]
        if mwh is None:
            continue
        here = [(name, (a, b)) for name, (a, b) in breaks if a < edges_s[i + 1] and edges_s[i] < b]
        for start_s, end_s in joined(stretch for _, stretch in here):
            within_s = [max(start_s, edges_s[i]), min(end_s, edges_s[i + 1])]
            broken = {name for name, (a, b) in here if a < end_s and start_s < b}
            for name in signs.keys() & curves.keys() - broken:
                before, after = curves[name].counts(within_s)
                mwh -= signs[name] * min(after - before, parts[name][i] or 0)
        total[i] = mwh


def _touched(edges_s: range, stretch_s: Stretch) -> range:
    """Return which quarter hours a stretch touches, by number."""
    begin_s, end_s = edges_s[0], min(stretch_s[1], edges_s[-1])
    first = max(0, (stretch_s[0] - begin_s) // QUARTER_S)
    return range(first, max(first, -(-(end_s - begin_s) // QUARTER_S)))


def spread_evenly(balance: Energy, edges_s: range, bridges_s: Iterable[Stretch]) -> None:
    """Spread a balance evenly over each bridge; its sum stays."""
    for start_s, end_s in bridges_s:
        touched = _touched(edges_s, (start_s, end_s))
        _share(balance, [i for i in touched if start_s <= edges_s[i] and edges_s[i + 1] <= end_s])
        _spread_deficit(balance, touched)


def _spread_deficit(balance: Energy, touched: Iterable[int]) -> None:
    """Spread a balance over quarter hours, if it is below zero in one of them."""
    if any((balance[i] or 0) < 0 for i in touched):
        _share(balance, touched)


def recover_deficits(
    balance: Energy, edges_s: range, bridges_s: Iterable[Stretch], settled_s: int
) -> tuple[list[Stretch], list[int]]:
    """Spread what is below zero over what follows, if that makes up for it soon.

    Return the stretches over which it was spread, and what may still be made up for by quarter
    hours from ``settled_s`` on.
    """
    spread_s: list[Stretch] = []
    open_s: list[int] = []
    below = [i for i, mwh in enumerate(balance) if mwh is not None and mwh < 0]
    if not below:
        return spread_s, open_s
    bridged = {i for stretch_s in bridges_s for i in _touched(edges_s, stretch_s)}
    for first in below:
        missing_mwh, end = balance[first] or 0, first + 1
        if missing_mwh >= 0 or first in bridged:
            continue
        last = min(len(balance), first + 1 + RECOVERED_S // QUARTER_S)
        while missing_mwh < 0 and end < last and end not in bridged:
            following_mwh = balance[end]
            if following_mwh is None:
                break
            missing_mwh += following_mwh
            end += 1
        if missing_mwh >= 0:
            _share(balance, range(first, end))
            spread_s.append((edges_s[first], edges_s[end]))
        if edges_s[end] > settled_s or (missing_mwh < 0 and edges_s[end] == settled_s):
            open_s.append(edges_s[first])
    return spread_s, open_s


def _share(balance: Energy, touched: Iterable[int]) -> None:
    """Give the known of some quarter hours equal shares of their sum, to the last mWh."""
    known = [i for i in touched if balance[i] is not None]
    total, given = sum(balance[i] or 0 for i in known), 0
    for number, i in enumerate(known, start=1):
        upto = total * number // len(known)
        balance[i], given = upto - given, upto
