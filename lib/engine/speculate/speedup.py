"""Speed-up against the server without speculation: the ratio, where it falls below 1, and its cost."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from lib.engine.bench.compare import Comparison, compare
from lib.engine.bench.results import Result
from lib.engine.speculate import acceptance

Bound = Literal["crossing", "at least", "below"]


class BreakEven(NamedTuple):
    """The concurrency from which speculation does not pay.

    Parameters
    ----------
    value : float
        Requests at a time.
    bound : str
        `crossing`: interpolated between two measured points; `at least`: it still paid at the largest one, which is the
        value; `below`: it did not even pay at the smallest one.
    """

    value: float
    bound: Bound


class Cost(NamedTuple):
    """What a step costs, from two measured times.

    Parameters
    ----------
    base_ms : float
        Time of a token without speculation: one step, one token.
    step_ms : float
        Time of a step with speculation: draft, verification, sampling.
    """

    base_ms: float
    step_ms: float

    @property
    def break_even(self) -> float:
        """The tokens that a step must give on average so that speculation costs nothing."""
        return self.step_ms / self.base_ms

    def speedup(self, tokens: float) -> float:
        """Return the speed-up of decoding if a step gave so many tokens on average."""
        return tokens * self.base_ms / self.step_ms


def speedup(plain: Result, other: Result) -> Comparison:
    """Return the ratio of decoding speed, 1 / TPOT; the same prompt in the same repeat of both is one pair.

    Not of throughput: that of a short run is mostly prefill, which speculation does not touch, and a tail in which the
    last requests run alone, which is longer where requests end at different times.

    Raises
    ------
    ValueError
        Fewer than two pairs, or runs that do not belong together.
    """
    pairs = [
        pair
        for a, b in zip(plain.runs, other.runs, strict=True)
        for pair in zip(_speeds(a), _speeds(b), strict=True)
        if min(pair) > 0
    ]
    return compare([a for a, _ in pairs], [b for _, b in pairs])


def cost(pairs: Sequence[tuple[Result, Result]]) -> Cost | None:
    """Return the time of a step without and with speculation; None where nothing was drafted.

    The time of a step is TPOT × tokens of a step, the mean over all requests and repeats of each point.

    Parameters
    ----------
    pairs : sequence of (Result, Result)
        The plain server and the speculating one at the same point; more than one point gives the mean over them.
    """
    steps = [(_tpot(plain), _tpot(other), acceptance.of(other.runs)) for plain, other in pairs]
    known = [(base, each * seen.tokens_per_step) for base, each, seen in steps if seen and base > 0 and each > 0]
    if not known:
        return None
    return Cost(sum(base for base, _ in known) / len(known), sum(step for _, step in known) / len(known))


def break_even(points: Sequence[tuple[int, float]]) -> BreakEven:
    """Return where the speed-up first falls below 1.

    Between two measured points the speed-up is taken to be a straight line over the logarithms of both.

    Parameters
    ----------
    points : sequence of (concurrency, speed-up)
        At least one, in any order.
    """
    ordered = sorted(points)
    if ordered[0][1] < 1:
        return BreakEven(ordered[0][0], "below")
    for (left, high), (right, low) in pairwise(ordered):
        if low < 1:
            share = math.log(high) / (math.log(high) - math.log(low))
            return BreakEven(left * (right / left) ** share, "crossing")
    return BreakEven(ordered[-1][0], "at least")


def schedule(tokens: int, off_from: int, sequences: int) -> list[list[int]]:
    """Return vLLM's `num_speculative_tokens_per_batch_size`: drafts below a batch size, none from there on.

    Parameters
    ----------
    tokens : int
        Draft tokens of a step.
    off_from : int
        Batch size from which nothing is drafted, at least 2.
    sequences : int
        The server's `max_num_seqs`.
    """
    ranges = [[1, min(off_from - 1, sequences), tokens]]
    return ranges + ([[off_from, sequences, 0]] if off_from <= sequences else [])


def _speeds(run: Mapping[str, Any]) -> list[float]:
    """Return the tokens per second of each request after its first one; 0 where there was no other."""
    spent = [sum(rest) for rest in run["itls"]]
    return [(tokens - 1) / s if s > 0 else 0.0 for tokens, s in zip(run["output_lens"], spent, strict=True)]


def _tpot(result: Result) -> float:
    values = [float(run["mean_tpot_ms"]) for run in result.runs]
    return sum(values) / len(values)
