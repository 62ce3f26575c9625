"""Intervals for repeated measurements."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

METHOD = "mean of {n} repeats, Student t interval over repeats"


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of repeats and its 95 % Student t interval.

    Parameters
    ----------
    values : sequence of float
        One value a repeat, at least two. With few repeats the interval is honestly wide: t(0.975, 1) is 12.7.

    Raises
    ------
    ValueError
        Fewer than two values, or one that is not finite.
    """
    data = np.asarray(values, dtype=float)
    if data.size < 2 or not np.isfinite(data).all():
        raise ValueError(f"an interval needs two finite values or more, got {list(values)}")
    mean = float(data.mean())
    half = float(stats.t.ppf(0.975, data.size - 1) * data.std(ddof=1) / np.sqrt(data.size))
    return Estimate(mean, mean - half, mean + half, int(data.size))
