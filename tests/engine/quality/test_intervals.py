"""Intervals hold the truth as often as they say, and exact tests agree with hand-made numbers."""

import numpy as np
import pytest

from lib.engine.quality import intervals


def test_wilson_of_a_textbook() -> None:
    low, high = intervals.wilson(7, 10)
    assert (low, high) == pytest.approx((0.3968, 0.8922), abs=2e-4)


@pytest.mark.parametrize(("right", "bound"), [(0, 0.0), (20, 1.0)])
def test_wilson_does_not_collapse_at_the_ends(right: int, bound: float) -> None:
    low, high = intervals.wilson(right, 20)
    assert bound in (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert high - low > 0.1


SPLITS = [(0, 0, 1.0), (5, 5, 1.0), (6, 0, 0.03125), (8, 1, 0.0390625), (1, 8, 0.0390625)]


@pytest.mark.parametrize(("a", "b", "p"), SPLITS)
def test_mcnemar_exact(a: int, b: int, p: float) -> None:
    assert intervals.mcnemar(a, b) == pytest.approx(p)


def test_mcnemar_of_many_questions_does_not_overflow() -> None:
    assert 0 < intervals.mcnemar(700, 800) < 0.05


def test_bootstrap_over_blocks_is_wider_where_neighbours_are_alike() -> None:
    source = np.random.default_rng(1)
    apart = source.normal(size=1024)
    together = np.repeat(source.normal(size=1024 // 64), 64)

    def width(values: np.ndarray) -> float:
        low, high = intervals.block_bootstrap(list(values))
        return (high - low) / float(values.std())

    assert width(together) > 4 * width(apart)


def test_bootstrap_covers_the_truth() -> None:
    source = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        low, high = intervals.block_bootstrap(list(source.normal(loc=1.0, size=2048)))
        held += low <= 1.0 <= high
    assert held >= 85


def test_the_transform_is_applied_to_means() -> None:
    low, high = intervals.block_bootstrap([0.5] * 256, np.exp)
    assert (low, high) == pytest.approx((np.exp(0.5), np.exp(0.5)))


def test_too_little_text_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than two blocks"):
        intervals.block_bootstrap([1.0] * 100)
