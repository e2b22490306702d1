"""The highest power of each quarter hour, among those that a site can have."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from logger.clock import QUARTER_S


class Peaks:
    """The highest power of each quarter hour and when it was."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[float, int]] = {}
        self._samples: list[tuple[Sequence[int], Sequence[float]]] = []

    def extend(self, times_s: Sequence[int], powers_w: Sequence[float]) -> None:
        """Take samples into account; one on a boundary closes the quarter hour before it."""
        self._samples.append((times_s, powers_w))
        first = 0
        while first < len(times_s):
            start = (times_s[first] - 1) // QUARTER_S * QUARTER_S
            end = bisect_right(times_s, start + QUARTER_S, first)
            power_w = max(powers_w[first:end])
            known = self.of.get(start)
            if known is None or power_w > known[0]:
                self.of[start] = power_w, times_s[powers_w.index(power_w, first)]
            first = end

    def leave_out(self, most_w: Callable[[int], float], least_w: float) -> None:
        """Leave out samples of more than a quarter hour can hold; all hold ``least_w``."""
        for start, (power_w, _) in list(self.of.items()):
            if power_w <= least_w or power_w <= (limit_w := most_w(start)):
                continue
            possible = [
                (power_w, -at_s)
                for times_s, powers_w in self._samples
                for at_s, power_w in zip(times_s, powers_w, strict=True)
                if start < at_s <= start + QUARTER_S and power_w <= limit_w
            ]
            del self.of[start]
            if possible:
                highest_w, at_s = max(possible)
                self.of[start] = highest_w, -at_s
