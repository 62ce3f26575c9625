"""A B A B: known ratios are found, chance is not, and what cannot be compared is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.bench.compare import compare

SPEEDS = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.2, "better"), (0.8, "worse"), (0.98, "within tolerance"), (1.01, "better")]
)
def test_a_known_ratio_is_found_under_common_drift(factor: float, verdict: str) -> None:
    drift = np.array([100, 150, 80, 120])  # the machine changes from pair to pair, for both alike
    noise = np.array([1.001, 0.999, 1.001, 0.999])
    found = compare(drift.tolist(), (drift * factor * noise).tolist(), tolerance=0.03)
    assert found.ratio == pytest.approx(factor, rel=1e-3)
    assert found.low < factor < found.high
    assert found.verdict == verdict
    assert found.n == 4
    assert "4 interleaved pairs" in found.method


def test_identical_data_is_no_difference() -> None:
    found = compare([3.0, 5.0, 4.0], [3.0, 5.0, 4.0])
    assert (found.ratio, found.low, found.high) == (1, 1, 1)
    assert found.verdict == "no difference"


def test_noise_alone_is_no_difference() -> None:
    assert compare([100, 104, 97], [101, 99, 102]).verdict == "no difference"


def test_two_pairs_must_differ_by_much() -> None:
    assert compare([100, 100], [110, 115]).verdict == "no difference"
    assert compare([100, 100], [200, 201]).verdict == "better"


def test_a_loss_that_may_exceed_the_tolerance_is_worse() -> None:
    a, b = [100.0, 100, 100], [96.6, 97.0, 97.4]
    assert compare(a, b, tolerance=0.03).verdict == "worse"
    assert compare(a, b, tolerance=0.1).verdict == "within tolerance"


def test_of_times_the_lower_is_better() -> None:
    slow, fast = [2.0, 2.02, 1.99], [1.0, 1.01, 1.0]
    assert compare(slow, fast, lower_is_better=True).verdict == "better"
    assert compare(fast, slow, lower_is_better=True).verdict == "worse"
    assert compare(slow, fast).verdict == "worse"


def test_the_known_interval_of_three_pairs() -> None:
    found = compare([1, 1, 1], [math.exp(0.1), math.exp(0.2), math.exp(0.3)])
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # Student t with three pairs is the wider one
    assert found.ratio == pytest.approx(math.exp(0.2))
    assert [found.low, found.high] == pytest.approx([math.exp(0.2 - half), math.exp(0.2 + half)])


def test_with_one_far_pair_among_many_the_ends_are_those_of_the_wider_method() -> None:
    ratios = [1.01] * 19 + [2.0]
    found = compare([1.0] * 20, ratios)
    assert found.low <= 1.01
    assert found.high > 1.1
    assert compare([1.0] * 20, ratios, seed=1).ratio == found.ratio


def test_the_same_data_give_the_same_interval() -> None:
    a, b = np.random.default_rng(1).lognormal(size=(2, 9)).tolist()
    assert compare(a, b) == compare(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([1.0], [1.0]),
        ([1.0, 2.0], [1.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0]),
        ([1.0, 0.0], [1.0, 1.0]),
        ([1.0, 1.0], [1.0, -1.0]),
        ([1.0, math.nan], [1.0, 1.0]),
        ([1.0, 1.0], [math.inf, 1.0]),
    ],
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="comparison needs"):
        compare(a, b)


@given(SPEEDS, st.floats(0.01, 100))
def test_swapping_the_two_turns_the_ratio_over(a: list[float], factor: float) -> None:
    b = [factor * value for value in a]
    there, back = compare(a, b, resamples=200), compare(b, a, resamples=200)
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1, rel=1e-6)
    assert there.ratio == pytest.approx(factor)


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(pairs: int) -> None:
    generator = np.random.default_rng(7)
    runs = [generator.lognormal(0, 0.05, (2, pairs)).tolist() for _ in range(1500)]
    found = [compare(a, b, resamples=400) for a, b in runs]
    covered = sum(one.low <= 1 <= one.high for one in found) / len(found)
    assert covered > 0.935
    assert sum(one.verdict == "no difference" for one in found) / len(found) == covered
