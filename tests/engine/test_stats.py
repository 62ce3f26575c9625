"""Intervals: against a textbook value, and what must be refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine import stats

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


def test_a_textbook_interval() -> None:
    found = stats.estimate([10.0, 12.0, 14.0])
    assert found.mean == 12
    half = 4.302652729911275 * 2 / math.sqrt(3)  # t(0.975, 2) times the standard error
    assert (found.low, found.high) == (pytest.approx(12 - half), pytest.approx(12 + half))
    assert found.n == 3


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf, 2.0]])
def test_no_interval_without_two_finite_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values"):
        stats.estimate(values)


@given(VALUES)
def test_the_mean_lies_inside(values: list[float]) -> None:
    found = stats.estimate(values)
    assert found.low <= found.mean + 1e-6
    assert found.mean <= found.high + 1e-6


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    import numpy as np

    generator = np.random.default_rng(7)
    hits = [found.low <= 5 <= found.high for found in (stats.estimate(generator.normal(5, 1, 3)) for _ in range(4000))]
    assert 0.935 < sum(hits) / len(hits) < 0.965
