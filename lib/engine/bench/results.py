"""What a load told: vLLM's raw results of a point become measurements with intervals, and verdicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.core.evidence import Check, Measurement, Provenance, Scalar
from lib.engine.bench import stats
from lib.engine.bench.point import Effort, Point

# With fewer requests a repeat, a 95th percentile is just the slowest one.
TAIL_NEEDS = 20
# One Python process that is busier than this may itself be what is measured.
CLIENT_LIMIT = 0.8
# Measurement: its name, title, key in vLLM's JSON, unit.
METRICS = (
    ("output_throughput", "Output throughput", "output_throughput", "tok/s"),
    ("ttft_ms", "TTFT, median", "median_ttft_ms", "ms"),
    ("tpot_ms", "TPOT, median", "median_tpot_ms", "ms"),
    ("ttft_p95_ms", "TTFT, 95th percentile", "p95_ttft_ms", "ms"),
    ("tpot_p95_ms", "TPOT, 95th percentile", "p95_tpot_ms", "ms"),
    ("goodput", "Goodput: requests within the limits", "request_goodput", "1/s"),
)


class Result(NamedTuple):
    """A point's repeats: vLLM's JSON of each, where it lies, and the client's share of one CPU during each."""

    point: Point
    runs: list[dict[str, Any]]
    files: list[Path]
    command: str
    client_cpu: Sequence[float] = ()


def measurements(result: Result, family: str = "batching", **conditions: Scalar) -> list[Measurement]:
    """Return a point's measurements: mean over repeats with the 95 % interval.

    Parameters
    ----------
    result : Result
        A point's repeats.
    family : str
        First part of the names.
    **conditions
        What else varies, beside the point: the server's name, the model.
    """
    found = []
    for name, title, key, unit in METRICS:
        if key.startswith("p95") and min(run["completed"] for run in result.runs) < TAIL_NEEDS:
            continue
        values = [float(run[key]) for run in result.runs]
        if min(values) <= 0:  # no answer held the limits: a goodput of zero has no logarithm
            estimate = stats.Estimate(min(values), min(values), max(values), len(values))
            method = "vLLM's benchmark client, warmed up; lowest of the repeats, from lowest to highest"
        else:
            estimate = stats.estimate(values)
            method = f"vLLM's benchmark client, warmed up; {stats.METHOD.format(n=estimate.n)}"
        found.append(
            Measurement(
                name=f"{family}.{name}",
                title=title,
                value=round(estimate.mean, 3),
                unit=unit,
                n=estimate.n,
                interval=(round(estimate.low, 3), round(estimate.high, 3)),
                method=method,
                conditions={**result.point.conditions, **conditions},
                provenance=Provenance(command=result.command),
            )
        )
    return found


def checks(results: Sequence[Result], effort: Effort) -> list[Check]:
    """Check that every request was answered, which points hold the owner's limits, and that the client kept up."""
    return [completed(results, effort), _limits(results, effort), _client(results)]


def within_limits(result: Result, effort: Effort) -> bool:
    """Tell whether a point's median TTFT and TPOT, each as the mean over repeats, hold the profile's limits."""
    ttft, tpot = (
        stats.estimate([run[key] for run in result.runs]).mean for key in ("median_ttft_ms", "median_tpot_ms")
    )
    return ttft <= effort.ttft_limit_ms and tpot <= effort.tpot_limit_ms


def completed(results: Sequence[Result], effort: Effort) -> Check:
    """Check that every request was answered in full."""
    runs = [(result.point, run) for result in results for run in result.runs]
    wanted = sum(effort.prompts_per_slot * point.concurrency for point, _ in runs)
    failed = sum(int(run.get("failed", 0)) for _, run in runs)
    answered = sum(int(run["completed"]) for _, run in runs)
    tokens = sum(int(run["total_output_tokens"]) for _, run in runs)
    whole = sum(effort.prompts_per_slot * point.concurrency * point.output_tokens for point, _ in runs)
    return Check(
        name="batching.completed",
        title="Every request of the load was answered in full",
        status="pass" if (failed, answered, tokens) == (0, wanted, whole) else "fail",
        expected=f"{wanted} requests answered with {whole} tokens, none failed",
        observed=f"{answered} answered with {tokens} tokens, {failed} failed",
        fix="read the engine's log in the raw files; a preempted or aborted request names its cause there",
    )


def _limits(results: Sequence[Result], effort: Effort) -> Check:
    good = [_place(result.point, results) for result in results if within_limits(result, effort)]
    over = [_place(result.point, results) for result in results if not within_limits(result, effort)]
    observed = f"held at concurrency {', '.join(good)}" if good else "held at no concurrency"
    return Check(
        name="batching.limits",
        title="Latency limits of the profile",
        # The upper points are there to find the edge: exceeding it there is a finding, not a fault.
        status="pass" if good else "fail",
        expected=f"TTFT at most {effort.ttft_limit_ms:g} ms and TPOT at most {effort.tpot_limit_ms:g} ms (medians) at "
        "one concurrency at least",
        observed=observed + (f", exceeded at {', '.join(over)}" if over else ""),
        fix="serve a smaller or quantised model, shorten the prompts, or set batching.ttft_limit_ms and tpot_limit_ms "
        "to what the users need",
    )


def _place(point: Point, results: Sequence[Result]) -> str:
    """Name a point by its concurrency, and by its lengths too where they vary."""
    shapes = {(result.point.input_tokens, result.point.output_tokens) for result in results}
    lengths = f" ({point.input_tokens} in, {point.output_tokens} out)" if len(shapes) > 1 else ""
    return f"{point.concurrency}{lengths}"


def _client(results: Sequence[Result]) -> Check:
    """Check that the load client itself was not the limit: it is one process, which can use one CPU."""
    busiest = max(results, key=lambda result: max(result.client_cpu, default=0))
    share = max(busiest.client_cpu, default=0)
    return Check(
        name="batching.client",
        title="The load client was not the limit",
        status="pass" if share < CLIENT_LIMIT else "warn",
        expected=f"the client takes less than {CLIENT_LIMIT:.0%} of one CPU",
        observed=f"at most {share:.0%}, at concurrency {busiest.point.concurrency}",
        fix="measured throughput at this point is a lower bound; split the load over two clients on CPUs of their own",
    )
