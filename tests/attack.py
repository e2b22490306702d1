"""Attacks a collector with what no gateway should answer: documents with mutations of every kind.

``scripts/attack`` runs it for long. Bodies, statuses and the order of pages come from recorded gateways, and what is
between them and the database is the collector's own; only the connection is left out (tests/gateway/test_connections
and test_worst_answers attack that). Nothing may be raised, no poll may wait at the end, and a gateway that answers well
beside the one that is attacked is stored whole.
"""

import argparse
import json
import logging
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from logger.clock import to_epoch_s
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.gateway.client import Gateway
from logger.gateway.kept import Answer
from logger.rollups import rollup
from logger.settings import GatewaySettings, Settings
from logger.simulator.access import Entrez
from logger.store.database import opened
from logger.store.models import GATEWAYS, POLLS
from logger.store.schema import upgrade
from tests.gateway.recordings import DIRECTORY

GOOD, BAD = "good", "bad"
#: Of the serials of the recordings.
GOOD_RECORDING = "8.2-iq-batteries"
POLLS_A_RECORDING = 25

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
            items.append(
                (dice.choice(("", "type", "devices", "\ud800", "serialNumber", "x" * 999)), dice.choice(NASTY)(dice))
            )
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


class Pages:
    """Answers for a recorded gateway, as badly as it is asked to."""

    def __init__(self, name: str, dice: random.Random, share: float) -> None:
        recorded = json.loads((DIRECTORY / f"{name}.json").read_text())
        self.answers: dict[str, Any] = recorded["answers"]
        self.at_s: int = recorded["at_s"]
        self.dice, self.share = dice, share
        self.is_secure = True

    def get(self, path: str, at_s: int) -> Answer:
        """Return what a page answers at an instant."""
        if path.startswith("/auth/"):
            return Answer(200, b"Valid token.")
        answer = self.answers.get(path, {"status": 404, "body": ""})
        status, body, dice = answer["status"], answer["body"], self.dice
        if not isinstance(body, str):
            body = json.dumps(mutated(_moved(body, at_s - self.at_s), dice, self.share if dice.random() < 0.7 else 0.0))
        if self.share and dice.random() < 0.06:
            body = garbled(body, dice)
        if self.share and dice.random() < 0.04:
            status = dice.choice((200, 204, 301, 400, 401, 403, 404, 500, 503, 599))
        return Answer(status, body.encode("utf-8", "replace"))


def _moved(value: Any, by_s: int) -> Any:
    """Return a document whose times lie later; counters stand still."""
    if isinstance(value, dict):
        return {key: _moved(part, by_s) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, by_s) for part in value]
    return value + by_s if isinstance(value, int) and 1_700_000_000 < value < 1_900_000_000 else value


class Attack:
    """Two gateways, one that answers well and one that does not, and the collector between them and a database."""

    def __init__(self, engine: Engine, directory: Path, seed: int, share: float) -> None:
        self.dice, self.engine, self.share = random.Random(seed), engine, share
        self.now = datetime(2026, 6, 15, 12, tzinfo=UTC)
        self.names = sorted(path.stem for path in DIRECTORY.glob("*.json"))
        self.settings = Settings(database_url="", state_dir=directory)
        self.polls = 0
        self.good = self._poller(GOOD, GOOD_RECORDING, 0.0)

    def _poller(self, name: str, recording: str, share: float) -> Poller:
        pages = Pages(recording, self.dice, share)
        serial = "122334455667" if name == GOOD else "122334455668"
        token = Entrez().token(serial, self.now)
        settings = GatewaySettings(name=name, host="https://127.0.0.1:1", token=token, mdns=False, time_zone="UTC")
        gateway = Gateway(self.settings, settings, {}, clock=lambda: self.now)
        pages.answers["/info"]["body"] = pages.answers["/info"]["body"].replace("122334455667", serial)
        http: Any = gateway.endpoints.http
        http.get = lambda path, _deadline, _auth=None: pages.get(path, to_epoch_s(self.now))
        return Poller(gateway, Keeper(self.settings, settings, self.engine, clock=lambda: self.now))

    def run(self, polls: int) -> None:
        """Poll both, and store each quarter of an hour."""
        bad = self.good
        for number in range(polls):
            if number % POLLS_A_RECORDING == 0:
                bad = self._poller(BAD, self.dice.choice(self.names), self.share * self.dice.choice((0.3, 1.0, 4.0)))
            for poller in (self.good, bad):
                poller.poll(self.now, inverters=number % 5 == 0)
            if number % 15 == 14 or number % POLLS_A_RECORDING == POLLS_A_RECORDING - 1:
                for poller in (self.good, bad):
                    assert poller.keeper.store(), poller.keeper.error
            self.now += timedelta(minutes=1)
        self.polls += polls
        for poller in (self.good, bad):
            assert poller.keeper.store_all(), poller.keeper.error
            assert poller.keeper.queue.oldest() is None

    def check(self) -> dict[str, int]:
        """Return how many polls of each gateway are stored; they can be rolled up again, and gateways read."""
        with self.engine.begin() as connection:
            ids = {row.name: row.gateway_id for row in connection.execute(select(GATEWAYS))}
            for gateway_id in ids.values():
                rollup.rebuild(connection, gateway_id, now=self.now, gap_s=900, since=None)
            counts = select(POLLS.c.gateway_id, func.count()).group_by(POLLS.c.gateway_id)
            stored = {row[0]: row[1] for row in connection.execute(counts)}
            outcomes = select(POLLS.c.outcome).where(POLLS.c.gateway_id == ids[GOOD]).distinct()
            assert connection.execute(outcomes).scalars().all() == ["complete"]
        return {name: stored.get(gateway_id, 0) for name, gateway_id in ids.items()}


def main() -> None:
    """Attack for long, and say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.02, help="of the parts of a document")
    parser.add_argument("--long", action="store_true", help="go on for an hour, with another seed each time")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    until = time.monotonic() + 3_600
    seed = chosen.seed
    while True:
        with tempfile.TemporaryDirectory() as directory, opened(f"sqlite:///{directory}/x.db") as engine:
            upgrade(engine)
            attack = Attack(engine, Path(directory), seed, chosen.share)
            attack.run(chosen.polls)
            print(f"seed {seed}: {attack.polls} polls attacked, stored {attack.check()}, nothing waits", flush=True)  # noqa: T201 - a script
        seed += 1
        if not chosen.long or time.monotonic() > until:
            return


if __name__ == "__main__":
    main()
