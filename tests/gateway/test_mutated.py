"""Whatever stands in a document, reading it is a poll or a sentence: never an unexpected error."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from logger.clock import to_epoch_s
from logger.errors import LoggerError
from logger.gateway.client import Gateway
from logger.gateway.kept import Answer
from logger.settings import GatewaySettings, Settings
from logger.simulator.access import Entrez
from logger.store.lines import decode, encode
from tests.attack.documents import RECORDINGS, Recorded

SERIAL = "122334455668"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Asked:
    """A gateway that is asked without a network; each poll comes five minutes after the one before."""

    def __init__(self, directory: Path, recorded: Recorded) -> None:
        self.recorded, self.now = recorded, NOON
        token = Entrez().token(SERIAL, NOON, days=400)
        roof = GatewaySettings(name="roof", host="https://127.0.0.1:1", token=token, time_zone="UTC", mdns=False)
        settings = Settings(database_url=f"sqlite:///{directory}/none.db", state_dir=directory, gateways=(roof,))
        self.gateway = Gateway(settings, roof, {}, clock=lambda: self.now)
        self.gateway.endpoints.http.get = self._get  # type: ignore[method-assign]

    def _get(self, path: str, *_: object, **__: object) -> Answer:
        return Answer(*self.recorded.answer(path, to_epoch_s(self.now)))

    def poll(self) -> None:
        """Poll it, and let the poll wait."""
        self.now += timedelta(minutes=5)
        try:
            poll = self.gateway.poll(at=self.now, inverters=True)
        except LoggerError:
            return
        assert decode(encode(poll)) == poll


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_mutated_document_is_a_poll_that_can_wait_or_a_sentence(tmp_path: Path, name: str) -> None:
    recorded = Recorded(name, SERIAL, random.Random(name), share=0.04)
    for _ in range(4):
        asked = Asked(tmp_path, recorded)
        for _ in range(6):
            asked.poll()


@pytest.mark.parametrize("other", [{}, ["x"]], ids=["an object", "a list"])
def test_anything_but_what_is_expected_in_one_place_is_a_poll_or_a_sentence(tmp_path: Path, other: Any) -> None:
    seen: set[tuple[str, ...]] = set()
    for name in RECORDINGS:
        recorded = Recorded(name, SERIAL, random.Random(name), share=0.0)
        for path, answer in list(recorded.answers.items()):
            if isinstance(whole := answer["body"], str):
                continue
            for keys, word in _places(whole):
                place = (path, *(key for key in keys if isinstance(key, str)), word or "")
                if place not in seen:
                    seen.add(place)
                    recorded.answers[path] = {**answer, "body": _replaced(whole, keys, other)}
                    Asked(tmp_path, recorded).poll()
            recorded.answers[path] = answer
    assert len(seen) > 400


def _places(value: Any) -> Iterator[tuple[tuple[Any, ...], str | None]]:
    """Yield the keys that lead to each part of a document, and the word that stands there."""
    yield (), value if isinstance(value, str) and value.isalpha() else None
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from (((key, *keys), word) for keys, word in _places(part))


def _replaced(value: Any, keys: tuple[Any, ...], other: Any) -> Any:
    """Return a document with something else in one place."""
    if not keys:
        return other
    copy = value.copy()
    copy[keys[0]] = _replaced(value[keys[0]], keys[1:], other)
    return copy
