"""Intervals for repeated measurements of rates and times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

METHOD = "geometric mean of {n} repeats, Student t interval on the logarithm"


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the geometric mean of repeats and its 95 % interval.

    Rates and times are positive, and what disturbs them (another program, a slower clock) multiplies them. On the
    logarithm the disturbance is symmetric, and an interval never reaches below zero.

    Parameters
    ----------
    values : sequence of float
        One positive value a repeat, at least two. With few repeats the interval is honestly wide: with two, the
        Student t quantile is 12.7.

    Raises
    ------
    ValueError
        Fewer than two values, or one that is not finite and positive.
    """
    data = np.asarray(values, dtype=float)
    if data.size < 2 or not np.isfinite(data).all() or (data <= 0).any():
        raise ValueError(f"an interval needs two positive values or more, got {list(values)}")
    logs = np.log(data)
    # scipy.special, not scipy.stats: the same quantile, and half a second less to import.
    quantile = float(special.stdtrit(data.size - 1, 0.975))
    half = quantile * logs.std(ddof=1) / np.sqrt(data.size)
    mean, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return Estimate(float(mean), float(low), float(high), int(data.size))
