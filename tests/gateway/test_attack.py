"""Documents with mutations of every kind cost what is in them, and nothing else."""

from pathlib import Path

import pytest

from logger.store.schema import upgrade
from tests.attack import BAD, GOOD, Attack
from tests.conftest import Opening


@pytest.mark.parametrize("seed", [1, 2])
def test_no_answer_costs_a_poll_or_the_gateway_beside_it(
    database_url: str, opening: Opening, tmp_path: Path, seed: int
) -> None:
    engine = opening(database_url)
    upgrade(engine)
    attack = Attack(engine, tmp_path, seed, share=0.02)
    attack.run(60)
    stored = attack.check()
    assert stored[GOOD] == 60
    assert stored.get(BAD, 0) > 30
