"""Load an engine with vLLM's own benchmark client and turn its raw results into measurements.

Every operating point is warmed up before it counts (the first requests of a new batch size may still compile or
allocate), and repeats go round all points in turn, so that a slow drift of the machine meets all of them alike.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Provenance
from lib.core.profile import Batching
from lib.engine.bench import stats
from lib.engine.bench.load_client import MARK
from lib.engine.serve.process import Guarded

POLL_S = 0.25
LIMIT_S = 3600
# With fewer requests a repeat, a 95th percentile is just the slowest one.
TAIL_NEEDS = 20
OnPoint = Callable[[str], None]
# Measurement: its name, title, key in vLLM's JSON, unit.
METRICS = (
    ("batching.output_throughput", "Output throughput", "output_throughput", "tok/s"),
    ("batching.ttft_ms", "TTFT, median", "median_ttft_ms", "ms"),
    ("batching.tpot_ms", "TPOT, median", "median_tpot_ms", "ms"),
    ("batching.ttft_p95_ms", "TTFT, 95th percentile", "p95_ttft_ms", "ms"),
    ("batching.tpot_p95_ms", "TPOT, 95th percentile", "p95_tpot_ms", "ms"),
)


class Target(NamedTuple):
    """The served model that is loaded: its address, its name there, and the folder of its tokenizer."""

    base_url: str
    name: str
    tokenizer: Path


class Point(NamedTuple):
    """One load: how many requests at a time, how long each is."""

    concurrency: int
    input_tokens: int
    output_tokens: int

    @property
    def conditions(self) -> dict[str, str | int | float | bool | None]:
        """What varies between points, as evidence carries it."""
        return dict(self._asdict())


class Result(NamedTuple):
    """A point's repeats: vLLM's JSON of each, and where it lies."""

    point: Point
    runs: list[dict[str, Any]]
    files: list[Path]
    command: str


def points(load: Batching) -> list[Point]:
    """Return the operating points of a profile."""
    return [Point(concurrency, load.input_tokens, load.output_tokens) for concurrency in load.concurrency]


def run(
    target: Target, load: Batching, folder: Path, environment: Mapping[str, str], on_point: OnPoint = lambda _: None
) -> list[Result]:
    """Warm up and measure every point of the profile's load.

    Parameters
    ----------
    target : Target
        The served model.
    load : Batching
        Points, repeats and warm-up.
    folder : Path
        Where vLLM's JSON of each run is kept.
    environment : mapping of str to str
        Environment of the client's process.
    on_point : callable
        Told after each run, with its label.

    Raises
    ------
    RunbookError
        The client could not run a point; the message carries its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = {point: [f"c{point.concurrency}-r{repeat}" for repeat in range(load.repeats)] for point in points(load)}
    plan = _warmups(target, load) + [
        {
            "label": runs[point][repeat],
            "arguments": _arguments(target, load, point, repeat, folder, runs[point][repeat]),
        }
        for repeat in range(load.repeats)
        for point in runs
    ]
    _drive(plan, folder, environment, on_point)
    results = []
    for point, labels in runs.items():
        files = [folder / f"{label}.json" for label in labels]
        told = [json.loads(file.read_text()) for file in files]
        results.append(Result(point, told, files, _command(target, load, point)))
    return results


def measurements(result: Result) -> list[Measurement]:
    """Return a point's measurements: mean over repeats with the 95 % interval."""
    found = []
    for name, title, key, unit in METRICS:
        if key.startswith("p95") and min(run["completed"] for run in result.runs) < TAIL_NEEDS:
            continue
        value = stats.estimate([float(run[key]) for run in result.runs])
        found.append(
            Measurement(
                name=name,
                title=title,
                value=round(value.mean, 3),
                unit=unit,
                n=value.n,
                # None of these can be negative: what lies below zero is no part of the interval.
                interval=(round(max(value.low, 0), 3), round(value.high, 3)),
                method=f"vLLM's benchmark client, warmed up; {stats.METHOD.format(n=value.n)}",
                conditions=result.point.conditions,
                provenance=Provenance(command=result.command),
            )
        )
    return found


def checks(results: Sequence[Result], load: Batching) -> list[Check]:
    """Check that every request was answered, and which points hold the owner's limits."""
    return [_completed(results, load), _limits(results, load)]


def within_limits(result: Result, load: Batching) -> bool:
    """Tell whether a point's median TTFT and TPOT, each as the mean over repeats, hold the profile's limits."""
    ttft, tpot = (
        stats.estimate([run[key] for run in result.runs]).mean for key in ("median_ttft_ms", "median_tpot_ms")
    )
    return ttft <= load.ttft_limit_ms and tpot <= load.tpot_limit_ms


def _completed(results: Sequence[Result], load: Batching) -> Check:
    runs = [(result.point, run) for result in results for run in result.runs]
    wanted = sum(load.prompts_per_slot * point.concurrency for point, _ in runs)
    failed = sum(int(run.get("failed", 0)) for _, run in runs)
    completed = sum(int(run["completed"]) for _, run in runs)
    tokens = sum(int(run["total_output_tokens"]) for _, run in runs)
    whole = wanted * load.output_tokens
    return Check(
        name="batching.completed",
        title="Every request of the load was answered in full",
        status="pass" if (failed, completed, tokens) == (0, wanted, whole) else "fail",
        expected=f"{wanted} requests answered with {whole} tokens, none failed",
        observed=f"{completed} answered with {tokens} tokens, {failed} failed",
        fix="read the engine's log in the raw files; a preempted or aborted request names its cause there",
    )


def _limits(results: Sequence[Result], load: Batching) -> Check:
    good = [result.point.concurrency for result in results if within_limits(result, load)]
    over = [result.point.concurrency for result in results if not within_limits(result, load)]
    observed = f"held at concurrency {', '.join(map(str, good))}" if good else "held at no concurrency"
    return Check(
        name="batching.limits",
        title="Latency limits of the profile",
        # The upper points are there to find the edge: exceeding it there is a finding, not a fault.
        status="pass" if good else "fail",
        expected=f"TTFT at most {load.ttft_limit_ms:g} ms and TPOT at most {load.tpot_limit_ms:g} ms (medians) at one "
        "concurrency at least",
        observed=observed + (f", exceeded at {', '.join(map(str, over))}" if over else ""),
        fix="serve a smaller or quantised model, shorten the prompts, or set batching.ttft_limit_ms and tpot_limit_ms "
        "to what the users need",
    )


def _drive(plan: list[dict[str, object]], folder: Path, environment: Mapping[str, str], on_point: OnPoint) -> None:
    """Run the client over the plan; what it tells and its chatter are kept in client.log.

    The client is guarded like the engine: without its owner it would go on loading.
    """
    (folder / "plan.json").write_text(json.dumps(plan))
    log = folder / "client.log"
    client = Guarded(
        [sys.executable, "-m", "lib.engine.bench.load_client", str(folder / "plan.json")], log, environment
    )
    begun, seen = time.monotonic(), 0
    try:
        ended = False
        while not ended:
            ended = client.wait(POLL_S) is not None
            told = _told(log)
            for entry in told[seen:]:
                if "error" in entry:
                    raise RunbookError(f"the load at {entry['label']} failed: {entry['error']}", where=paths.short(log))
                on_point(entry["label"])
            seen = len(told)
            if time.monotonic() - begun > LIMIT_S:
                raise RunbookError(f"the load did not end within {LIMIT_S} s", where=paths.short(log))
    finally:
        client.stop()
    if seen < len(plan):
        raise RunbookError(
            f"the load client stopped before {plan[seen]['label']}: {_last_line(folder)}", where=paths.short(log)
        )


def _told(log: Path) -> list[dict[str, str]]:
    """Return what the client has told so far: the lines of its log that it marked as its own."""
    lines = log.read_text(errors="replace").splitlines(keepends=True)
    marked = [line.removeprefix(MARK) for line in lines if line.startswith(MARK) and line.endswith("\n")]
    return [json.loads(line) for line in marked]


def _warmups(target: Target, load: Batching) -> list[dict[str, object]]:
    if not load.warmup_prompts:
        return []
    return [
        {
            "label": f"c{point.concurrency}-warm-up",
            "arguments": _common(
                target, point, load.warmup_prompts * point.concurrency, seed=10_000 + point.concurrency
            ),
        }
        for point in points(load)
    ]


def _arguments(target: Target, load: Batching, point: Point, repeat: int, folder: Path, label: str) -> list[str]:
    prompts = load.prompts_per_slot * point.concurrency
    saved = ["--save-result", "--result-dir", paths.short(folder), "--result-filename", f"{label}.json"]
    return _common(target, point, prompts, seed=100 * repeat + point.concurrency) + saved


def _common(target: Target, point: Point, prompts: int, seed: int) -> list[str]:
    options: dict[str, object] = {
        "backend": "openai",
        "base-url": target.base_url,
        "endpoint": "/v1/completions",
        "model": target.name,
        "tokenizer": paths.short(target.tokenizer),
        "dataset-name": "random",
        "random-input-len": point.input_tokens,
        "random-output-len": point.output_tokens,
        "num-prompts": prompts,
        "max-concurrency": point.concurrency,
        "seed": seed,
        "temperature": 0,
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": "50,95,99",
        "ready-check-timeout-sec": 0,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [*words, "--ignore-eos", "--disable-tqdm"]


def _command(target: Target, load: Batching, point: Point) -> str:
    """Return the command that repeats a point by hand, against any port."""
    prompts = load.prompts_per_slot * point.concurrency
    words = _common(target._replace(base_url="http://127.0.0.1:8000"), point, prompts, seed=point.concurrency)
    return shlex.join(["vllm", "bench", "serve", *words])


def _last_line(folder: Path) -> str:
    lines = [line for line in (folder / "client.log").read_text().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
