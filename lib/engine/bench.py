"""Load an engine with vLLM's own benchmark client and turn its raw results into measurements.

Every operating point is warmed up before it counts (the first requests of a new batch size may still compile or
allocate), and repeats go round all points in turn, so that a slow drift of the machine meets all of them alike.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Provenance
from lib.core.profile import Batching
from lib.engine import stats

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
        value = stats.estimate([float(run[key]) for run in result.runs])
        found.append(
            Measurement(
                name=name,
                title=title,
                value=round(value.mean, 3),
                unit=unit,
                n=value.n,
                interval=(round(value.low, 3), round(value.high, 3)),
                method=f"vLLM's benchmark client, warmed up; {stats.METHOD.format(n=value.n)}",
                conditions=result.point.conditions,
                provenance=Provenance(command=result.command),
            )
        )
    return found


def checks(results: Sequence[Result], load: Batching) -> list[Check]:
    """Check that every request was answered, and which points hold the owner's limits."""
    return [_completed(results), _limits(results, load)]


def within_limits(result: Result, load: Batching) -> bool:
    """Tell whether a point's median TTFT and TPOT, each as the mean over repeats, hold the profile's limits."""
    ttft, tpot = (
        stats.estimate([run[key] for run in result.runs]).mean for key in ("median_ttft_ms", "median_tpot_ms")
    )
    return ttft <= load.ttft_limit_ms and tpot <= load.tpot_limit_ms


def _completed(results: Sequence[Result]) -> Check:
    failed = sum(int(run.get("failed", 0)) for result in results for run in result.runs)
    completed = sum(int(run["completed"]) for result in results for run in result.runs)
    return Check(
        name="batching.completed",
        title="Every request of the load was answered",
        status="fail" if failed or not completed else "pass",
        expected="0 failed requests",
        observed=f"{completed} answered, {failed} failed",
        fix="read the engine's log in the raw files; a preempted or aborted request names its cause there",
    )


def _limits(results: Sequence[Result], load: Batching) -> Check:
    good = [result.point.concurrency for result in results if within_limits(result, load)]
    over = [result.point.concurrency for result in results if not within_limits(result, load)]
    observed = f"held at concurrency {', '.join(map(str, good)) or 'none'}"
    return Check(
        name="batching.limits",
        title="Latency limits of the profile",
        status="warn" if over else "pass",
        expected=f"TTFT at most {load.ttft_limit_ms:g} ms and TPOT at most {load.tpot_limit_ms:g} ms (medians)",
        observed=observed + (f", exceeded at {', '.join(map(str, over))}" if over else ""),
        fix="serve fewer requests at a time (serving.max_num_seqs) or change batching.ttft_limit_ms, tpot_limit_ms",
    )


def _drive(plan: list[dict[str, object]], folder: Path, environment: Mapping[str, str], on_point: OnPoint) -> None:
    """Run the client over the plan; its chatter is kept in client.log."""
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "lib.engine.load_client", str(folder / "plan.json")]
    left = [str(entry["label"]) for entry in plan]
    with (
        (folder / "client.log").open("w") as log,
        subprocess.Popen(
            command, cwd=paths.ROOT, env=dict(environment), stdout=subprocess.PIPE, stderr=log, text=True
        ) as client,
    ):
        try:
            for line in client.stdout or ():
                told = json.loads(line)
                if "error" in told:
                    raise RunbookError(f"the load at {told['label']} failed: {told['error']}", where=_log(folder))
                left.remove(told["label"])
                on_point(told["label"])
        finally:
            client.terminate()
    if left:
        raise RunbookError(f"the load client stopped before {left[0]}: {_last_line(folder)}", where=_log(folder))


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
    saved = ["--save-result", "--result-dir", str(folder), "--result-filename", f"{label}.json"]
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


def _log(folder: Path) -> str:
    return paths.short(folder / "client.log")


def _last_line(folder: Path) -> str:
    lines = [line for line in (folder / "client.log").read_text().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
