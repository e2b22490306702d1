"""What a measurement comes to: a number beside its floor and its bound, and the table of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

WIDTHS = "{:<37}{:>11}{:>11}{:>7}{:>9}{}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. At least one of ``bound`` and ``most`` says what it may come to."""

    name: str
    value: float
    unit: str  #: ms | s | MB | KiB | B
    floor: float  #: what the least that does the same work takes, measured in the same run
    bound: float | None = None  #: the largest ratio of value and floor
    most: float | None = None  #: the largest value, in its unit

    @property
    def ratio(self) -> float:
        """How many floors it is."""
        return self.value / self.floor

    @property
    def is_within(self) -> bool:
        """Whether it is within what it may come to."""
        return (self.bound is None or self.ratio <= self.bound) and (self.most is None or self.value <= self.most)

    def line(self) -> str:
        """Return it as a line of the table."""
        bound = f"{self.bound:.3g} x" if self.bound is not None else f"{self.most:.4g} {self.unit}"
        numbers = f"{number(self.value)} {self.unit}", f"{number(self.floor)} {self.unit}", f"{self.ratio:.1f}"
        return WIDTHS.format(self.name, *numbers, bound, "" if self.is_within else " over")


def number(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


HEADING = WIDTHS.format("", "envoylog", "floor", "ratio", "bound", "").rstrip()


def in_turns(ours: Callable[[], float], floor: Callable[[], float], times: int = 3) -> tuple[float, float]:
    """Return the least of each, measured in turns, so that a busy machine is as busy for both."""
    pairs = [(ours(), floor()) for _ in range(times)]
    return min(first for first, _ in pairs), min(second for _, second in pairs)


def above(rows: Iterable[Row]) -> list[str]:
    """Return the names of the rows that are not within their bounds."""
    return [row.name for row in rows if not row.is_within]
