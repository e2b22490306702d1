"""Short attacks of those that ``scripts/attack`` runs for long."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.arena import Arena
from tests.attack.attacks import ATTACKS, mutations


def mutated(arena: Arena) -> str:
    return mutations(arena, 30, share=0.05)


@pytest.mark.parametrize("attack", [mutated, ATTACKS["vanishing files"]])
def test_nothing_that_a_gateway_says_or_that_breaks_costs_a_poll_or_the_gateway_beside_it(
    tmp_path: Path, attack: Callable[[Arena], str]
) -> None:
    with Arena(tmp_path, dice=random.Random(3)) as arena:
        attack(arena)
