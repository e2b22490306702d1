"""Tolerant parsing, by name and per field: what is not a finite number is None, never 0."""

import json
import re
from typing import Any

from logger.errors import EndpointMissingError, EndpointRefusedError, MalformedDocumentError, NotReadyError

#: No site behind one gateway reaches a megawatt: such a "power" is a wrapped negative number.
MOST_POWER_W = 1e6
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


def check(status: int) -> None:
    """Check the status of an answer.

    Raises:
        EndpointRefusedError: it is not for us, while others are.
        EndpointMissingError: this gateway has no such endpoint; redirects lead to error pages.
        NotReadyError: an answer that means "later" (5xx).
    """
    if status in {401, 403}:
        raise EndpointRefusedError(f"status {status}: not for this user or firmware.")
    if status == 404 or 300 <= status < 400:
        raise EndpointMissingError("this gateway has no such page.")
    if status != 200:
        raise NotReadyError(f"status {status}: not ready.")


def document(status: int, body: str, *, or_html: bool = False) -> Any:
    """Return the JSON of an answer, whatever its headers are; or the text of an HTML page.

    Raises:
        MalformedDocumentError: empty, HTML, or cut.
        EndpointMissingError: by its status, or by its JSON body.
        EndpointRefusedError, NotReadyError: by its status.
    """
    check(status)
    text = body.strip()
    if not text:
        raise MalformedDocumentError("the answer is empty.")
    if text.startswith("<"):
        if or_html:
            return body
        raise MalformedDocumentError("the answer is an HTML page instead of JSON.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedDocumentError("the answer is not whole JSON.") from error
    if isinstance(found, dict) and "error" in found:
        raise EndpointMissingError("this gateway has no such page.")
    return found


def number(value: Any) -> float | None:
    """Return a finite number, also from text; else None."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) + 0.0 if abs(value) < 1e300 else None  # + 0.0 turns -0.0 into 0.0


def integer(value: Any) -> int | None:
    """Return a whole number, also from 3.0 or "3"; else None."""
    found = number(value)
    return None if found is None else int(found)


def power(value: Any) -> float | None:
    """Return watts; None where the number can't be a site's power."""
    found = number(value)
    return None if found is None or abs(found) > MOST_POWER_W else found


def counter(value: Any) -> float | None:
    """Return watt-hours of a counter that only rises; None where it is negative."""
    found = number(value)
    return None if found is None or found < 0 else found


def text(value: Any) -> str | None:
    """Return text, also from a number; None for anything else or nothing."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip() or None


def items(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; a broken item is left out, the others stay."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def table(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}
