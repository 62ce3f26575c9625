"""Acceptance: how many draft tokens the model took over, from vLLM's counters before and after each run.

vLLM's benchmark client reads `vllm:spec_decode_num_drafts_total`, `…_num_draft_tokens_total`,
`…_num_accepted_tokens_total` and `…_num_accepted_tokens_per_pos_total` from `/metrics` around each run and puts the
differences into its result file (vllm/benchmarks/serve.py, the same in 0.26 and 0.32).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lib.core.evidence import Measurement, Scalar
from lib.engine.bench.results import Result

METHOD = "vllm:spec_decode_* counters before and after {runs} runs, summed"


class Acceptance(NamedTuple):
    """Counts over some runs of one point.

    Parameters
    ----------
    drafts, drafted, accepted : int
        Steps with a draft, tokens drafted in them, and those of them that were accepted.
    per_position : tuple of float
        Share of the drafts whose first, second, … token was accepted.
    decoded : int
        Output tokens after the first of each request, which prefill gives.
    runs : int
        How many runs were summed.
    """

    drafts: int
    drafted: int
    accepted: int
    per_position: tuple[float, ...]
    decoded: int
    runs: int

    @property
    def length(self) -> float:
        """Acceptance length: tokens of a step that had a draft, the model's own one included."""
        return 1 + self.accepted / self.drafts if self.drafts else 1.0

    @property
    def tokens_per_step(self) -> float:
        """Tokens of any decoding step, with a draft or without: what the whole text gained."""
        steps = self.decoded - self.accepted
        return self.decoded / steps if steps > 0 else self.length


def of(runs: Sequence[Mapping[str, Any]]) -> Acceptance | None:
    """Sum what the client counted in some runs; None if the server did not speculate in any of them."""
    counted = [run for run in runs if run.get("spec_decode_num_drafts")]
    if not counted:
        return None
    drafts = sum(int(run["spec_decode_num_drafts"]) for run in counted)
    rates = [run.get("spec_decode_per_position_acceptance_rates") or [] for run in counted]
    positions = max(len(rate) for rate in rates)
    accepted_at = [
        sum(
            rate[position] * int(run["spec_decode_num_drafts"])
            for rate, run in zip(rates, counted, strict=True)
            if position < len(rate)
        )
        for position in range(positions)
    ]
    return Acceptance(
        drafts=drafts,
        drafted=sum(int(run["spec_decode_draft_tokens"]) for run in counted),
        accepted=sum(int(run["spec_decode_accepted_tokens"]) for run in counted),
        per_position=tuple(count / drafts for count in accepted_at),
        decoded=sum(int(run["total_output_tokens"]) - int(run["completed"]) for run in runs),
        runs=len(runs),
    )


def measurements(result: Result, **conditions: Scalar) -> list[Measurement]:
    """Return acceptance length, tokens of a step and the rate of each position of a point.

    They are counts, not samples: the same prompts answered greedily give the same ones, so they carry no interval.
    """
    seen = of(result.runs)
    if seen is None:
        return []
    told = {**result.point.conditions, **conditions}
    method = METHOD.format(runs=seen.runs)
    rates = [
        Measurement(
            name="spec.acceptance_rate",
            title="Drafts accepted up to this position",
            value=round(rate, 4),
            unit="share",
            n=seen.drafts,
            method=f"{method}; accepted at this position / drafts",
            conditions={**told, "position": position},
        )
        for position, rate in enumerate(seen.per_position, start=1)
    ]
    return [
        Measurement(
            name="spec.acceptance_length",
            title="Acceptance length",
            value=round(seen.length, 3),
            unit="tokens",
            n=seen.drafts,
            method=f"{method}; 1 + accepted / drafts",
            conditions=told,
        ),
        Measurement(
            name="spec.tokens_per_step",
            title="Tokens of a decoding step, with a draft or without",
            value=round(seen.tokens_per_step, 3),
            unit="tokens",
            n=seen.decoded,
            method=f"{method}; decoded / (decoded - accepted)",
            conditions=told,
        ),
        *rates,
    ]
