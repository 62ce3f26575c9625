"""Whether the answers stay the same. Greedy speculation accepts only what the model itself would have said.

In bfloat16 that holds up to rounding: a batch of another shape adds in another order, and where two tokens are nearly
equal the other one may win. The plain server does that too when its batches change; so it is the measure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from lib.core.evidence import Check, Status
from lib.engine.bench.results import Result

# Below this probability a smaller share is no accident.
SURE = 0.01


class Same(NamedTuple):
    """How many answers of how many were identical, and to how many different prompts."""

    identical: int
    asked: int
    prompts: int

    @property
    def share(self) -> float:
        """Identical answers per answer compared; 0 where none was."""
        return self.identical / self.asked if self.asked else 0.0

    def __str__(self) -> str:
        return f"{self.identical} of {self.asked} answers ({self.share:.0%})"


def against(plain: Sequence[Result], other: Sequence[Result]) -> Same:
    """Compare the answers of a server with those of the plain one, at the same load and repeat."""
    by_point = {result.point: result for result in plain}
    return _count(
        (result.point.dataset, pair)
        for result in other
        if result.point in by_point
        for pair in zip(by_point[result.point].runs, result.runs, strict=False)
    )


def floor(plain: Sequence[Result]) -> Same:
    """Compare the plain server with itself: every two of its runs on one workload, at whatever concurrency."""
    workloads: dict[Path | None, list[Mapping[str, Any]]] = {}
    for result in plain:
        workloads.setdefault(result.point.dataset, []).extend(result.runs)
    return _count((dataset, pair) for dataset, runs in workloads.items() for pair in combinations(runs, 2))


def check(configuration: str, found: Same, own: Same) -> Check:
    """Return `spec.same_text`: a share that is smaller than the plain server's own, beyond chance, is a failure."""
    status: Status = "pass"
    if not found.asked or not own.asked:
        status = "skip"
    elif found.share < own.share and _chance(found, own) < SURE:
        status = "fail"
    return Check(
        name="spec.same_text",
        title="Greedy answers with speculation are those without",
        status=status,
        expected=f"as often as two runs of the plain server agree: {own}",
        observed=str(found) if found.asked else "no answers to compare",
        fix="read the answers in the raw files (generated_texts); if they differ in sense, do not use this "
        "configuration, and report it to vLLM with both command lines",
        source="vllm/v1/sample/rejection_sampler.py: greedy accepts a draft token only if it is the target's argmax",
        conditions={"configuration": configuration},
    )


def _count(pairs: Iterable[tuple[Path | None, tuple[Mapping[str, Any], Mapping[str, Any]]]]) -> Same:
    identical = asked = 0
    prompts: dict[Path | None, int] = {}
    for dataset, (a, b) in pairs:
        # The first prompts are those of the file, in its order; what a longer run asks beyond them is drawn anew.
        limit = len(dataset.read_text().splitlines()) if dataset else 0
        both = list(zip(a.get("generated_texts") or [], b.get("generated_texts") or [], strict=False))[:limit]
        identical += sum(x == y for x, y in both)
        asked += len(both)
        prompts[dataset] = max(prompts.get(dataset, 0), len(both))
    return Same(identical, asked, sum(prompts.values()))


def _chance(found: Same, own: Same) -> float:
    """Return the probability of so few identical answers if both shares were one (Fisher's exact test, one-sided).

    Counted are prompts, not answers: the same prompt asked again is no new evidence.
    """
    hits, others = round(found.share * found.prompts), round(own.share * own.prompts)
    asked, identical = found.prompts + own.prompts, hits + others
    fewest = max(0, identical - own.prompts)
    return sum(
        math.comb(identical, k) * math.comb(asked - identical, found.prompts - k) for k in range(fewest, hits + 1)
    ) / math.comb(asked, found.prompts)
