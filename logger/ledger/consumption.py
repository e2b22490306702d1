"""What the house consumed, also over a gap of one of the registers that it is the balance of.

Where a meter was silent its energy is spread evenly over the gap, while another's goes up and down with the sun:
quarter by quarter their balance means nothing, and only over the whole gap is it what the house consumed. So it is
spread evenly there too. The same holds where a register stood still for a while and then caught up, and where what
follows makes up for a balance below zero.

Energies are lists of mWh by quarter hour, None where unknown; ``edges_s`` are the starts of the quarter hours and the
end of the last.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from logger.clock import QUARTER_S
from logger.ledger.curve import STALL_S, Curve, Stretch, Tie, joined, touched
from logger.ledger.interpolation import interpolated
from logger.ledger.limits import RETIRED_S, Stream

Energy = list[int | None]

#: What the house consumed is made of these, where it has a register of its own (C3) and where it has none (C2); the
#: battery is added to both (C6).
OWN = {Stream.CONSUMPTION_CT: 1, Stream.DISCHARGE: 1, Stream.CHARGE: -1}
BALANCE = {
    Stream.PRODUCTION: 1,
    Stream.IMPORT: 1,
    Stream.EXPORT: -1,
    Stream.STANDBY: -1,
    Stream.DISCHARGE: 1,
    Stream.CHARGE: -1,
}
#: For this long a register that stands still may be made up for; longer, it is stuck and bridged.
RECOVERED_S = STALL_S + QUARTER_S


class Resolver(Protocol):
    """What knows more of a balance than registers do."""

    @property
    def has_battery(self) -> bool:
        """Whether what batteries do belongs to the balance."""

    def resolve(self, balance: Energy, *, is_counted: bool) -> list[Stretch]:
        """Complete a balance, None where it is unknown; return over which stretches only its sum is known.

        ``is_counted``: what the house consumed has a register of its own, to which batteries are added.
        """


class Consumption(NamedTuple):
    """What the house consumed."""

    energy_mwh: Energy
    spread_s: list[Stretch]  #: over which it was spread to make up for what was below zero
    open_s: list[int]  #: quarter hours below zero that what follows may still make up for


def consumption(
    energy: Mapping[Stream, Energy],
    curves: Mapping[Stream, Curve],
    edges_s: range,
    settled_s: int,
    more: Resolver | None = None,
    *,
    is_ct_gone: bool = False,
) -> Consumption:
    """Return what the house consumed; quarter hours from ``settled_s`` on may change.

    While a storage CT is silent it is unknown, unless that one is gone.
    """
    nothing: Energy = [None] * (len(edges_s) - 1)
    own = energy.get(Stream.CONSUMPTION_CT, nothing)
    energy = {stream: _counted(mwh, curves.get(stream), edges_s) for stream, mwh in energy.items()}
    result = Consumption(nothing.copy(), [], [])
    both = _both(own, curves, edges_s)
    has_battery = Stream.CHARGE in curves or Stream.DISCHARGE in curves or (more is not None and more.has_battery)
    for signs, is_own in ((OWN, True), (BALANCE, False)):
        if not is_own and Stream.IMPORT not in curves:
            continue
        part = [
            mwh if (own[i] is not None) is is_own or i in both else None
            for i, mwh in enumerate(_sum(signs, energy, curves, edges_s, is_ct_gone=is_ct_gone))
        ]
        whole_s = more.resolve(part, is_counted=is_own) if more else []
        # A register of its own is measured, whatever the others are; a battery makes it a balance.
        if has_battery or not is_own:
            known = [curves[stream] for stream in signs if stream in curves]
            bridges_s = joined([*whole_s, *(s for curve in known for s in curve.stretches_s(Tie.BRIDGED))])
            spread_evenly(part, edges_s, bridges_s)
            for flat_s in sorted(flat_s for curve in known for flat_s in curve.flats_s):
                _spread_deficit(part, touched(edges_s, *flat_s))
            spread_s, open_s = recover_deficits(part, edges_s, bridges_s, settled_s)
            result.spread_s.extend(spread_s)
            result.open_s.extend(open_s)
        for i, mwh in enumerate(part):
            if mwh is not None:
                result.energy_mwh[i] = (result.energy_mwh[i] or 0) + mwh
    return result


def _counted(energy: Energy, curve: Curve | None, edges_s: range) -> Energy:
    """Return what a register counted alone while its CT changed its kind, without what power adds to it."""
    if curve is None or not (away_s := curve.stretches_s(Tie.AWAY)):
        return energy
    within = {i for s in (*away_s, *curve.stretches_s(Tie.BROKEN)) for i in touched(edges_s, *s)}
    return [
        counted if i in within else mwh
        for i, (mwh, counted) in enumerate(zip(energy, curve.energy(edges_s), strict=True))
    ]


def _both(own: Energy, curves: Mapping[Stream, Curve], edges_s: range) -> set[int]:
    """Return the quarter hours in which a CT changed its kind: each of the two knows a part of them."""
    if not all(stream in curves for stream in (Stream.CONSUMPTION_CT, Stream.IMPORT)):
        return set()
    away = [
        {i for stretch_s in curves[stream].stretches_s(Tie.AWAY) for i in touched(edges_s, *stretch_s)}
        for stream in (Stream.CONSUMPTION_CT, Stream.IMPORT)
    ]
    return {i for i in away[0] & away[1] if own[i] is not None}


def _sum(
    signs: Mapping[Stream, int],
    energy: Mapping[Stream, Energy],
    curves: Mapping[Stream, Curve],
    edges_s: range,
    *,
    is_ct_gone: bool,
) -> Energy:
    """Return the signed sum of streams; nothing is known where one of them is not."""
    parts: dict[Stream, Energy] = {}
    for stream in signs:
        part = energy.get(stream, [None] * (len(edges_s) - 1))
        if stream is Stream.STANDBY:
            # While it is silent, standby is too little to make consumption unknown.
            part = _while_there(curves.get(stream), part, edges_s, silent_s=0)
        elif stream in {Stream.CHARGE, Stream.DISCHARGE}:
            part = _while_there(curves.get(Stream.DISCHARGE), part, edges_s, silent_s=0 if is_ct_gone else RETIRED_S)
        parts[stream] = part
    total: Energy = [
        None if None in row else sum(map(int.__mul__, signs.values(), row)) for row in zip(*parts.values(), strict=True)
    ]
    _leave_out_breaks(total, parts, signs, curves, edges_s)
    return total


def _while_there(curve: Curve | None, energy: Energy, edges_s: range, *, silent_s: int) -> Energy:
    """Return the energy of a stream, and 0 while it does not belong to the site."""
    if curve is None:
        return [0] * len(energy)
    there = touched(edges_s, curve.anchor.first_s, curve.last_s + silent_s)
    return [mwh if i in there else 0 for i, mwh in enumerate(energy)]


def _leave_out_breaks(
    total: Energy,
    parts: Mapping[Stream, Energy],
    signs: Mapping[Stream, int],
    curves: Mapping[Stream, Curve],
    edges_s: range,
) -> None:
    """Leave out what others counted while one register was broken off: it is no balance."""
    known = {stream: curves[stream] for stream in signs if stream in curves}
    breaks = {stream: curve.stretches_s(Tie.BROKEN, Tie.AWAY) for stream, curve in known.items()}
    every_s = [stretch_s for stretches_s in breaks.values() for stretch_s in stretches_s]
    if not every_s:
        return
    # By how much a register grew as it was read, erroneously or not.
    as_read = {
        stream: ([curve.anchor.at_s, *curve.read.at_s], [curve.anchor.value_mwh, *curve.read.value_mwh])
        for stream, curve in known.items()
    }
    for i in sorted({i for stretch_s in every_s for i in touched(edges_s, *stretch_s)}):
        mwh, begin_s, until_s = total[i], edges_s[i], edges_s[i + 1]
        if mwh is None:
            continue
        for start_s, end_s in joined(s for s in every_s if s[0] < until_s and begin_s < s[1]):
            within_s = max(start_s, begin_s), min(end_s, until_s)
            for stream in known:
                if not any(a < within_s[1] and within_s[0] < b for a, b in breaks[stream]):
                    before_mwh, after_mwh = interpolated(*as_read[stream], within_s)
                    mwh -= signs[stream] * min(max(0, after_mwh - before_mwh), parts[stream][i] or 0)
        total[i] = mwh


def spread_evenly(balance: Energy, edges_s: range, bridges_s: Iterable[Stretch]) -> None:
    """Spread a balance evenly over each bridge; its sum stays."""
    for start_s, end_s in bridges_s:
        within = touched(edges_s, start_s, end_s)
        _share(balance, [i for i in within if start_s <= edges_s[i] and edges_s[i + 1] <= end_s])
        _spread_deficit(balance, within)


def _spread_deficit(balance: Energy, within: range) -> None:
    """Spread a balance over quarter hours, if it is below zero in one of them."""
    if any((balance[i] or 0) < 0 for i in within):
        _share(balance, within)


def recover_deficits(
    balance: Energy, edges_s: range, bridges_s: Iterable[Stretch], settled_s: int
) -> tuple[list[Stretch], list[int]]:
    """Spread what is below zero over what follows, if that makes up for it soon.

    Return the stretches over which it was spread, and what may still be made up for by quarter
    hours from ``settled_s`` on.
    """
    spread_s: list[Stretch] = []
    open_s: list[int] = []
    bridged = {i for stretch_s in bridges_s for i in touched(edges_s, *stretch_s)}
    for first, below_mwh in enumerate(balance):
        if below_mwh is None or below_mwh >= 0 or first in bridged:
            continue
        missing_mwh, end = below_mwh, first + 1
        last = min(len(balance), first + 1 + RECOVERED_S // QUARTER_S)
        while missing_mwh < 0 and end < last and end not in bridged:
            if (following_mwh := balance[end]) is None:
                break
            missing_mwh += following_mwh
            end += 1
        if missing_mwh >= 0:
            _share(balance, range(first, end))
            spread_s.append((edges_s[first], edges_s[end]))
        if edges_s[end] > settled_s or (missing_mwh < 0 and edges_s[end] == settled_s):
            open_s.append(edges_s[first])
    return spread_s, open_s


def _share(balance: Energy, within: Iterable[int]) -> None:
    """Give the known of some quarter hours equal shares of their sum, to the last mWh."""
    known = [i for i in within if balance[i] is not None]
    total, given = sum(balance[i] or 0 for i in known), 0
    for number, i in enumerate(known, start=1):
        upto = total * number // len(known)
        balance[i], given = upto - given, upto
