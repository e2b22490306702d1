"""Tolerant parsing, by name and per field: what is not a finite number is None, never 0."""

import json
import math
import re
from typing import Any

from logger.errors import EndpointMissingError, MalformedDocumentError

#: No site behind one gateway reaches a megawatt: such a "power" is a wrapped negative number.
MOST_POWER_W = 1e6
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


def document(text: str) -> Any:
    """Return the JSON of a body, whatever its headers said.

    Raises:
        MalformedDocumentError: empty, HTML, or cut.
        EndpointMissingError: a JSON body that says so itself.
    """
    body = text.strip()
    if not body:
        raise MalformedDocumentError("the answer is empty.")
    if body.startswith("<"):
        raise MalformedDocumentError("the answer is an HTML page instead of JSON.")
    try:
        made = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedDocumentError("the answer is not whole JSON.") from error
    if isinstance(made, dict) and "error" in made:
        raise EndpointMissingError("this gateway has no such page.")
    return made


def number(value: Any) -> float | None:
    """Return a finite number, also from text; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    if isinstance(value, (int, float)):
        made = float(value) if abs(value) < 1e300 else math.inf
        return made + 0.0 if math.isfinite(made) else None  # + 0.0 turns -0.0 into 0.0
    return None


def integer(value: Any) -> int | None:
    """Return a whole number, also from 3.0 or "3"; else None."""
    made = number(value)
    return None if made is None else int(made)


def power(value: Any) -> float | None:
    """Return watts; None where the number can't be a site's power."""
    made = number(value)
    return None if made is None or abs(made) > MOST_POWER_W else made


def counter(value: Any) -> float | None:
    """Return watt-hours of a counter that only rises; None where it is negative."""
    made = number(value)
    return None if made is None or made < 0 else made


def text(value: Any) -> str | None:
    """Return text, also from a number; None for anything else or nothing."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip() or None


def items(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; a broken item is left out, the others stay."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def table(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}
