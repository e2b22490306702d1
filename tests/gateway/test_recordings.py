"""Recorded documents of every kind of gateway: what it is and what it reports, without a server."""

import json
from typing import Any

import pytest

from logger.errors import NotAskedError, NotReadyError
from logger.gateway import equipment
from logger.gateway import profile as profiles
from logger.gateway.poll import read
from logger.gateway.profile import ConsumptionFrom, ProductionFrom
from tests.gateway.recordings import DIRECTORY, documents_of, plain, poll_of, polled

NAMES = sorted(path.stem for path in DIRECTORY.glob("*.json"))
CT, EIM, NET = ProductionFrom.CT, ProductionFrom.EIM, ConsumptionFrom.NET_CT
V1, INVERTERS = ProductionFrom.V1, ProductionFrom.INVERTERS
BY_EIM = ConsumptionFrom.EIM

#: kind -> sources of production and consumption, phases of production, meters, inverters, failures
EXPECTED: dict[str, tuple[Any, ...]] = {
    "3.17-legacy": (V1, None, 0, "", 2, ""),
    "3.7-page-for-people": (ProductionFrom.HTML, None, 0, "", 2, ""),
    "4.10-metered-split": (CT, NET, 2, "production net-consumption", 2, ""),
    "4.2-unnamed-items": (EIM, BY_EIM, 0, "", 2, ""),
    "5.0-standard": (V1, None, 0, "", 2, ""),
    "5.0-only-plain-production": (ProductionFrom.EIM_PLAIN, None, 0, "", 2, ""),
    "7.3-production-ct-only": (CT, None, 2, "production", 2, ""),
    "7.6-standard": (V1, None, 0, "", 2, ""),
    "7.6-metered-single": (CT, NET, 0, "production net-consumption", 2, ""),
    "7.6-metered-three-phase": (CT, NET, 3, "production net-consumption", 2, ""),
    "7.6-no-ct-page": (EIM, BY_EIM, 2, "", 2, ""),
    "7.6-nothing-but-inverters": (ProductionFrom.SUM, None, 0, "", 2, ""),
    "8.2.4264-metered-no-ct": (INVERTERS, None, 0, "", 2, ""),
    "8.2-total-ct": (CT, ConsumptionFrom.TOTAL_CT, 2, "production total-consumption", 2, ""),
    "8.2-three-ct-split": (CT, NET, 2, "production net-consumption storage", 2, ""),
    "8.2-device-data": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.2-ac-batteries": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.2-iq-batteries": (CT, NET, 2, "production net-consumption", 2, ""),
    "8.2-iq-batteries-with-ct": (CT, NET, 2, "production net-consumption storage", 2, ""),
    "8.2-iq-beside-ac-batteries": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.2-on-a-generator": (CT, NET, 0, "production net-consumption", 2, ""),
    "7.3-collar": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.2-odd-batteries": (CT, NET, 0, "production net-consumption", 2, ""),
    "7.3-no-powers": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-removed-devices": (CT, None, 0, "production", 2, ""),
    "8.3-more-devices-than-listed": (CT, NET, 0, "production net-consumption", 4, ""),
    "8.3.5422-zero-v1": (INVERTERS, None, 0, "", 2, ""),
    "8.3.5433-total-copies-net": (EIM, BY_EIM, 2, "", 2, ""),
    "8.3.5528-inactive-meter": (CT, NET, 2, "net-consumption", 2, "production"),
    "8.3.6086-lost-storage-channel": (CT, NET, 2, "production net-consumption storage", 2, ""),
    "8.3-seven-slots": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-other-cts": (CT, NET, 0, "production net-consumption load evse pv3p backfeed", 2, ""),
    "8.3-counter-reset": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-duplicates": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-null-and-text": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-clock-skew": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-changed-serial": (CT, NET, 0, "production net-consumption", 2, ""),
    "8.3-503-on-inverters": (CT, NET, 0, "production net-consumption", 0, "inverters"),
    "8.3-cut-production": (CT, NET, 0, "production net-consumption", 2, "production"),
    "8.3-html-for-readings": (EIM, BY_EIM, 0, "", 2, "meters"),
    "8.3-forbidden-detail": (CT, NET, 0, "production net-consumption", 2, ""),
}


def recording(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def test_every_recording_is_expected_to_be_something() -> None:
    assert sorted(EXPECTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_gateway_is_what_it_is_known_for(name: str) -> None:
    recorded = recording(name)
    profile, _, parts = polled(recorded["answers"], recorded["at_s"])
    production, consumption, phases, meters, inverters, failures = EXPECTED[name]
    assert (profile.production, profile.consumption) == (production, consumption)
    assert len(parts.production) == 1 + phases
    assert {reading.measurement for reading in parts.meter_readings} == set(meters.split())
    assert len(parts.inverters) == inverters
    assert " ".join(failure.source for failure in parts.failures) == failures


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_gateway_gives_the_recorded_poll(name: str) -> None:
    recorded = recording(name)
    poll = plain(*polled(recorded["answers"], recorded["at_s"]))
    assert json.loads(json.dumps(poll)) == recorded["poll"]


@pytest.mark.parametrize("name", NAMES)
def test_an_endpoint_that_fails_costs_what_depends_on_it_and_invents_nothing(name: str) -> None:
    recorded = recording(name)
    profile, asked, whole = polled(recorded["answers"], recorded["at_s"])
    for path in asked:
        spoilt = documents_of(recorded["answers"]) | {path: NotReadyError("silent.")}
        _, parts = poll_of(profile, spoilt, recorded["at_s"])
        # Either list of inverters stands in for the other; slow pages of batteries come again.
        if path in equipment.EVERY_S or path == equipment.GENERATOR:
            assert len(parts.failures) == len(whole.failures), path
        elif path != profiles.DEVICE_DATA and not (path == profiles.V1_INVERTERS and parts.inverters):
            assert len(parts.failures) > len(whole.failures) or whole.failures, path
        if path != profiles.READINGS:
            assert len(parts.meter_readings) >= len(whole.meter_readings)
        if path not in {profiles.V1_INVERTERS, profiles.DEVICE_DATA}:
            assert parts.inverters == whole.inverters
        if "inactive" not in name:
            new = set(parts.production) - set(whole.production)
            assert all(sample.source == "derived" for sample in new), path


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_alone_for_a_while_is_no_failure_where_it_is_dispensable(name: str) -> None:
    recorded = recording(name)
    profile, _, whole = polled(recorded["answers"], recorded["at_s"])
    left_alone = {path: NotAskedError("missing lately.") for path in profile.dispensable}
    documents = documents_of(recorded["answers"]) | left_alone
    parts = read(profile, documents, recorded["at_s"], with_inverters=True)
    failed = {failure.source for failure in parts.failures}
    needs_inverters = profile.production is ProductionFrom.SUM
    assert failed <= {failure.source for failure in whole.failures} | ({"inverters"} if needs_inverters else set())
    assert parts.inverters == []


@pytest.mark.parametrize("name", NAMES)
def test_meters_are_asked_for_first_and_nothing_is_asked_for_twice(name: str) -> None:
    recorded = recording(name)
    profile, asked, _ = polled(recorded["answers"], recorded["at_s"])
    assert (profiles.READINGS in asked) == bool(profile.meters)
    assert not profile.meters or asked[0] == profiles.READINGS
    assert len(asked) == len(set(asked))
    without = profiles.next_endpoint(
        profile, dict.fromkeys(set(asked) - {profiles.DEVICE_DATA, profiles.V1_INVERTERS}),
        with_inverters=False,
    )  # fmt: skip
    assert without is None or profile.production is ProductionFrom.SUM
