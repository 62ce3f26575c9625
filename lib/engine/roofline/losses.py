"""Where the time of a decode step goes beyond its least: the losses of a single stream, named and measured.

The loss of a class is its time in the step less the least time for the bytes that it must read. What runs at the
limit of the memory loses nothing, however long it takes.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from lib.core.evidence import Check, Measurement
from lib.engine.bench import stats
from lib.engine.roofline import classes
from lib.engine.roofline.trace import Step, Trace
from lib.engine.roofline.work import Work

NAMED = 3  # the largest losses that the verdict names
KNOWN = 0.9  # share of the busy time that must have a class
# Which weights a class reads; attention reads the KV cache.
READS = {classes.EXPERTS: "experts", classes.DENSE: "projections", classes.HEAD: "lm_head"}
SEEN = {
    "gpu": "kernels on the GPU's time line, by name; idle: no kernel runs",
    "cpu": "outermost operators, by name; idle: Python between operators",
}


class Loss(NamedTuple):
    """One class of a decode step: its time in each step and the least time that it needs, ms."""

    kind: str
    times: list[float]
    least: float

    @property
    def time(self) -> float:
        """Mean time in a step, ms."""
        return fmean(self.times)

    @property
    def lost(self) -> float:
        """Mean time beyond the least, ms; none where a cache was faster than the memory."""
        return max(self.time - self.least, 0.0)


def losses(trace: Trace, least: Work, bandwidth: float) -> list[Loss]:
    """Return every class of a trace's decode steps, the largest loss first.

    Parameters
    ----------
    trace : Trace
        Decode steps of one request.
    least : Work
        What one of these steps must read.
    bandwidth : float
        Measured roof of reading, bytes per second; 0 where it is not known: all time then counts as lost.
    """
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(trace.steps))
    for number, step in enumerate(trace.steps):
        for event, kind in zip(step.events, classes.in_order([event.name for event in step.events]), strict=True):
            spent[kind][number] += event.duration / 1000
        spent[classes.IDLE][number] = (step.end - step.start - step.busy) / 1000
    found = [Loss(kind, times, _least(kind, least, bandwidth)) for kind, times in spent.items()]
    return sorted(found, key=lambda loss: -loss.lost)


def _least(kind: str, least: Work, bandwidth: float) -> float:
    read = least.kv if kind == classes.ATTENTION else least.weights.get(READS.get(kind, ""), 0.0)
    return 1000 * read / bandwidth if bandwidth else 0.0


def measurements(trace: Trace, found: Sequence[Loss], plain_ms: float) -> list[Measurement]:
    """Return `roofline.loss` and `roofline.step_part` of each class, and their sum, `roofline.step_ms`.

    Parameters
    ----------
    plain_ms : float
        Time a token without the profiler, ms: the baseline of the profiled step.
    """
    each = [record for loss in found for record in _records(trace, loss)]
    return [_step(trace, plain_ms), *each]


def _records(trace: Trace, loss: Loss) -> list[Measurement]:
    whole = [(step.end - step.start) / 1000 for step in trace.steps]
    how = "torch's profiler, " + SEEN[trace.source]
    shares = [100 * time / all_of_it for time, all_of_it in zip(loss.times, whole, strict=True)]
    lost = Measurement(
        name="roofline.loss",
        title="Lost in a decode step of one request",
        value=round(loss.lost, 4),
        unit="ms",
        n=len(loss.times),
        method=f"mean time in a step less the least time for the bytes read, never below zero; {how}",
        conditions={"class": loss.kind},
    )
    part = Measurement(
        name="roofline.step_part",
        title="Part of a decode step of one request",
        value=round(fmean(shares), 2),
        unit="%",
        n=len(shares),
        interval=_interval(shares),
        method=f"share of the step's time, mean over steps; {how}",
        conditions={"class": loss.kind, "least_ms": round(loss.least, 4)},
    )
    return [lost, part]


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2 or min(values) <= 0:
        return None
    estimate = stats.estimate(values)
    return round(estimate.low, 2), round(estimate.high, 2)


def _step(trace: Trace, plain_ms: float) -> Measurement:
    times = [(step.end - step.start) / 1000 for step in trace.steps]
    return Measurement(
        name="roofline.step_ms",
        title="A decode step of one request, profiled",
        value=round(fmean(times), 4),
        unit="ms",
        n=len(times),
        interval=_interval(times),
        method="from one step's mark in the trace to the next, mean over steps; baseline: time a token of the same "
        "request without the profiler",
        conditions={"profiler": "on"},
        baseline=round(plain_ms, 4),
    )


def check(trace: Trace, found: Sequence[Loss]) -> Check:
    """Name the largest losses, and hold the table of names to what really ran."""
    whole = sum(loss.time for loss in found)
    busy = sum(loss.time for loss in found if loss.kind != classes.IDLE)
    unknown = sum(loss.time for loss in found if loss.kind == classes.OTHER)
    largest = [f"{loss.kind} {loss.lost:.3g} ms ({loss.lost / whole:.0%} of the step)" for loss in found[:NAMED]]
    known = 1 - unknown / busy if busy else 0.0
    strangers = ", ".join(name for name, _ in unnamed(trace.steps)[:NAMED])
    return Check(
        name="roofline.losses",
        title="The largest losses of a single stream are named",
        status="pass" if known >= KNOWN else "warn",
        expected=f"{KNOWN:.0%} of the busy time belongs to a named part of the model",
        observed=f"{known:.0%} has a name; largest losses: {', '.join(largest)}",
        fix=f"add these names to the table in lib/engine/roofline/classes.py: {strangers}",
    )


def unnamed(steps: Sequence[Step]) -> list[tuple[str, float]]:
    """Return the kernels that no pattern of the table fits and their whole time, µs; the longest first."""
    spent: Counter[str] = Counter()
    for step in steps:
        for event in step.events:
            if classes.named(event.name) == classes.OTHER:
                spent[event.name] += int(event.duration * 1000)
    return [(name, time / 1000) for name, time in spent.most_common()]


def table(trace: Trace) -> str:
    """Return every kernel of the decode steps as JSON: its class, how often it ran, and its time in a step, ms."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for step in trace.steps:
        for event, kind in zip(step.events, classes.in_order([event.name for event in step.events]), strict=True):
            rows[kind, event.name].append(event.duration)
    ordered = sorted(rows.items(), key=lambda row: -sum(row[1]))
    steps = len(trace.steps)
    listed: list[Mapping[str, object]] = [
        {"class": kind, "name": name, "runs_a_step": len(t) / steps, "ms_a_step": round(sum(t) / steps / 1000, 6)}
        for (kind, name), t in ordered
    ]
    return json.dumps({"source": trace.source, "steps": steps, "kernels": listed}, indent=1)
