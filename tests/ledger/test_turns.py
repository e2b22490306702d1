"""A consumption CT that changes its kind: when it counted in which, and what is waited for."""

from math import inf

from logger.ledger.curve import Anchor, Curve, Readings, Step, Tie
from logger.ledger.limits import Limits, Stream, StreamKey
from logger.ledger.register import read_register
from logger.ledger.turns import Absence, Kinds, Turn, apart, changes_back, follow, kinds_of, net_counts_s

WEEK_S = 7 * 86_400
TOTAL, NET = Stream.CONSUMPTION_CT, Stream.IMPORT


def readings(*at_s: int, source: str = "ct") -> Readings:
    found = Readings()
    found.extend(source, at_s, [0.0] * len(at_s), [None] * len(at_s))
    return found


def registers(phase: str = "total", /, **times: tuple[int, ...]) -> dict[StreamKey, Readings]:
    return {(Stream[name], phase): readings(*at_s) for name, at_s in times.items()}


def anchor(at_s: int, source: str = "ct") -> Anchor:
    return Anchor(source, at_s, 0, None, 0, at_s, at_s, at_s, 0)


def kinds(anchors: dict[StreamKey, Anchor] | None = None, **times: tuple[int, ...]) -> Kinds:
    return kinds_of(registers(**times), anchors or {}, "total")


def test_a_ct_changes_its_kind_with_the_first_reading_of_the_other() -> None:
    found = kinds(CONSUMPTION_CT=(60, 120), IMPORT=(180, 240))
    assert found == Kinds([Turn(120, 180, is_net=True)], is_net=True, last_s=[None, None])
    assert found.absences(TOTAL, 5) == [Absence(120, 180, None)]
    assert found.absences(NET, 5) == found.absences(Stream.EXPORT, 5) == [Absence(5, 5, 180)]
    assert found.absences(Stream.PRODUCTION, 5) == []
    back = kinds(CONSUMPTION_CT=(60, 120, 300), IMPORT=(180, 240))
    assert back.turns == [Turn(120, 180, is_net=True), Turn(240, 300, is_net=False)]
    assert back.absences(TOTAL, 5) == [Absence(120, 180, 300)]
    assert back.absences(NET, 5) == [Absence(5, 5, 180), Absence(240, 300, None)]


def test_a_ct_of_one_kind_alone_was_never_another() -> None:
    assert kinds(CONSUMPTION_CT=(60, 120)) == Kinds([], is_net=False, last_s=[None, None])
    assert kinds(IMPORT=(60, 120)) == Kinds([], is_net=True, last_s=[None, None])
    assert kinds(IMPORT=(60, 120)).absences(TOTAL, 0) == []
    assert kinds() == Kinds([], is_net=None, last_s=[None, None])
    assert kinds_of({(TOTAL, "total"): readings(60, source="eim")}, {}, "total").is_net is None


def test_two_cts_that_are_read_by_one_poll_are_of_no_kind() -> None:
    found = kinds(CONSUMPTION_CT=(60, 120), IMPORT=(120, 180))
    assert (found.turns, found.is_net) == ([], None)
    assert found.absences(TOTAL, 0) == found.absences(NET, 0) == []
    anchors: dict[StreamKey, Anchor] = {(TOTAL, "total"): anchor(60), (NET, "total"): anchor(60)}
    assert kinds(anchors, IMPORT=(120, 180)) == Kinds([], is_net=None, last_s=[60, 60])


def test_what_a_ct_was_before_a_window_is_known_by_its_later_reading() -> None:
    anchors: dict[StreamKey, Anchor] = {(TOTAL, "total"): anchor(60), (NET, "total"): anchor(30)}
    assert kinds(anchors) == Kinds([], is_net=False, last_s=[60, 30])
    assert kinds(anchors).absences(NET, 45) == [Absence(30, 30, None)]
    found = kinds(anchors, IMPORT=(120, 180))
    assert found == Kinds([Turn(60, 120, is_net=True)], is_net=True, last_s=[60, 30])
    assert found.absences(NET, 45) == [Absence(30, 30, 120)]
    assert found.absences(TOTAL, 45) == [Absence(60, 120, None)]
    only: dict[StreamKey, Anchor] = {(NET, "total"): anchor(0)}
    assert kinds(only, CONSUMPTION_CT=(60,)).turns == []
    assert kinds({(NET, "total"): anchor(1)}, CONSUMPTION_CT=(60,)).turns == [Turn(1, 60, is_net=False)]
    assert kinds({(NET, "total"): anchor(1, "eim")}).last_s == [None, None]


def test_each_change_after_an_instant_is_reported() -> None:
    found = kinds(CONSUMPTION_CT=(60, 120, 300), IMPORT=(180, 240))
    assert [(event.at_s, event.kind, event.subject) for event in found.decisions(179)] == [
        (180, "source_change", "consumption CT total"),
        (300, "source_change", "consumption CT total"),
    ]
    (event,) = found.decisions(180)
    assert event.detail == ("it counts total-consumption from now on, net-consumption until 1970-01-01 00:04:00")
    assert found.decisions(300) == []


def test_power_is_unknown_a_second_after_a_net_ct_began_to_count() -> None:
    turns = [Turn(0, 60, is_net=True), Turn(60, 120, is_net=False)]
    assert apart([0, 60, 120], [1.0, 2.0, 3.0], turns) == ([0, 60, 61, 120], [1.0, 2.0, None, 3.0])
    assert apart([0, 60], [1.0, 2.0], []) == ([0, 60], [1.0, 2.0])


def with_steps(*steps: Step) -> Curve:
    curve = read_register(readings(0, 900), None, Limits(peak_w=5_000), since_s=0, until_s=900)
    curve.steps = list(steps)
    return curve


def test_a_total_is_away_when_its_own_register_is_and_not_bridged_meanwhile() -> None:
    left, away = Step(Tie.BROKEN, 50, 100), Step(Tie.AWAY, 100, 200)
    own = with_steps(Step(Tie.BROKEN, 10, 20), left, away)
    before, after = Step(Tie.BRIDGED, 90, 100), Step(Tie.BRIDGED, 200, 210)
    stuck, within = Step(Tie.STUCK, 120, 150), [Step(Tie.BRIDGED, 90, 101), Step(Tie.BRIDGED, 199, 300)]
    total = follow(with_steps(before, *within, stuck, after), own)
    assert total.steps == [before, stuck, after, left, away]
    assert not total.is_over
    own.is_over = True
    again = follow(total, own)
    assert again.steps == [before, stuck, after, left, away]
    assert again.is_over


def test_a_register_counts_again_when_its_ct_has_its_kind_back() -> None:
    anchors: dict[StreamKey, Anchor] = {(TOTAL, "total"): anchor(60), (NET, "total"): anchor(30)}
    found = registers(IMPORT=(120, 180))
    assert changes_back(found, anchors, (NET, "total"))
    assert not changes_back(registers(CONSUMPTION_CT=(120, 180)), anchors, (TOTAL, "total"))


def test_a_net_ct_counts_from_its_first_reading_and_is_waited_for_a_week() -> None:
    assert net_counts_s({}, {}) == []
    assert net_counts_s(registers(CONSUMPTION_CT=(60,)), {(TOTAL, "total"): anchor(10)}) == []
    found = registers(IMPORT=(60, 120), CONSUMPTION_CT=(10, 60, 500))
    assert net_counts_s(found, {}) == [(60, 120 + WEEK_S)]
    assert net_counts_s(found, {(NET, "total"): anchor(40)}) == [(-inf, 120 + WEEK_S)]
    assert net_counts_s({}, {(NET, "total"): anchor(40), (TOTAL, "total"): anchor(40)}) == [(-inf, 40 + WEEK_S)]
    phases = registers("L1", IMPORT=(30, 90)) | registers("L2", IMPORT=(60, 150))
    assert net_counts_s(phases, {}) == [(30, 150 + WEEK_S)]


def test_a_net_ct_counts_until_before_its_last_reading_and_again_a_second_after_its_first() -> None:
    """The steps to and from the other kind are known by power alone."""
    gone = registers(IMPORT=(60, 120), CONSUMPTION_CT=(180,))
    assert net_counts_s(gone, {}) == [(60, 119)]
    assert net_counts_s(gone | registers("L1", IMPORT=(60, 120)), {}) == [(60, 119)]
    back = registers(IMPORT=(60, 120, 300), CONSUMPTION_CT=(180,))
    assert net_counts_s(back, {}) == [(60, 119), (301, 300 + WEEK_S)]
    once = registers(IMPORT=(60,), CONSUMPTION_CT=(180,))
    assert net_counts_s(once, {}) == []
    assert net_counts_s(registers(IMPORT=(1, 60), CONSUMPTION_CT=(0,)), {(TOTAL, "total"): anchor(-5)})[-1][0] == 2
