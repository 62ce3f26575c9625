"""Two configurations measured in turn, A B A B: the ratio of their speeds, its interval, and a verdict."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lib.engine.bench import stats

Verdict = Literal["better", "worse", "no difference", "within tolerance"]
RESAMPLES = 10_000
SEED = 20_261_123
METHOD = (
    "ratio of geometric means of {n} interleaved pairs; 95 % interval on the logarithm, "
    "the wider of paired Student t and bootstrap"
)


class Comparison(NamedTuple):
    """B over A: the ratio with its 95 % interval, what that means, and how many pairs it rests on."""

    ratio: float
    low: float
    high: float
    verdict: Verdict
    n: int

    @property
    def method(self) -> str:
        """How the interval was made, as evidence carries it."""
        return METHOD.format(n=self.n)


def compare(
    a: Sequence[float],
    b: Sequence[float],
    tolerance: float = 0.0,
    lower_is_better: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare two configurations that were measured in turn; the same place in both lists is one pair.

    What disturbs a machine lasts longer than one measurement, so it meets both halves of a pair alike and their ratio
    hardly notices. The interval is of the mean logarithm of the pairs' ratios, made twice: by Student's t, which is
    honest with few pairs but assumes a bell shape, and by bootstrap over the pairs, which assumes no shape but is too
    narrow with few of them (with three pairs it holds the truth 74 times of 100 instead of 95). The outer ends count.

    Parameters
    ----------
    a, b : sequence of float
        The old and the new configuration, the same positive quantity of each pair, two pairs at least.
    tolerance : float
        Share that B may be worse than A and still be accepted: 0.03 is 3 %.
    lower_is_better : bool
        True for times, false for rates.
    resamples, seed : int
        Of the bootstrap; the same data and seed give the same interval.

    Returns
    -------
    Comparison
        `ratio` is B over A. The verdict is of B: `better` or `worse` when the interval leaves out 1; `within tolerance`
        when it is worse, but by no more than the tolerance; else `no difference`, which means none was shown.

    Raises
    ------
    ValueError
        Fewer than two pairs, lists of different length, or a value that is not finite and positive.
    """
    old, new = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if old.shape != new.shape or old.ndim != 1 or old.size < 2:
        raise ValueError(f"a comparison needs two pairs or more, got {old.size} and {new.size} values")
    if not (np.isfinite([old, new]).all() and (np.minimum(old, new) > 0).all()):
        raise ValueError(f"a comparison needs finite positive values, got {list(a)} and {list(b)}")
    ratios = new / old
    by_t = stats.estimate(ratios.tolist())
    bootstrapped = _bootstrap(np.log(ratios), resamples, seed)
    low, high = min(by_t.low, bootstrapped[0]), max(by_t.high, bootstrapped[1])
    return Comparison(by_t.mean, low, high, _verdict(low, high, tolerance, lower_is_better), int(old.size))


def _bootstrap(logs: "np.ndarray[tuple[int], np.dtype[np.float64]]", resamples: int, seed: int) -> tuple[float, float]:
    """Return the middle 95 % of the means of resampled pairs, as ratios."""
    chosen = np.random.default_rng(seed).integers(logs.size, size=(resamples, logs.size))
    low, high = np.exp(np.percentile(logs[chosen].mean(axis=1), [2.5, 97.5]))
    return float(low), float(high)


def _verdict(low: float, high: float, tolerance: float, lower_is_better: bool) -> Verdict:
    if lower_is_better:
        low, high = 1 / high, 1 / low
    if low > 1:
        return "better"
    if high >= 1:
        return "no difference"
    return "within tolerance" if low >= 1 - tolerance else "worse"
