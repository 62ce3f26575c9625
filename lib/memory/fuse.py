"""Rankings of different makers joined: reciprocal rank fusion."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

# The constant of the method's authors (Cormack, Clarke and Büttcher 2009); it keeps one first place from deciding all.
CONSTANT = 60


def fuse(rankings: Iterable[Sequence[int]], constant: int = CONSTANT) -> list[tuple[int, float]]:
    """Return ids with their fused scores, best first: each ranking gives ``1 / (constant + rank)``.

    Ranks alone count, so that scores of different scales need no tuning. A tie goes to the smaller id.
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] += 1 / (constant + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
