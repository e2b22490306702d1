"""Documents that no gateway should answer: of recorded ones, with mutations of every kind."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.gateway.recordings import DIRECTORY

RECORDINGS = sorted(path.stem for path in DIRECTORY.glob("*.json"))
#: What may stand where a value was; each is made anew, so that nothing is shared.
NASTY: tuple[Callable[[random.Random], Any], ...] = (
    lambda _: None,
    lambda _: True,
    lambda _: [],
    lambda _: {},
    lambda _: "",
    lambda _: "NaN",
    lambda _: float("nan"),
    lambda _: float("inf"),
    lambda _: -0.0,
    lambda _: 1e308,
    lambda _: -1,
    lambda _: 2**31,
    lambda _: 2**63,
    lambda _: 10**30,
    lambda _: 4_294_967_292,
    lambda _: "9" * 5_000,
    lambda _: "\ud800\udfff\ud800",
    lambda _: "\x00\x1b[2J\u202e",
    lambda _: "=cmd|' /C calc'!A0",
    lambda _: "'; DROP TABLE gateways; --",
    lambda _: "../../../../tmp/x",
    lambda _: "x" * 20_000,
    lambda _: "²٣",
    lambda _: [None] * 3_000,
    lambda _: [{"a": [{"b": [[]]}]}] * 50,
    lambda dice: dice.uniform(-1e7, 1e7),
    lambda dice: int(1_781_524_800_000 + dice.randrange(10**6)),
    lambda dice: str(dice.randrange(-5, 10**12)),
    lambda dice: {str(n): n for n in range(dice.randrange(500))},
)
KEYS = ("", "type", "devices", "\ud800", "serialNumber", "x" * 999)


def mutated(value: Any, dice: random.Random, share: float) -> Any:
    """Return a document of which a share of the parts is something else, is gone, or comes twice."""
    if dice.random() < share:
        return dice.choice(NASTY)(dice)
    if isinstance(value, dict):
        items = [(key, mutated(part, dice, share)) for key, part in value.items() if dice.random() >= share]
        if dice.random() < share:
            items.append((dice.choice(KEYS), dice.choice(NASTY)(dice)))
        return dict(items)
    if isinstance(value, list):
        parts = [mutated(part, dice, share) for part in value]
        if parts and dice.random() < share:
            parts += [dice.choice(parts)] * dice.randrange(1, 40)
        return parts
    return value


def garbled(text: str, dice: random.Random) -> str:
    """Return a body that is cut, repeated, replaced or nested beyond sense."""
    place = dice.randrange(len(text) + 1)
    bodies = ["", text[:place], text[place:], text + text, "<html>" + text, "\ufeff" + text]
    bodies += ["[" * 50_000, '{"a":' * 50_000, "null", "true", "0", '""', "<?xml?>", "\x00" * 99, '{"error": 1}']
    bodies += [f"[{'9' * 200_000}]", f'"{"9" * 200_000}"', "[1e999999999]"]
    bodies.append(text[:place] + chr(dice.randrange(0x110000)) + text[place:])
    return dice.choice(bodies)


class Recorded:
    """Answers for a recorded gateway, as badly as it is asked to: a share of their parts is mutated."""

    def __init__(self, name: str, serial: str, dice: random.Random, share: float) -> None:
        text = (DIRECTORY / f"{name}.json").read_text().replace("122334455667", serial)
        recorded = json.loads(text)
        self.answers: dict[str, Any] = recorded["answers"]
        self.at_s: int = recorded["at_s"]
        self.dice, self.share = dice, share

    def answer(self, path: str, at_s: int) -> tuple[int, bytes]:
        """Return what a page answers at an instant."""
        if path.startswith("/auth/"):
            return 200, b"Valid token."
        answer = self.answers.get(path, {"status": 404, "body": ""})
        status, body, dice = answer["status"], answer["body"], self.dice
        if not isinstance(body, str):
            body = json.dumps(mutated(_moved(body, at_s - self.at_s), dice, self.share if dice.random() < 0.7 else 0.0))
        if self.share and dice.random() < 0.06:
            body = garbled(body, dice)
        if self.share and dice.random() < 0.04:
            status = dice.choice((200, 204, 301, 400, 401, 403, 404, 500, 503, 599))
        return status, body.encode("utf-8", "replace")


def _moved(value: Any, by_s: int) -> Any:
    """Return a document whose times lie later; counters stand still."""
    if isinstance(value, dict):
        return {key: _moved(part, by_s) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, by_s) for part in value]
    return value + by_s if isinstance(value, int) and 1_700_000_000 < value < 1_900_000_000 else value
