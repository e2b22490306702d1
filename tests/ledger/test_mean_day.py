"""What was bridged lies where the sun was on a mean day, and evenly where no day knows."""

from zoneinfo import ZoneInfo

import pytest

from logger.clock import QUARTER_S
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Readings
from logger.ledger.limits import Limits, Stream
from logger.ledger.mean_day import QUARTERS, History, MeanDay, Measured, fortnight_s, lay, mean_day, shares
from logger.ledger.register import read_register

UTC = ZoneInfo("UTC")
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
DAY_S = 86_400
START_S = 1_772_323_200  # midnight of 2026-03-01, UTC
NOON_S = START_S + DAY_S // 2
#: A gap of an hour at noon, and what its quarter hours hold of 4 Wh: evenly, and by the mean days below.
GAP_S = (NOON_S, NOON_S + 3_600)
EVEN = [1_000] * 4
BY_THE_SUN = [0, 500, 1_500, 2_000]


def mean(**weights: int | None) -> MeanDay:
    """A mean day of nothing but some quarter hours, q0 being the first."""
    found: MeanDay = [0] * QUARTERS
    for name, weight in weights.items():
        found[int(name[1:])] = weight
    return found


@pytest.mark.parametrize(
    ("total_mwh", "stretch_s", "day", "expected"),
    [
        (100, (0, 1_800), mean(q0=1, q1=3), [25, 75]),
        (70, (450, 1_800), mean(q0=1, q1=3), [10, 60]),  # half of the first
        (50, (0, 1_350), mean(q0=1, q1=3), [20, 30]),  # half of the second
        (90, (300, 600), mean(q0=1), [90]),
        (10, (0, 2_700), mean(q0=1, q1=1, q2=1), [3, 3, 4]),  # to the last mWh
        (27_000, (0, 2_700), mean(q0=1, q1=1, q2=1), [9_000] * 3),
        (10, (900, 2_700), mean(q0=5, q2=1), [0, 10]),
        (10, (900, 1_800), mean(q0=None, q1=1, q2=None), [10]),  # only what it touches has to be known
        (10, (899, 1_800), mean(q0=None, q1=1), None),
        (10, (900, 1_801), mean(q1=1, q2=None), None),
        (10, (900, 2_700), mean(q0=1, q3=1), None),  # nothing to go by
        (8, (DAY_S - 900, DAY_S + 900), mean(q95=1, q0=3), [2, 6]),  # over midnight
    ],
)
def test_an_energy_is_shared_by_the_mean_day_and_the_time_within_each_quarter_hour(
    total_mwh: int, stretch_s: tuple[int, int], day: MeanDay, expected: list[int] | None
) -> None:
    shifted_s = START_S + stretch_s[0], START_S + stretch_s[1]
    assert shares(total_mwh, shifted_s, day, UTC) == expected


def test_a_mean_day_is_the_mean_of_the_days_that_know_by_local_time() -> None:
    values = [(START_S, 3), (START_S + DAY_S, None), (START_S + 2 * DAY_S, 4), (START_S + QUARTER_S, None)]
    assert mean_day(values, UTC) == [3_500, *[None] * 95]
    assert mean_day(values, AMSTERDAM) == [*[None] * 4, 3_500, *[None] * 91]
    assert mean_day(values, KATHMANDU).index(3_500) == 4 * 5 + 3
    assert mean_day([(START_S, 1), (START_S + DAY_S, 1), (START_S + 2 * DAY_S, 0)], UTC)[0] == 666


def test_a_fortnight_is_the_14_local_days_before_that_of_an_instant() -> None:
    fortnight = START_S - 14 * DAY_S, START_S
    assert fortnight_s(START_S, UTC) == fortnight_s(START_S + DAY_S - 1, UTC) == fortnight
    assert fortnight_s(START_S - 1, UTC) == (fortnight[0] - DAY_S, START_S - DAY_S)
    assert fortnight_s(START_S, AMSTERDAM) == (fortnight[0] - 3_600, START_S - 3_600)


def counting(missing: dict[tuple[int, int], int], days: int = 1, each_wh: float = 1.0) -> Curve:
    """A register of 1 Wh in each quarter hour of some days; gaps hold what is said (Wh) instead."""
    readings, value_wh = Readings(), 40_000.0
    for at_s in range(START_S, START_S + days * DAY_S + 1, QUARTER_S):
        if any(start_s < at_s < end_s for start_s, end_s in missing):
            continue
        value_wh += {end_s: wh for (_, end_s), wh in missing.items()}.get(at_s, each_wh)
        readings.extend("ct", [at_s], [value_wh], [0.0])
    return read_register(readings, None, Limits(), since_s=START_S, until_s=START_S + 99 * DAY_S, gap_s=900)


class Past:
    """A history that holds one mean day of noon, and writes down what it was asked."""

    def __init__(
        self, production: list[int | None] | None = None, export: list[int | None] | None = None, since_s: int = 0
    ) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.rows = [
            Measured(NOON_S - DAY_S + QUARTER_S * n, *both)
            for n, both in enumerate(zip(production or [None] * 4, export or [None] * 4, strict=True))
        ]
        self.history = History(UTC, self.measured, lambda: since_s)

    def measured(self, phase: str, since_s: int, until_s: int) -> list[Measured]:
        self.asked.append((phase, since_s, until_s))
        return self.rows


SUNNY: list[int | None] = [0, 100, 300, 400]


def laid(
    curves: dict[Stream, Curve], past: Past | None, days: int = 1, since_s: int = START_S
) -> tuple[dict[Stream, Energy], list[int]]:
    edges_s = range(since_s, START_S + days * DAY_S + 1, QUARTER_S)
    energy = {stream: curve.energy(edges_s) for stream, curve in curves.items()}
    found, bridged = lay(energy, curves, edges_s, "L1", past.history if past else None)
    return found, list(bridged)


def at_noon(values: Energy, day: int = 0) -> Energy:
    return values[48 + 96 * day : 52 + 96 * day]


def test_production_over_a_gap_lies_where_the_sun_was() -> None:
    past = Past(SUNNY)
    energy, bridged = laid({Stream.PRODUCTION: counting({GAP_S: 4})}, past)
    assert energy[Stream.PRODUCTION] == [1_000] * 48 + BY_THE_SUN + [1_000] * 44
    assert bridged == [0] * 48 + BY_THE_SUN + [0] * 44
    assert past.asked == [("L1", START_S - 14 * DAY_S, START_S)]


def test_without_history_or_before_it_holds_a_gap_stays_even() -> None:
    curves = {Stream.PRODUCTION: counting({GAP_S: 4})}
    for past, expected in (
        (None, EVEN),
        (Past(), EVEN),
        (Past([0, 0, 0, 0]), EVEN),
        (Past(SUNNY, since_s=NOON_S), BY_THE_SUN),
        (Past(SUNNY, since_s=NOON_S + 1), EVEN),
    ):
        energy, bridged = laid(curves, past)
        assert at_noon(energy[Stream.PRODUCTION]) == bridged[48:52] == expected


def test_a_gap_that_began_before_the_window_stays_even() -> None:
    curves = {Stream.PRODUCTION: counting({GAP_S: 4})}
    assert laid(curves, Past(SUNNY), since_s=NOON_S)[0][Stream.PRODUCTION][:4] == BY_THE_SUN
    assert laid(curves, Past(SUNNY), since_s=NOON_S + QUARTER_S)[0][Stream.PRODUCTION][:3] == EVEN[:3]


def test_a_day_without_gaps_asks_no_history() -> None:
    past = Past(SUNNY)
    assert laid({Stream.PRODUCTION: counting({})}, past) == ({Stream.PRODUCTION: [1_000] * 96}, [0] * 96)
    assert past.asked == []


def test_export_lies_by_its_own_mean_day_or_by_that_of_production() -> None:
    curves = {Stream.EXPORT: counting({GAP_S: 4})}
    for past, expected in (
        (Past(SUNNY), BY_THE_SUN),
        (Past(SUNNY, [100, 100, 200, 0]), [1_000, 1_000, 2_000, 0]),
        (Past(SUNNY, [100, None, 200, 0]), BY_THE_SUN),
        (Past(None, SUNNY), BY_THE_SUN),
    ):
        energy, bridged = laid(curves, past)
        assert at_noon(energy[Stream.EXPORT]) == expected
        assert bridged == [0] * 96
    production = {Stream.PRODUCTION: counting({GAP_S: 4})}
    assert at_noon(laid(production, Past(None, SUNNY))[0][Stream.PRODUCTION]) == EVEN


def test_import_is_never_laid_by_the_sun() -> None:
    curves = {Stream.IMPORT: counting({GAP_S: 4}), Stream.PRODUCTION: counting({})}
    assert at_noon(laid(curves, Past(SUNNY, SUNNY))[0][Stream.IMPORT]) == EVEN


def test_a_gap_within_quarter_hours_moves_only_its_own_energy() -> None:
    readings = Readings()
    # 1 Wh each five minutes; silent from 12:10 to 12:50.
    times = [at_s for at_s in range(START_S, START_S + DAY_S + 1, 300) if not NOON_S + 600 < at_s < NOON_S + 3_000]
    readings.extend("ct", times, [40_000 + (at_s - START_S) / 300 for at_s in times], [0.0] * len(times))
    curve = read_register(readings, None, Limits(), since_s=START_S, until_s=START_S + 9 * DAY_S, gap_s=900)
    energy, bridged = laid({Stream.PRODUCTION: curve}, Past([300, 0, 100, 0]))
    # 8 Wh, by a third of 300 and the whole of 100
    assert bridged[48:52] == [4_000, 0, 4_000, 0]
    assert at_noon(energy[Stream.PRODUCTION]) == [6_000, 0, 4_000, 2_000]


def test_the_days_of_the_window_itself_belong_to_the_fortnight_but_not_what_was_bridged() -> None:
    tomorrow_s = GAP_S[0] + DAY_S, GAP_S[1] + DAY_S
    energy, bridged = laid({Stream.PRODUCTION: counting({tomorrow_s: 4}, 2)}, Past(SUNNY), 2)
    # By the mean of 0 and 1000, of 100 and 1000, and so on
    assert at_noon(energy[Stream.PRODUCTION], 1) == bridged[144:148] == [833, 917, 1_083, 1_167]
    # Half of noon was bridged today, evenly, as no day knows what lies before noon.
    half_s = NOON_S - 1_800, NOON_S + 1_800
    both, _ = laid({Stream.PRODUCTION: counting({half_s: 4, tomorrow_s: 4}, 2)}, Past(SUNNY), 2)
    assert at_noon(both[Stream.PRODUCTION]) == EVEN
    assert at_noon(both[Stream.PRODUCTION], 1) == [0, 275, 1_793, 1_932]


def test_what_is_unknown_stays_unknown_beside_what_is_laid() -> None:
    whole = counting({GAP_S: 4}).read
    late = Readings(whole.at_s[8:], whole.value_mwh[8:], whole.power_w[8:], whole.source[8:])
    curve = read_register(late, None, Limits(), since_s=START_S, until_s=START_S + 9 * DAY_S, gap_s=900)
    energy, _ = laid({Stream.PRODUCTION: curve}, Past(SUNNY))
    assert energy[Stream.PRODUCTION] == [None] * 8 + [1_000] * 40 + BY_THE_SUN + [1_000] * 44


def test_what_was_laid_on_a_day_is_what_it_held_for_the_next() -> None:
    tomorrow_s = GAP_S[0] + DAY_S, GAP_S[1] + DAY_S
    curves = {Stream.PRODUCTION: counting({}, 2), Stream.EXPORT: counting({GAP_S: 4, tomorrow_s: 8}, 2)}
    energy, _ = laid(curves, Past(None, SUNNY), 2)
    assert at_noon(energy[Stream.EXPORT]) == BY_THE_SUN
    # By the mean of 0 and 0, of 100 and 500, and so on
    assert at_noon(energy[Stream.EXPORT], 1) == [0, 1_000, 3_000, 4_000]


def test_the_fortnight_before_a_gap_over_midnight_is_that_of_its_first_day() -> None:
    past, midnight_s = Past(SUNNY), START_S + DAY_S
    laid({Stream.PRODUCTION: counting({(midnight_s - 1_800, midnight_s + 1_800): 4}, 2)}, past, 2)
    assert past.asked == [("L1", START_S - 14 * DAY_S, START_S)]
