"""Speed-up, where it ends, and what a step costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loads import result, run

from lib.engine.speculate import speedup
from lib.engine.speculate.speedup import BreakEven, Cost


def test_pairs_cancel_what_disturbs_both() -> None:
    plain = result(1, run(100), run(50), run(80))
    other = result(1, run(151), run(75), run(119))
    found = speedup.speedup(plain, other)
    assert found.ratio == pytest.approx(1.5, rel=0.01)
    assert 1.4 < found.low < 1.5 < found.high < 1.6


def test_runs_that_have_no_partner_are_an_error() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        speedup.speedup(result(1, run(), run()), result(1, run()))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 2.0), (4, 0.5)], BreakEven(2.0, "crossing")),
        ([(4, 0.5), (1, 2.0)], BreakEven(2.0, "crossing")),
        ([(1, 2.0), (4, 1.5)], BreakEven(4, "at least")),
        ([(1, 0.9), (4, 0.5)], BreakEven(1, "below")),
        ([(2, 1.0), (8, 0.5)], BreakEven(2, "crossing")),
        ([(8, 1.2)], BreakEven(8, "at least")),
    ],
)
def test_break_even(points: list[tuple[int, float]], expected: BreakEven) -> None:
    found = speedup.break_even(points)
    assert found.bound == expected.bound
    assert found.value == pytest.approx(expected.value)


@given(st.floats(1.001, 50), st.floats(0.02, 0.999))
def test_a_crossing_lies_between_the_two_points(high: float, low: float) -> None:
    found = speedup.break_even([(2, high), (16, low)])
    assert found.bound == "crossing"
    assert 2 <= found.value <= 16


def test_the_cost_of_a_step_follows_from_two_times() -> None:
    plain = result(1, run(tpot=10), run(tpot=10))
    # 124 decoded tokens, 62 of them accepted drafts: two tokens of a step, each step 16 ms.
    other = result(1, *[run(tpot=8, drafts=62, accepted=62, rates=(1.0,))] * 2)
    cost = speedup.cost([(plain, other)])
    assert cost == Cost(10, 16)
    assert cost.break_even == pytest.approx(1.6)
    assert cost.speedup(2) == pytest.approx(10 / 8), "at the measured tokens of a step it is the measured speed-up"
    assert cost.speedup(cost.break_even) == pytest.approx(1)


def test_without_a_draft_there_is_no_cost() -> None:
    assert speedup.cost([(result(1, run()), result(1, run()))]) is None
    assert speedup.cost([]) is None


@pytest.mark.parametrize(
    ("off_from", "expected"),
    [(9, [[1, 8, 4], [9, 32, 0]]), (32, [[1, 31, 4], [32, 32, 0]]), (40, [[1, 32, 4]])],
)
def test_the_schedule_covers_every_batch_size_once(off_from: int, expected: list[list[int]]) -> None:
    assert speedup.schedule(4, off_from, 32) == expected


def test_a_request_without_a_second_token_is_no_pair() -> None:
    short = run(100)
    short["output_lens"], short["itls"] = [1, 32, 32, 32], [[], *short["itls"][1:]]
    found = speedup.speedup(result(1, run(50)), result(1, short))
    assert (found.n, found.ratio) == (3, pytest.approx(2.0))


def test_runs_of_different_prompts_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="zip"):
        speedup.speedup(result(1, run()), result(1, run(texts=("alpha",))))
