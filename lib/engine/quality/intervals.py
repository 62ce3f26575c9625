"""Intervals for what is compared here: means over dependent positions, shares, and two answers to one question."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
SEED = 20_261_124
BLOCK = 64
Z95 = 1.959964
METHOD = f"95 % interval: bootstrap over blocks of {BLOCK} positions, {RESAMPLES} resamples"
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def block_bootstrap(
    values: Sequence[float], transform: Statistic = lambda means: means, block: int = BLOCK
) -> tuple[float, float]:
    """Return the 95 % interval of a function of the mean.

    Neighbouring positions of a text are not independent, so whole blocks are drawn, not positions.

    Parameters
    ----------
    values : sequence of float
        One value a position, in the text's order.
    transform : callable, optional
        From the means of the resamples to what is reported, for example `np.exp`.
    block : int
        Positions a block.

    Raises
    ------
    ValueError
        Fewer than two blocks.
    """
    data = np.asarray(values, dtype=float)
    count = data.size // block
    if count < 2:
        raise ValueError(f"{data.size} positions are fewer than two blocks of {block}")
    parts = np.array_split(data, count)
    sums, sizes = np.array([part.sum() for part in parts]), np.array([part.size for part in parts])
    drawn = np.random.default_rng(SEED).integers(0, count, size=(RESAMPLES, count))
    low, high = np.percentile(transform(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)), [2.5, 97.5])
    return float(low), float(high)


def wilson(right: int, asked: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson); honest also for few questions and for all or none right."""
    share, spread = right / asked, Z95 * Z95 / asked
    centre = (share + spread / 2) / (1 + spread)
    half = Z95 * math.sqrt(share * (1 - share) / asked + spread / asked / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the probability of a split as uneven as this, or more, if both were equally good (exact, two-sided).

    Parameters
    ----------
    only_first, only_second : int
        Questions that only the first, only the second answered right. Where both agree nothing is learned.
    """
    asked = only_first + only_second
    if not asked:
        return 1.0
    tail = sum(math.comb(asked, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << asked))
