"""Tolerant parsing, by name and per field: what is not a finite number is None, never 0.

What no column can hold is None too, and texts are made printable and short: a gateway may answer anything.
"""

import json
import re
from typing import Any

import msgspec

from logger.errors import EndpointMissingError, EndpointRefusedError, MalformedDocumentError, NotReadyError

#: No site behind one gateway reaches a megawatt: such a "power" is a wrapped negative number.
MOST_POWER_W = 1e6
#: Larger numbers are no measurement, and no counter of a site.
LARGEST = 1e15
LARGEST_COUNT = 1e13  #: of joules; of Wh it would be a power station
#: An epoch second beyond the year 2100 is in another unit, or garbage.
LATEST_S = 4_102_444_800
#: of a column of whole numbers
LARGEST_INTEGER = 2**31 - 1
LONGEST_NUMBER = 40
LONGEST_TEXT = 200
#: A page of 500 units has half of these commas and brackets; each may cost 60 bytes and more, whatever the page's size.
MOST_VALUES = 100_000
#: No list of a gateway is longer: a site has some dozens of inverters.
MOST_ITEMS = 2_000
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


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


def document(status: int, body: bytes, *, or_html: bool = False) -> Any:
    """Return the JSON of an answer, whatever its headers are; or the text of an HTML page.

    Raises:
        MalformedDocumentError: empty, HTML, or cut.
        EndpointMissingError: by its status, or by its JSON body.
        EndpointRefusedError, NotReadyError: by its status.
    """
    check(status)
    bare = body.strip()
    if not bare:
        raise MalformedDocumentError("the answer is empty.")
    if bare.startswith(b"<"):
        if or_html:
            return body.decode("utf-8", "replace")
        raise MalformedDocumentError("the answer is an HTML page instead of JSON.")
    if sum(map(bare.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise MalformedDocumentError("the answer holds more values than any of a gateway.")
    found = _decoded(bare)
    if isinstance(found, dict) and "error" in found:
        raise EndpointMissingError("this gateway has no such page.")
    return found


def _decoded(body: bytes) -> Any:
    """Return the JSON that a body holds; what msgspec takes for none (NaN, other bytes than UTF-8), json may read."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            return json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise MalformedDocumentError("the answer is not whole JSON.") from error


def number(value: Any) -> float | None:
    """Return a finite number, also from text; else None."""
    kind = type(value)
    if kind is float or kind is int:  # As nearly always: hundreds in a poll.
        return value + 0.0 if -LARGEST <= value <= LARGEST else None  # + 0.0 turns -0.0 into 0.0
    if isinstance(value, str):
        # By its length first: the pattern takes long for what is no number but looks like one.
        bare = value[: 2 * LONGEST_NUMBER].strip()
        value = float(bare) if len(bare) <= LONGEST_NUMBER and _NUMBER.fullmatch(bare) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) + 0.0 if abs(value) <= LARGEST else None


def integer(value: Any) -> int | None:
    """Return a whole number that a column can hold, also from 3.0 or "3"; else None."""
    found = number(value)
    return None if found is None or abs(found) > LARGEST_INTEGER else int(found)


def instant_s(value: Any) -> int | None:
    """Return epoch seconds, also from text; None for 0, which means never, and for what no clock shows."""
    found = number(value)
    return int(found) if found is not None and 1 <= found < LATEST_S else None


def reading_age_s(value: Any, now_s: int) -> int | None:
    """Return how old a reading of an instant (epoch seconds) is; None where it has none that can be."""
    at_s = instant_s(value)
    return None if at_s is None or abs(now_s - at_s) > LARGEST_INTEGER else now_s - at_s


def power(value: Any) -> float | None:
    """Return watts; None where the number can't be a site's power."""
    found = number(value)
    return None if found is None or abs(found) > MOST_POWER_W else found


def counter(value: Any) -> float | None:
    """Return watt-hours (or joules) of a counter that only rises; None where it is negative or can't be."""
    found = number(value)
    return found if found is not None and 0 <= found <= LARGEST_COUNT else None


def text(value: Any) -> str | None:
    """Return text, also from a number; None for anything else or nothing.

    It is well-formed, printable and short, whatever was sent: it goes into a database and onto terminals.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    bare = str(value)[: 4 * LONGEST_TEXT].strip()[:LONGEST_TEXT]
    if bare.isprintable():
        return bare or None
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in bare)


def items(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; a broken item is left out, the others stay."""
    return [item for item in value[:MOST_ITEMS] if isinstance(item, dict)] if isinstance(value, list) else []


def table(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}
