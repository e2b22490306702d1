"""When a panel loses: at certain hours of the day, at its height, or always.

What it made by hours in some days is held against what is usual beside its neighbours.

Walk: panels -> here
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from logger.ledger.panel_day import Hours, PanelState

#: day -> the hours of a panel and of its neighbours on it
HoursOf = Callable[[int], tuple[Hours, Hours]]

#: A panel is shaded where hours in a row lose this much and the rest loses little, also beside them; so it begins,
BEGINS, REST, REST_BESIDE = 0.13, 0.05, 0.4
#: and where it is this clear (the difference, by the share of the day);
CLEARLY = 0.05
#: so it goes on,
GOES_ON, STILL_REST, STILL_BESIDE = 0.07, 0.07, 0.6
#: and so what was weak turns out to be shaded.
TURNS, TURNED_BESIDE = 0.15, 0.25
#: Share of the day's energy in the hours that lose, and in an hour that is looked at.
SHADE_LEAST, SHADE_MOST, FAINT = 0.06, 0.70, 0.02
#: A clipped inverter makes its best where this much more is usual, this near to its best in so many of those hours,
#: loses this much there, and little where this much of its best is usual.
ABOVE, LEVEL, LEVEL_SHARE, CLIPPED_LOSS, BELOW, BELOW_BESIDE = 1.03, 0.93, 0.8, 0.04, 0.9, 0.35


class Shape(NamedTuple):
    """What a panel loses in the hours in a row that lose most, and in the rest; shares of what is usual."""

    loss: float
    rest: float
    clearly: float
    is_clipped: bool  #: it loses at its height alone

    def is_shade(self, was: PanelState | None, *, is_weak: bool) -> bool:
        """Return whether a panel is shaded that had a state the day before, and else is weak or not."""
        if was is PanelState.SHADED:
            return self.loss >= GOES_ON and self.rest <= max(STILL_REST, STILL_BESIDE * self.loss)
        if was is PanelState.WEAK:
            return self.loss >= TURNS and self.rest <= TURNED_BESIDE * self.loss
        keeps = self.rest <= REST_BESIDE * self.loss and (is_weak or self.rest <= REST)
        return (is_weak or self.loss >= BEGINS) and keeps and self.clearly >= CLEARLY and not self.is_clipped


def shape_of(days: Sequence[int], usual: Sequence[int], hours: HoursOf) -> Shape | None:
    """Return when a panel loses in days; None where its hours are not known.

    That is against usual days, and against its neighbours where there are none.
    """
    now = [found for day in days if (found := hours(day))[0]]
    then = _by_hour([found for day in usual if (found := hours(day))[0]])
    if not usual:
        then = [(peers, peers) for _, peers in _by_hour(now)]
    whole_wh = sum(peers for _, peers in then)
    share = [own / peers if peers > FAINT * whole_wh else 0.0 for own, peers in then]
    if not now or not any(share):
        return None
    sums = [(own, share[hour] * peers) for hour, (own, peers) in enumerate(_by_hour(now)) if share[hour]]
    clearly, loss, rest = max(_runs(sums), key=lambda run: run[0], default=(0.0, 0.0, 0.0))
    return Shape(loss, rest, clearly, _is_clipped(now, share))


def _is_clipped(days: Sequence[tuple[Hours, Hours]], share: Sequence[float]) -> bool:
    """Return whether a panel loses alone where more is usual than it makes in its best hour."""
    above: list[tuple[float, float]] = []
    below: list[tuple[float, float]] = []
    level_wh = 0.0
    for own_wh, peers_wh in days:
        best_wh = max(filter(None, own_wh), default=0.0)
        for own, peers, usually in zip(own_wh, peers_wh, share, strict=True):
            if own is None or peers is None or not usually:
                continue
            if usually * peers >= ABOVE * best_wh:
                above.append((own, usually * peers))
                level_wh += own if own >= LEVEL * best_wh else 0.0
            elif usually * peers < BELOW * best_wh:
                below.append((own, usually * peers))
    loss = _loss(above)
    is_level = level_wh >= LEVEL_SHARE * sum(own for own, _ in above)
    return is_level and loss >= CLIPPED_LOSS and _loss(below) <= BELOW_BESIDE * loss


def _runs(sums: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float, float]]:
    """Yield how clearly hours in a row lose more than the rest, and what both lose."""
    made = [0.0, *accumulate(own for own, _ in sums)]
    usual = [0.0, *accumulate(usually for _, usually in sums)]
    for begin in range(len(sums)):
        for end in range(begin + 1, len(sums) + 1):
            inside_wh = usual[end] - usual[begin]
            outside_wh = usual[-1] - inside_wh
            share = inside_wh / usual[-1] if usual[-1] else 0.0
            if not SHADE_LEAST <= share <= SHADE_MOST:
                continue
            own_wh = made[end] - made[begin]
            loss, rest = 1 - own_wh / inside_wh, 1 - (made[-1] - own_wh) / outside_wh
            yield (loss - rest) * (share * (1 - share)) ** 0.5, loss, rest


def _loss(cells: Sequence[tuple[float, float]]) -> float:
    usual_wh = sum(usual for _, usual in cells)
    return 1 - sum(own for own, _ in cells) / usual_wh if usual_wh > 0 else 0.0


def _by_hour(days: Sequence[tuple[Hours, Hours]]) -> list[tuple[float, float]]:
    """Return what a panel and its neighbours made in each hour of days, Wh."""
    sums = ([sum(filter(None, column)) for column in zip(*rows, strict=True)] for rows in zip(*days, strict=True))
    return list(zip(*sums, strict=True))
