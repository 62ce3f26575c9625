"""Intervals: against a textbook value, and what must be refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.bench import stats

VALUES = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=20)


def test_a_textbook_interval() -> None:
    found = stats.estimate([math.exp(10), math.exp(12), math.exp(14)])
    half = 4.302652729911275 * 2 / math.sqrt(3)  # t(0.975, 2) times the standard error of 10, 12, 14
    assert found.mean == pytest.approx(math.exp(12))
    assert (found.low, found.high) == (pytest.approx(math.exp(12 - half)), pytest.approx(math.exp(12 + half)))
    assert found.n == 3


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf, 2.0], [1.0, 0.0], [1.0, -2.0]])
def test_no_interval_without_two_positive_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two positive values"):
        stats.estimate(values)


@given(VALUES)
def test_the_mean_lies_inside_and_nothing_is_negative(values: list[float]) -> None:
    found = stats.estimate(values)
    assert 0 <= found.low <= found.mean * (1 + 1e-9)
    assert found.mean <= found.high * (1 + 1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    samples = generator.lognormal(math.log(500), 0.1, (4000, 3))
    hits = [found.low <= 500 <= found.high for found in map(stats.estimate, samples)]
    assert 0.935 < sum(hits) / len(hits) < 0.965
