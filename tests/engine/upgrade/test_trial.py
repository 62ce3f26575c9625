"""The upgrade gate's verdict: known differences, none, wrong answers, failed starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.upgrade import trial
from lib.engine.upgrade.trial import SIDES, Environment, Turn

POINTS = [Point(1, 64, 32), Point(16, 64, 32)]
DRIFT = (100.0, 140.0, 90.0, 120.0)


def turns(factor: float, noise: Sequence[float] = (1, 1.002, 0.998, 1.001)) -> list[Turn]:
    """Four pairs on a machine that drifts; the new one is `factor` times as fast."""
    found = []
    for drift, error in zip(DRIFT, noise, strict=True):
        for side, speed in zip(SIDES, (drift, drift * factor * error), strict=True):
            runs = [{"output_throughput": speed, "median_ttft_ms": 1e4 / speed, "median_tpot_ms": 1e3 / speed}] * 2
            found.append(Turn(side, [Result(point, runs, [Path(f"{side}.json")], "") for point in POINTS]))
    return found


def answers(wrong: int, of: int = 20) -> list[dict[str, Any]]:
    return [{"id": f"q{n}", "answer": f"a{n}", "wrong": "wrong answer" if n < wrong else ""} for n in range(of)]


def pair(lost: int = 0, passed: bool = True) -> tuple[Environment, Environment]:
    return Environment("old", "0.31.0", True, answers(0)), Environment("new", "0.32.0", passed, answers(lost))


def verdict(factor: float, lost: int = 0) -> tuple[str, str]:
    found = trial.ratios(turns(factor), 0.03)
    check = trial.check(found, *pair(lost), 0.03)
    return check.status, trial.decision(found, check, same=False).choice


@pytest.mark.parametrize(
    ("factor", "lost", "status", "choice"),
    [
        (1.2, 0, "pass", "Upgrade"),
        (1.0, 0, "pass", "No reason to upgrade for its speed"),
        (0.985, 0, "pass", "No reason to upgrade for its speed"),
        (0.8, 0, "warn", "Stay with the engine in use"),
        (1.2, 4, "pass", "Upgrade"),
        (1.2, 6, "fail", "Stay with the engine in use"),
    ],
)
def test_verdicts(factor: float, lost: int, status: str, choice: str) -> None:
    assert verdict(factor, lost) == (status, choice)


def test_ratios_cancel_the_drift_and_times_are_the_other_way_round() -> None:
    found = {(r.name, r.point.concurrency): r.found for r in trial.ratios(turns(1.1), 0.03)}
    assert len(found) == 6
    assert found["upgrade.speed_ratio", 16].ratio == pytest.approx(1.1, rel=2e-3)
    assert found["upgrade.tpot_ratio", 1].ratio == pytest.approx(1 / 1.1, rel=2e-3)
    assert {one.verdict for one in found.values()} == {"better"}


def test_one_pair_and_a_half_is_too_few() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        trial.ratios(turns(1.1)[:3], 0.03)
    with pytest.raises(ValueError, match="two pairs"):
        trial.ratios([], 0.03)


def test_a_turn_without_partner_is_left_out() -> None:
    assert trial.ratios(turns(1.1)[:5], 0.03)[0].found.n == 2


def test_an_environment_that_fails_the_gate_closes_it() -> None:
    check = trial.check([], *pair(passed=False), 0.03)
    assert check.status == "fail"
    assert "the new environment did not pass the gate" in check.observed
    decision = trial.decision([], check, same=False)
    assert decision.choice == "Stay with the engine in use"
    assert decision.evidence == ["upgrade.verdict"]


def test_a_load_that_fails_closes_it_as_well() -> None:
    assert "did not run to its end" in trial.check([], *pair(), 0.03).observed


def test_the_same_engine_twice_is_no_reason_and_says_so() -> None:
    found = trial.ratios(turns(1.0), 0.03)
    check = trial.check(found, *pair(), 0.03)
    assert "no difference" in check.observed
    decision = trial.decision(found, check, same=True)
    assert decision.choice.startswith("No reason to change: both environments are the same")
    assert "cannot be ruled out" in decision.reason


def test_measurements_carry_point_versions_and_interval() -> None:
    found = trial.measurements(trial.ratios(turns(1.1), 0.03), pair(2))
    speed = next(m for m in found if m.name == "upgrade.speed_ratio" and m.conditions["concurrency"] == 16)
    assert (speed.conditions["old"], speed.conditions["new"]) == ("0.31.0", "0.32.0")
    assert speed.interval is not None
    assert speed.interval[0] < speed.value < speed.interval[1]
    assert "A B A B" in speed.method
    old, new = (m for m in found if m.name == "upgrade.accuracy")
    assert (old.value, old.interval) == (1.0, (0.8389, 1.0))  # Wilson, 20 of 20
    assert (new.value, new.n, new.conditions["environment"]) == (0.9, 20, "new")


def test_random_weights_have_no_accuracy() -> None:
    bare = (Environment("old", "1", True), Environment("new", "2", True))
    assert trial.measurements([], bare) == []
    assert trial.same_answers(*bare) is None
    assert not trial.accuracy_lost(*bare)


def test_the_share_of_same_answers() -> None:
    old, new = pair()
    changed = [{**row, "answer": "else"} if n < 5 else row for n, row in enumerate(new.answers)]
    agreed = trial.same_answers(old, new._replace(answers=changed))
    assert agreed is not None
    assert agreed.value == 0.75


@pytest.mark.parametrize(("lost", "gained", "counts"), [(4, 0, False), (5, 0, True), (6, 1, False), (8, 1, True)])
def test_what_chance_explains_is_not_held_against_it(lost: int, gained: int, counts: bool) -> None:
    old, new = answers(gained), answers(0)
    for row in new[gained : gained + lost]:
        row["wrong"] = "wrong answer"
    assert trial.accuracy_lost(Environment("old", "", True, old), Environment("new", "", True, new)) is counts
