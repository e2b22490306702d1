"""Marks of a picture as SVG: places from left to right in percent, heights in pixels.

So a picture is as wide as there is room, and its text stays as large as it is. Colours are classes of the style sheet.
"""

import math
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from logger.exports import language

#: above and below a picture's values: for the text of its axis
TOP_PX, AXIS_PX = 14, 18
#: how much higher a picture is than its highest value
ROOM = 1.03


def element(tag: str, content: str | Markup = "", **attributes: Any) -> Markup:
    """Return an SVG element; ``class_`` is its class."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    inside = Markup("").join(Markup(' {}="{}"').format(name, short(value)) for name, value in named.items())
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), inside, content)  # noqa: S704 - our own names


def short(value: Any) -> str:
    """Return a value of an attribute, numbers to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def joined(parts: Iterable[Markup]) -> Markup:
    """Return marks one after the other."""
    return Markup("").join(parts)


def step_of(most: float, steps: int = 4) -> float:
    """Return a round distance of lines: about so many up to the most."""
    rough = max(most, 1e-9) / steps
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)


class Scale:
    """Heights of values in a picture, from the lowest to the highest, with its lines."""

    def __init__(self, most: float, least: float, height_px: float) -> None:
        self.step = step_of(most - least)
        self.top = max(self.step, most * ROOM)
        self.bottom = min(0.0, least * ROOM)
        self.height_px = height_px

    def y(self, value: float) -> float:
        """Return how far below the upper edge a value lies, px."""
        return TOP_PX + (self.top - value) / (self.top - self.bottom) * self.height_px

    def lines(self) -> list[float]:
        """Return the values that have a line."""
        ends = math.ceil(self.bottom / self.step), math.floor(self.top / self.step)
        return [self.step * n for n in range(ends[0], ends[1] + 1)]

    def axis(self, unit: str) -> Markup:
        """Return the picture of the numbers beside the lines."""
        texts = [
            element("text", language.number(abs(value), ",.4g"), x="100%", y=self.y(value) + 4, text_anchor="end")
            for value in self.lines()
        ]
        height = self.height_px + TOP_PX + AXIS_PX
        texts.append(element("text", unit, x="100%", y=height - 3.0, text_anchor="end", class_="unit"))
        return element("svg", joined(texts), class_="axis", height=height, aria_hidden="true")

    def grid(self) -> Markup:
        """Return the lines."""
        return joined(
            [
                element(
                    "line",
                    x1="0",
                    x2="100%",
                    y1=self.y(value),
                    y2=self.y(value),
                    class_="zero" if not value else "line",
                )
                for value in self.lines()
            ]
        )


def percent(value: float) -> str:
    """Return a place from left to right."""
    return f"{short(float(value))}%"


def rect(scale: Scale, x: float, wide: float, low: float, high: float, class_: str) -> Markup:
    """Return a column from one value up to another; ``x`` and ``wide`` in percent."""
    top = scale.y(high)
    return element("rect", x=percent(x), width=percent(wide), y=top, height=scale.y(low) - top, class_=class_)
