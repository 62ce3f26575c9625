"""How much of the machine's limits each operating point reaches: decode and prefill apart, weights and KV apart.

Derived: the least time that a step can take, the larger of bytes / bandwidth and operations / rate. Measured: TPOT
and TTFT, and the two limits themselves.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple

from lib.core.evidence import Check, Measurement, Scalar
from lib.engine.bench import stats
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.models.catalogue import Model
from lib.engine.roofline import limits, work
from lib.engine.roofline.probe import Facts
from lib.engine.roofline.work import Work

Phase = Literal["decode", "prefill"]
PLAUSIBLE = 1.05  # bandwidth and times are each known to a few per cent
MEASURED = {
    "decode": ("median_tpot_ms", "measured: median TPOT of vLLM's client. A step serves the full batch"),
    "prefill": (
        "median_ttft_ms",
        "measured: median TTFT of vLLM's client, waiting for others included. A step computes one prompt",
    ),
}


class Step(NamedTuple):
    """One phase of an operating point: what a step must do, the least time for each part, and what was measured.

    Times in seconds; `measured` has one value for each repeat.
    """

    phase: Phase
    point: Point
    work: Work
    weights_s: float
    kv_s: float
    compute_s: float
    measured: list[float]

    @property
    def limit_s(self) -> float:
        """The least time that the step can take: memory and arithmetic at best overlap in full."""
        return max(self.weights_s + self.kv_s, self.compute_s)

    @property
    def bound(self) -> str:
        """What limits the step, `memory` or `compute`."""
        return "compute" if self.compute_s > self.weights_s + self.kv_s else "memory"

    @property
    def seconds(self) -> float:
        """The measured time, mean over repeats."""
        return stats.estimate(self.measured).mean

    @property
    def fraction(self) -> float:
        """The share of its limit that the step reaches."""
        return self.limit_s / self.seconds

    @property
    def conditions(self) -> dict[str, Scalar]:
        """The point's, and the phase."""
        return {**self.point.conditions, "phase": self.phase}


def steps(model: Model, results: Sequence[Result], facts: Facts, kv_dtype: str = "auto") -> list[Step]:
    """Return both phases of every operating point.

    Parameters
    ----------
    model : Model
        In the format in which it is served.
    results : sequence of Result
        vLLM's own results of each point.
    facts : Facts
        The machine's limits.
    kv_dtype : str
        vLLM's `--kv-cache-dtype`.
    """
    bandwidth, rate = limits.bandwidth(facts), limits.rate(model, facts)
    if not bandwidth or not rate:
        return []
    found = []
    for result in results:
        prompt = round(fmean(_prompt(result.point, run) for run in result.runs))
        context = prompt + result.point.output_tokens / 2
        needed: dict[Phase, Work] = {
            "prefill": work.prefill(model, prompt, result.point.prefix_tokens, kv_dtype),
            "decode": work.decode(model, result.point.concurrency, context, kv_dtype),
        }
        found += [_step(phase, result, job, bandwidth, rate) for phase, job in needed.items()]
    return [step for step in found if min(step.measured) > 0]  # where nothing was answered, nothing was timed


def _step(phase: Phase, result: Result, job: Work, bandwidth: float, rate: float) -> Step:
    key = MEASURED[phase][0]
    return Step(
        phase=phase,
        point=result.point,
        work=job,
        weights_s=sum(job.weights.values()) / bandwidth,
        kv_s=job.kv / bandwidth,
        compute_s=job.operations / rate,
        measured=[float(run[key]) / 1000 for run in result.runs],
    )


def _prompt(point: Point, run: dict[str, Any]) -> float:
    """Return the mean length of a prompt as it was really sent: for prompts from a file the point does not know it."""
    return float(run["total_input_tokens"]) / run["completed"] if run.get("total_input_tokens") else point.input_tokens


def measurements(found: Sequence[Step], precision: str) -> list[Measurement]:
    """Return `roofline.fraction` of every step, and `roofline.minimum_ms` of each part of its limit.

    Parameters
    ----------
    precision : str
        The type of the products, as `limits.computes_in` tells it.
    """
    return [record for step in found for record in (_fraction(step, precision), *_minimum(step, precision))]


def _fraction(step: Step, precision: str) -> Measurement:
    estimate = stats.estimate([step.limit_s / seconds for seconds in step.measured])
    method = (
        f"derived limit / measured time. {MEASURED[step.phase][1]}. Derived: the larger of bytes / roof of reading "
        f"and operations / roof of {precision} products, both roofs measured; here {step.bound} limits. "
        f"{stats.METHOD.format(n=estimate.n)}"
    )
    return Measurement(
        name="roofline.fraction",
        title=f"Share of the machine's limit reached, {step.phase}",
        value=round(estimate.mean, 4),
        unit="",
        n=estimate.n,
        interval=(round(estimate.low, 4), round(estimate.high, 4)),
        method=method,
        conditions=step.conditions,
    )


def _minimum(step: Step, precision: str) -> list[Measurement]:
    parts = (
        ("weights", step.weights_s, "derived: bytes of weights that the step reads / measured roof of reading"),
        ("kv", step.kv_s, "derived: bytes of KV cache that the step reads / measured roof of reading"),
        ("compute", step.compute_s, f"derived: operations of the step / measured roof of {precision} products"),
    )
    return [
        Measurement(
            name="roofline.minimum_ms",
            title=f"Least time of a step, {step.phase}",
            value=float(f"{1000 * seconds:.4g}"),
            unit="ms",
            method=method + (MIXTURE if part == "weights" and step.work.weights["experts"] else ""),
            conditions={**step.conditions, "part": part},
        )
        for part, seconds, method in parts
    ]


MIXTURE = "; experts touched: E·(1 − (1 − k/E)^tokens), each equally likely"


def plausible(found: Sequence[Step]) -> Check:
    """Check that no point is faster than its limit: then the limit, the model of the work or a time is wrong."""
    wrong = [step for step in found if step.fraction > PLAUSIBLE]
    best = max(found, key=lambda step: step.fraction, default=None)
    told = [f"{_place(step)}: {step.fraction:.2f}" for step in wrong]
    seen = f"at most {best.fraction:.2f}, {_place(best)}" if best else "no point was measured"
    return Check(
        name="roofline.plausible",
        title="No operating point is faster than the machine's limit",
        status="fail" if wrong else "pass" if found else "skip",
        expected=f"limit / measured time at most {PLAUSIBLE}",
        observed="; ".join(told) or seen,
        fix="measure the limits again on a quiet machine (roofline.seconds); if it stays: weights that fit into a "
        "cache are not read from memory, and a prefix that was cached is not computed"
        if wrong
        else "an engine that passes its gate, and limits to hold it against, are needed first",
    )


def _place(step: Step) -> str:
    conditions = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in step.point.conditions.items())
    return f"{step.phase} at {conditions}"
