"""Spoilt registers, and sites of them, are counted as the oracle counts them, in windows too."""

import pytest

from tests.ledger.agreement import inverter_differences, register_differences, site_differences


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_a_spoilt_register_counts_what_the_oracle_counts(first: int) -> None:
    differing = {seed: register_differences(seed) for seed in range(first, first + 50)}
    assert {seed: names for seed, names in differing.items() if names} == {}


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_a_site_of_spoilt_registers_is_settled_as_the_oracle_settles_it(first: int) -> None:
    differing = {seed: site_differences(seed) for seed in range(first, first + 40)}
    assert {seed: names for seed, names in differing.items() if names} == {}


def test_the_days_of_an_inverter_are_those_of_the_oracle() -> None:
    differing = {seed: inverter_differences(seed) for seed in range(100)}
    assert {seed: names for seed, names in differing.items() if names} == {}
