"""Takes out of a gateway's documents what shows whose they are, and leaves what they measure.

Text is kept where its key is known to hold the field's own words, or where it is a number; any other is replaced, for
nobody knows what the next firmware writes there. Serial numbers are replaced by made-up ones, each by the same
everywhere, so that pages that belong together still do.
"""

import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from logger.clock import time_zone
from logger.errors import SettingsError

#: No document of a gateway is nested any deeper.
DEEPEST = 50
#: in the place of a text
HIDDEN = "(hidden)"
#: Keys whose value is a serial number, whatever it looks like.
_SERIAL_KEY = re.compile("serial|^sn$|^device_id$|^aud$", re.IGNORECASE)
#: A key or a text of so many digits is a serial number.
_SERIAL = re.compile("[0-9]{11,14}")
#: Known serial numbers that are shorter are replaced only where they are a whole value.
_SHORTEST_INSIDE = 6
#: Keys whose numbers say where somebody lives or how to call.
_PRIVATE_KEY = re.compile(
    "latitude|longitude|^l(at|on|ng)$|gps|coord|zip|postal|phone|mobile|passw|secret|token|account|site_?id|user|^pin$"
    "|ssid|passphrase|address|^ip|^mac",
    re.IGNORECASE,
)
#: Large whole numbers stay under these alone: any other may be a serial number.
_MEASURED_KEY = re.compile("joule|wh|watt|energy|date|time|epoch|created|installed|var|demand|power", re.IGNORECASE)
_LARGE = 10**10
#: Keys whose texts are the field's own words: what it is, in which state, of which version.
WORDS = {
    "Enchg_grid_mode", "Enpwr_grid_mode", "Solar_grid_mode", "admin_mode", "admin_state", "admin_state_str",
    "app_fw_version", "batt_mode", "battery_mode", "bmu_fw_version", "charge_status", "code", "collar_state",
    "com_interface_str", "devName", "device_status", "dmir_fw_version", "err", "error", "flags_hex", "gen_action",
    "grid_action", "grid_state", "ibl_fw_version", "img_pnum_running", "interface", "mains_admin_state",
    "mains_oper_state", "manual_override", "measurementType", "meteringStatus", "micro_grid_action", "mid_state",
    "mode", "oper_state", "operation_mode_sub_type", "override", "part_num", "part_number", "peak_rule", "phase",
    "phaseMode", "primary_interface", "proc_load_fw_version", "reportType", "reported_enc_grid_state",
    "reported_grid_mode", "sc_stream", "setting", "state", "status", "statusFlags", "type",
    "update_status", "version", "zb_fw_version",
}  # fmt: skip
#: Words, constants and versions; a name begins with one capital.
_WORDS = re.compile(r"[a-z][a-z0-9_ ./-]{0,59}|[A-Z][A-Z0-9_ ./-]{0,59}|[A-Za-z]?[0-9][\w./-]{0,59}", re.ASCII)
#: the names of dry contacts
_CONTACT = re.compile("N[CO][0-9]{1,2}")
#: What says nothing stays under any key.
NOTHING = {"", "unknown", "n/a", "N/A", "none", "null", "true", "false", "ok"}
_NUMBER = re.compile("-?(0|[1-9][0-9]{0,9})([.][0-9]{1,9})?")
_KEY = re.compile(r"[\w :./%()-]{1,60}", re.ASCII)
#: XML elements of /info that name nobody
_INFO = {
    "time", "pn", "software", "euaid", "seqnum", "apiver", "imeter", "web-tokens", "version", "build", "build_id",
    "build_time_gmt",
}  # fmt: skip
#: a row of the page for people of firmware 3
_ROW = re.compile(r"<td>\s*([A-Za-z ]{3,30}?)\s*</td>\s*<td[^>]*>\s*([-\d.,]{1,12}\s*[kM]?Wh?)\s*</td>", re.IGNORECASE)
_ADDRESS = re.compile(
    r"\beyJ[\w-]+(\.[\w-]+)*"  # a token
    r"|[^\s@/:'\"]+@[\w.-]+\.\w+"  # an e-mail address
    r"|\b([0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b"  # of a network card
    r"|\b\d{1,3}(\.\d{1,3}){3}\b"  # IPv4
    r"|(?<![\w:])([0-9a-f:]*::[0-9a-f:]*(%\w+)?|([0-9a-f]{1,4}:){7}[0-9a-f]{1,4})(?![\w:])",  # IPv6
    re.IGNORECASE,
)
#: a file of this machine, not a page of a gateway
_PATH = re.compile(r"(?<![\w/~.])(?!/(ivp|api|auth|inventory|production|info|admin/lib)\b|/home(?!/))~?/[^\s,;:'\")]+")
#: what a router or another server calls itself
_TITLE = re.compile(r"\b(router|web server) \([^)]*\)")
_HOST = re.compile(r"\b(https?|postgresql|sqlite)(\+\w+)?://[^\s,;'\"]+", re.IGNORECASE)


def is_clean(text: str) -> bool:
    """Return whether a text holds no serial number, address or token by its looks."""
    return _ADDRESS.search(text) is None and _SERIAL.search(text) is None


class Redaction:
    """Replaces the same by the same; ``private`` are texts that are hidden wherever they stand, such as names."""

    def __init__(self, private: Mapping[str, str] | None = None) -> None:
        self._private = dict(private or {})
        self._serials: dict[str, str] = {}

    def learn(self, bodies: Iterable[Any]) -> None:
        """Note the serial numbers of all documents, before any of them is redacted."""
        new = {serial for body in bodies for serial in _serials_of(body)} - self._serials.keys()
        number = 990_000_000_000 + len(self._serials)
        for serial in sorted(new, key=lambda text: (len(text), text)):
            number += 1
            while str(number) in new or str(number) in self._serials:
                number += 1
            self._serials[serial] = str(number)

    @staticmethod
    def parsed(text: str) -> Any:
        """Return a JSON body as a document; None for any other, and for one that is nested like none of a gateway."""
        depths = accumulate((letter in "[{") - (letter in "]}") for letter in text if letter in "[]{}")
        if max(depths, default=0) > DEEPEST:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None

    def serial(self, text: str) -> str:
        """Return what stands for a serial number."""
        self.learn([{"serial": text}])
        return self._serials.get(text, text)

    def body(self, text: str, *, is_for_people: bool = False) -> Any:
        """Return the body of a page as it is recorded: JSON, XML of /info, or the kind of text that it is.

        ``is_for_people``: the rows of an HTML page are kept, as firmware 3 has no other.
        """
        bare = text.strip()
        if bare.startswith("<"):
            if "<envoy_info" in bare and (info := self._info(bare)) is not None:
                return info
            rows = _ROW.findall(bare) if is_for_people else []
            cells = "".join(f"<tr><td>{label}</td><td> {value}</td></tr>" for label, value in rows)
            return f"<html><body><table>{cells}</table></body></html>"
        if bare == "null":
            return None
        if (document := self.parsed(bare)) is None:
            return "" if not bare else '{"cut": '
        return self.document(document)

    def document(self, value: Any, key: str = "") -> Any:
        """Return a JSON document without what shows whose it is."""
        if isinstance(value, dict):
            return {self._key(name): self.document(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.document(item, key) for item in value]
        if isinstance(value, str):
            return self._text(key, value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        return self._number(key, value)

    def sentence(self, text: str) -> str:
        """Return a sentence of ours without names, addresses, paths and serial numbers."""
        for known in sorted(self._private, key=len, reverse=True):
            instead = self._private[known].replace("\\", "")
            text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", instead, text, flags=re.IGNORECASE)
        text = _TITLE.sub(r"\1", _HOST.sub("(address)", text))
        text = _ADDRESS.sub("(address)", _PATH.sub("(path)", self._without_serials(text)))
        made_up = set(self._serials.values())
        return _SERIAL.sub(lambda found: found[0] if found[0] in made_up else "(serial)", text)

    def _key(self, name: str) -> str:
        if (known := self._serials.get(name)) is not None:
            return known
        return name if _KEY.fullmatch(name) and is_clean(name) else HIDDEN

    def _text(self, key: str, text: str) -> str:
        if text in NOTHING:
            return text
        if (known := self._serials.get(text)) is not None and (_is_serial_key(key) or len(text) >= _SHORTEST_INSIDE):
            return known
        if _PRIVATE_KEY.search(key):
            return HIDDEN
        if _NUMBER.fullmatch(text) or (key == "id" and _CONTACT.fullmatch(text)):
            return text
        if key == "timezone":
            return text if _is_time_zone(text) else HIDDEN
        is_word = key in WORDS and _WORDS.fullmatch(text) and is_clean(text)
        return text if is_word and text == self._without_serials(text) else HIDDEN

    def _number(self, key: str, value: float) -> Any:
        if (known := self._serials.get(str(value))) is not None and _is_serial_key(key):
            return int(known)
        if not math.isfinite(value) or _PRIVATE_KEY.search(key):
            return None
        is_whole = isinstance(value, int) and abs(value) >= _LARGE
        return None if is_whole and (str(value) in self._serials or not _MEASURED_KEY.search(key)) else value

    def _without_serials(self, text: str) -> str:
        for serial, instead in self._serials.items():
            if len(serial) >= _SHORTEST_INSIDE and serial in text:
                text = text.replace(serial, instead)
        return text

    def _info(self, text: str) -> str | None:
        """Return the XML of /info with the elements that are known; None where it is none."""
        if "<!ENTITY" in text:
            return None
        try:
            root = ET.fromstring(text)  # noqa: S314 - entities were refused just above
        except (ET.ParseError, ValueError):
            return None
        for element in root.iter():
            content = (element.text or "").strip()
            if element.tag == "sn":
                element.text = self.serial(content) if content else content
            elif content and not (element.tag in _INFO and _WORDS.fullmatch(content)):
                element.text = HIDDEN
            element.tail = None
            kept = {name: value for name, value in element.attrib.items() if name == "name" and _KEY.fullmatch(value)}
            element.attrib.clear()
            element.attrib.update(kept)
        return ET.tostring(root, encoding="unicode")


def _is_time_zone(text: str) -> bool:
    try:
        time_zone(text)
    except SettingsError:
        return False
    return True


def _is_serial_key(key: str) -> bool:
    return _SERIAL_KEY.search(key) is not None


def _serials_of(value: Any, key: str = "") -> Iterator[str]:
    """Yield the serial numbers of a document: under their keys, as keys, and texts that look like one."""
    if isinstance(value, dict):
        for name, item in value.items():
            if _SERIAL.fullmatch(name):
                yield name
            yield from _serials_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _serials_of(item, key)
    elif isinstance(value, str):
        if (_is_serial_key(key) and value not in NOTHING) or _SERIAL.fullmatch(value):
            yield value
    elif isinstance(value, int) and not isinstance(value, bool) and _is_serial_key(key):
        yield str(value)
