"""The configuration file as a document: TOML into values, and a sentence for what people write in its place.

A sentence names the line and the key, and shows a value only of a key that holds no secret.
"""

import codecs
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from logger.errors import SettingsError
from logger.settings import places

#: what the file may hold, and as what
TOP_KEYS: dict[str, type] = {
    "database_url": str,
    "poll_every_s": int,
    "inverters_every_s": int,
    "commit_every_s": int,
    "collect": str,
    "keep_samples_days": int,
    "state_dir": str,
    "pages": dict,
    "notify": list,
    "healthcheck": dict,
    "gateways": list,
}
PAGES_KEYS: dict[str, type] = {"directory": str, "locale": str}
#: in which files for people can be
LANGUAGES = ("en", "de", "nl", "fr", "es", "it")
GATEWAY_KEYS: dict[str, type] = {
    "name": str,
    "host": str,
    "serial": str,
    "time_zone": str,
    "peak_power_kwp": float,
    "grid_meter": str,
    "token_file": str,
    "username": str,
    "password_file": str,
    "tls": str,
    "mdns": bool,
    "livedata": bool,
    "panel_names": dict,
    "arrays": list,
}
WORDS = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    list: "tables",
    bool: "true or false",
    dict: "a table",
}
#: keys whose text is no secret, not even where somebody has mistaken the key
SHOWN = ("collect", "name", "host", "serial", "time_zone", "tls", "grid_meter", "state_dir")
#: quotes of word processors
CURLY = re.compile("[\u2018\u2019\u201c\u201d\u201e]")
#: what goes into no name, address or path: a terminal would obey it
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ASSIGNED = re.compile(r"\s*([\w-]+)\s*=\s*(.*)")
_COLON = re.compile(r"\s*[\w-]+\s*:\s")


def read(path: Path | None) -> dict[str, Any]:
    """Return what a configuration file holds; nothing where there is none.

    Raises:
        SettingsError: it can't be read, or is no TOML; names the line and what to write.
    """
    if path is None:
        return {}
    try:
        raw = path.read_bytes()
    except PermissionError as error:
        raise places.not_for_us(path) from error
    except OSError as error:
        raise SettingsError(f"The configuration {path} can't be read ({error.strerror}); check the path.") from error
    text = _decoded(raw, path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}, {_sentence_of(error, text)}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path} holds a number of thousands of digits, or tables without end in each other; remove it."
        ) from error


def _decoded(raw: bytes, path: Path) -> str:
    """Return the text of a file, without the byte-order mark that Windows puts before it."""
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8.") from error


def _sentence_of(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return where a document is no TOML, and what to write there.

    TOML's own words stay where nothing better is known; they show no value.
    """
    lines, found = text.splitlines(), re.search(r"\(at line (\d+), column \d+\)", str(error))
    number = int(found[1]) if found else len(lines)
    reason = re.sub(r"\s*\(at .*\)$", "", str(error))
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    return f"line {number}: {_remedy(line, reason)}"


def _remedy(line: str, reason: str) -> str:
    assigned = _ASSIGNED.fullmatch(line)
    if "overwrite" in reason and assigned:
        return f"{assigned[1]} stands here a second time; a further gateway begins with a line [[gateways]]."
    if CURLY.search(line):
        return 'write straight quotes: ".'
    if assigned and (instead := _instead(assigned[1], assigned[2].partition("#")[0].strip())):
        return instead
    if _COLON.match(line):
        return 'write key = "value", with an equals sign.'
    return f"{reason[:1].lower()}{reason[1:]}; write key = value, text in quotes."


def _instead(key: str, value: str) -> str | None:
    """Return how a value has to be written; None where that is not what is wrong."""
    kind = GATEWAY_KEYS.get(key) or TOP_KEYS.get(key)
    if not value:
        return f"{key} has no value; give it one, or delete the line."
    if kind in {int, float} and re.fullmatch(r"\d+,\d+", value):
        return f"{key} is {value.replace(',', '.')} with a decimal point."
    if kind is bool:
        return f"{key} must be true or false, in small letters."
    if value[0] in "\"'" and (len(value) == 1 or value[-1] != value[0]):
        return f"the quotes of {key} are not closed."
    if kind is str and value[0] not in "\"'[{":
        shown = f'"{value}"' if key in SHOWN and "@" not in value else '"…"'
        return f"text stands in quotes: {key} = {shown}"
    return None


def typed(table: Mapping[str, Any], known: Mapping[str, type], *, where: str) -> dict[str, Any]:
    """Return a table's values, each of its key's type.

    Raises:
        SettingsError: names the key, and the nearest that there is or where it belongs.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{where}: {_unknown(key, known)}")
        try:
            values[key] = msgspec.convert(value, known[key])
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {_wrong(key, value, known[key])}") from error
        if isinstance(value, str) and CONTROL.search(value):
            raise SettingsError(
                f"{where}: {key} must be printable; it holds a line break or another character that nobody sees."
            )
    return values


def _unknown(key: str, known: Mapping[str, type]) -> str:
    if known is GATEWAY_KEYS and key in TOP_KEYS:
        return f"{key} is not of a gateway; move it above the first line [[gateways]]."
    if known is TOP_KEYS and key in GATEWAY_KEYS:
        return f"{key} is of a gateway; move it below a line [[gateways]]."
    return f"unknown key {key!r}; did you mean {nearest(key, known)!r}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like one that is not."""
    return difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]


def _wrong(key: str, value: Any, kind: type) -> str:
    if kind is list:
        return f"write [[{key}]] with two brackets, a table for each." if isinstance(value, dict) else (
            f"write {key} as tables, each below a line [[{key}]]."
        )  # fmt: skip
    shown = "" if isinstance(value, dict | list) else f", not {value!r}"
    quotes = "; leave out the quotes" if isinstance(value, str) else ""
    return f"{key} must be {WORDS[kind]}{shown}{quotes}."
