"""The divergence never exceeds the true one, is zero for equals, and grows when the glass gets finer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.quality import divergence, positions
from lib.engine.quality.positions import Position


def position(probabilities: np.ndarray, top: int, actual: int = 0) -> Position:
    """Return what a server would tell of a distribution: its top tokens and the actual one."""
    named = {int(token) for token in np.argsort(-probabilities)[:top]} | {actual}
    told = {token: math.log(probabilities[token]) for token in named}
    return Position(actual, told[actual], told)


def spread(seed: int, size: int = 50, sharp: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(scale=sharp, size=size)
    exp = np.exp(logits - logits.max())
    return np.asarray(exp / exp.sum())


def true_kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum())


@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000), top=st.integers(2, 49))
def test_it_is_a_lower_bound(seed: int, other: int, top: int) -> None:
    p, q = spread(seed), spread(other)
    found = divergence.kl(position(p, top), position(q, top))
    assert 0 <= found <= true_kl(p, q) + 1e-5


@given(seed=st.integers(0, 10_000), top=st.integers(2, 49))
def test_equals_are_zero_apart(seed: int, top: int) -> None:
    same = position(spread(seed), top)
    assert divergence.kl(same, same) == pytest.approx(0, abs=1e-12)
    assert divergence.agrees(same, same)


def test_with_all_tokens_it_is_exact() -> None:
    p, q = spread(1), spread(2)
    assert divergence.kl(position(p, 50), position(q, 50)) == pytest.approx(true_kl(p, q), rel=1e-4)


def test_nothing_in_common_still_gives_a_bound() -> None:
    a = Position(1, math.log(0.9), {1: math.log(0.9)})
    b = Position(1, math.log(0.1), {1: math.log(0.1), 2: math.log(0.8)})
    expected = 0.9 * math.log(0.9 / 0.1) + 0.1 * math.log(0.1 / 0.9)
    assert divergence.kl(a, b) == pytest.approx(expected)
    assert not divergence.agrees(a, b)
    assert divergence.seen(a, b) == pytest.approx(0.9)


def test_probabilities_that_round_above_one_do_no_harm() -> None:
    over = Position(1, 0.0, {1: 0.0, 2: -9.0})
    assert math.isfinite(divergence.kl(over, over))
    assert divergence.kl(over, over) >= 0


def test_perplexity_of_a_fair_coin_is_two() -> None:
    assert positions.perplexity([math.log(0.5)] * 7) == pytest.approx(2)
