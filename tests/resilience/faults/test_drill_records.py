"""What a drill leaves in the evidence, and when it counts as green."""

import time

import pytest

from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement
from lib.resilience.faults import drill as drills
from lib.resilience.faults import registry
from lib.resilience.faults.drill import Drill, Outcome, Played
from lib.resilience.faults.witness import SETTLE_S, Try, Witness

DRILL = Drill("a_fault", "A fault", "a defence", 5, lambda ground, defended: Outcome(0))


@pytest.mark.parametrize(
    ("outcome", "green"),
    [
        (Outcome(4.0), True),
        (Outcome(0.0), True),
        (Outcome(6.0), False),
        (Outcome(None), False),
        (Outcome(1.0, lost=1), False),
        (Outcome(1.0, wrong=["x"]), False),
        (None, False),
    ],
)
def test_green_is_in_time_with_nothing_lost_and_nothing_wrong(outcome: Outcome | None, green: bool) -> None:
    assert Played(DRILL, outcome).green is green


def test_evidence_has_the_names_that_were_agreed() -> None:
    found = list(drills.records(Played(DRILL, Outcome(4.0, lost=2, margin_s=200.0))))
    assert [record.name for record in found] == [
        *("drill.a_fault", "drill.recovery_seconds", "drill.lost", "power.shutdown_margin_seconds")
    ]
    assert all(isinstance(one, Check | Measurement) and one.conditions == {"drill": "a_fault"} for one in found)
    verdict = found[0]
    assert isinstance(verdict, Check)
    assert verdict.status == "fail"
    assert "2 acknowledged things lost" in verdict.observed


def test_what_cannot_be_played_is_a_skip_with_the_way_out() -> None:
    [only] = drills.records(Played(DRILL, None, "apt-get install x"))
    assert isinstance(only, Check)
    assert (only.status, only.fix) == ("skip", "apt-get install x")


def test_there_are_enough_drills_and_each_has_its_name_once() -> None:
    names = [one.name for one in registry.DRILLS]
    assert len(names) == len(set(names)) >= 25
    assert all(one.defence and one.title and one.limit_s > 0 for one in registry.DRILLS)


def test_an_unknown_drill_names_the_nearest() -> None:
    with pytest.raises(RunbookError, match="did you mean: engine_hung"):
        registry.chosen(["engine_hang"])
    assert [one.name for one in registry.chosen(["engine_hung"])] == ["engine_hung"]
    assert len(registry.chosen([])) == len(registry.DRILLS)


def tries(*told: tuple[float, float, str]) -> list[Try]:
    return [Try(*one) for one in told]


def recovered(since: float, *told: tuple[float, float, str]) -> float | None:
    witness = Witness(lambda: "")
    witness.tries = tries(*told)
    now = time.monotonic()
    witness.tries = [Try(now + one.begun, now + one.ended, one.error) for one in witness.tries]
    return witness.served_again(now + since, 0.1)


def test_recovery_is_the_first_of_two_good_answers_after_the_last_bad_one() -> None:
    found = recovered(
        0.0, (-1, -0.9, ""), (0.1, 0.2, "503"), (0.3, 0.4, ""), (0.5, 0.6, "503"), (0.7, 0.8, ""), (0.9, 1, "")
    )
    assert found == pytest.approx(0.8)


def test_one_good_answer_is_no_recovery() -> None:
    assert recovered(0.0, (0.1, 0.2, "503"), (0.3, 0.4, "")) is None


def test_a_slow_answer_is_a_bad_one() -> None:
    assert recovered(0.0, (0.1, 1.3, ""), (1.4, 1.5, ""), (1.6, 1.7, "")) == pytest.approx(1.5)


def test_nothing_noticed_is_zero_only_after_a_while() -> None:
    good = [(0.1, 0.2, ""), (0.3, 0.4, ""), (0.5, 0.6, "")]
    assert recovered(0.0, *good) is None
    assert recovered(0.0, *good, (SETTLE_S, SETTLE_S + 0.1, "")) == 0.0
