"""Read what torch's profiler saw in vLLM's worker: the kernels of each decode step of one request.

vLLM marks each step with its numbers of requests, `execute_context_0(0)_generation_1(1)`: one request that gets a
token, and no prompt. A step lasts from its mark to the next one, so that sampling and the launch of the next step
belong to it.
"""

import gzip
import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError

MARK = re.compile(r"^execute_(?:\d+_)?context_(\d+)\(.*?\)_generation_(\d+)\(.*\)$")
DECODE = "execute_context_0(0)_generation_1(1)"
KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
# A compiled region is one operator on the CPU, with those that matter inside it.
WRAPPER = re.compile(r"^(Torch-Compiled Region|CompiledFunction|## |ProfilerStep|Optimizer)")
Source = Literal["gpu", "cpu"]


class Event(NamedTuple):
    """A kernel, or an operator that is not inside another; µs."""

    name: str
    start: float
    duration: float


class Step(NamedTuple):
    """One decode step, from its mark to the next; µs."""

    start: float
    end: float
    events: list[Event]

    @property
    def busy(self) -> float:
        """Time in which at least one kernel ran, µs."""
        total, reached = 0.0, self.start
        for event in self.events:
            end = min(event.start + event.duration, self.end)
            total += max(0.0, end - max(reached, event.start))
            reached = max(reached, end)
        return total


class Trace(NamedTuple):
    """The decode steps of a trace, and whether their events are kernels of a GPU or operators of a CPU."""

    source: Source
    steps: list[Step]


def read(path: Path) -> Trace:
    """Read a trace of torch's profiler, `.json` or `.json.gz`.

    Raises
    ------
    RunbookError
        It is damaged, or has no two decode steps of one request in a row.
    """
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        events = [event for event in json.loads(text)["traceEvents"] if event.get("ph") == "X"]
        source: Source = "gpu" if any(event.get("cat") == "kernel" for event in events) else "cpu"
        marks = _marks(events)
        ran = _kernels(events) if source == "gpu" else _outermost(events)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunbookError(
            f"not a trace of torch's profiler: {type(error).__name__}", where=paths.short(path), fix="profile again"
        ) from error
    steps = _steps(marks, ran)
    if not steps:
        raise RunbookError(
            "the trace has no two decode steps of one request in a row",
            where=paths.short(path),
            fix="profile one request alone that gets four tokens or more",
        )
    return Trace(source, steps)


def write(trace: Trace, path: Path) -> Path:
    """Write the decode steps alone as a trace that `read` and any trace viewer open; nothing of the machine is in it.

    The profiler's own file is many times as large, and names the machine and its folders.
    """
    kernel, mark = ("kernel", "gpu_user_annotation") if trace.source == "gpu" else ("cpu_op", "user_annotation")
    origin = trace.steps[0].start
    ends = [step.end for step, after in pairwise(trace.steps) if step.end != after.start]
    events: list[dict[str, object]] = [
        {"ph": "X", "cat": mark, "name": DECODE, "pid": 0, "tid": 0, "ts": round(start - origin, 3), "dur": 0}
        for start in (*(step.start for step in trace.steps), *ends, trace.steps[-1].end)
    ]
    events += [
        {
            "ph": "X",
            "cat": kernel,
            "name": e.name,
            "pid": 0,
            "tid": 1,
            "ts": round(e.start - origin, 3),
            "dur": e.duration,
        }
        for step in trace.steps
        for e in step.events
    ]
    # Compressed without the time of writing: the same trace gives the same file.
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode(), mtime=0))
    return path


def _marks(events: Iterable[dict[str, Any]]) -> list[tuple[float, bool]]:
    """Return where each step begins, and whether it is a decode step of one request.

    On a GPU the marks on its own time line count: the processor runs ahead of it.
    """
    found: dict[str, list[tuple[float, float, bool]]] = {"gpu_user_annotation": [], "user_annotation": []}
    for event in events:
        mark = MARK.match(str(event.get("name", ""))) if event.get("cat") in found else None
        if mark:
            alone = (int(mark[1]), int(mark[2])) == (0, 1)
            found[event["cat"]].append((float(event["ts"]), float(event["ts"]) + float(event["dur"]), alone))
    marks: list[tuple[float, bool]] = []
    reached = float("-inf")
    for start, end, alone in sorted(found["gpu_user_annotation"] or found["user_annotation"]):
        if start >= reached:  # a second stream repeats the mark
            marks.append((start, alone))
        reached = max(reached, end)
    return marks


def _kernels(events: Iterable[dict[str, Any]]) -> list[Event]:
    return sorted((_event(e) for e in events if e.get("cat") in KERNELS), key=lambda event: event.start)


def _outermost(events: Iterable[dict[str, Any]]) -> list[Event]:
    """Return the operators of the busiest thread that are not inside another: they are what a CPU has for kernels."""
    threads: dict[object, list[Event]] = {}
    for event in events:
        if event.get("cat") == "cpu_op" and not WRAPPER.match(str(event["name"])):
            threads.setdefault(event.get("tid"), []).append(_event(event))
    outer: list[Event] = []
    busiest = max(threads.values(), key=len, default=[])
    for operator in sorted(busiest, key=lambda operator: (operator.start, -operator.duration)):
        if not outer or operator.start >= outer[-1].start + outer[-1].duration:
            outer.append(operator)
    return outer


def _event(event: dict[str, Any]) -> Event:
    return Event(str(event["name"]), float(event["ts"]), float(event["dur"]))


def _steps(marks: Sequence[tuple[float, bool]], events: Sequence[Event]) -> list[Step]:
    windows = [(a[0], b[0]) for a, b in pairwise(marks) if a[1] and b[1]]
    steps, here = [], 0
    for start, end in windows:
        while here < len(events) and events[here].start < start:
            here += 1
        first = here
        while here < len(events) and events[here].start < end:
            here += 1
        if here > first:
            steps.append(Step(start, end, list(events[first:here])))
    return steps
