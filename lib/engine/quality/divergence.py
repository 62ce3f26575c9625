"""How far two next-token distributions are apart, from the few tokens that a server names of each."""

import math
from collections.abc import Sequence

from lib.engine.quality.positions import Position

# What the rest holds at least: sums of rounded probabilities may leave nothing, or less.
LEAST = 1e-7
BOUND = (
    "tokens that both name are kept apart, all others are one bucket; summing probabilities up never raises a "
    "divergence, so the true one is at least this"
)


def kl(reference: Position, other: Position) -> float:
    """Return a lower bound of the Kullback-Leibler divergence of `other` from `reference` at one position, nats.

    Both distributions are looked at through the same coarse glass: the tokens that both servers name, and one bucket
    for all others. By the data-processing inequality no such glass shows more than there is.
    """
    shared = reference.top.keys() & other.top.keys()
    p = [math.exp(reference.top[token]) for token in shared]
    q = [math.exp(other.top[token]) for token in shared]
    p.append(max(1 - sum(p), LEAST))
    q.append(max(1 - sum(q), LEAST))
    # Both are made to sum to one again, so that the result is a divergence and cannot fall below zero.
    a, b = sum(p), sum(q)
    total = sum(x / a * (math.log(x / a) - math.log(max(y, LEAST * LEAST) / b)) for x, y in zip(p, q, strict=True) if x)
    return max(total, 0.0)


def seen(reference: Position, other: Position) -> float:
    """Return which share of the reference's probability lies on the tokens that both name."""
    return sum(math.exp(reference.top[token]) for token in reference.top.keys() & other.top.keys())


def agrees(reference: Position, other: Position) -> bool:
    """Tell whether both would say the same token next."""
    return reference.first == other.first


def flat(windows: Sequence[Sequence[Position]]) -> list[Position]:
    """Return the positions of all windows in order."""
    return [position for window in windows for position in window]
