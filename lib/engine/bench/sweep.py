"""Load an engine with vLLM's own benchmark client and turn its raw results into measurements.

Every operating point is warmed up before it counts (the first requests of a new batch size may still compile or
allocate), and repeats go round all points in turn, so that a slow drift of the machine meets all of them alike.
"""

import json
import shlex
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.engine.bench.client import LoadClient, OnPoint
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result


class Target(NamedTuple):
    """The served model that is loaded: its address, its name there, and the folder of its tokenizer."""

    base_url: str
    name: str
    tokenizer: Path


def run(
    target: Target,
    wanted: Sequence[Point],
    effort: Effort,
    folder: Path,
    client: LoadClient,
    on_point: OnPoint = lambda _: None,
) -> list[Result]:
    """Warm up and measure points, repeats in turn over all of them.

    Parameters
    ----------
    target : Target
        The served model.
    wanted : sequence of Point
        What is measured.
    effort : Effort
        Repeats, requests, warm-up, limits.
    folder : Path
        Where vLLM's JSON of each run is kept.
    client : LoadClient
        The load generator.
    on_point : callable
        Told after each run, with its label.

    Raises
    ------
    RunbookError
        The client could not run a point; the message carries its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = {point: [f"{point.label}-r{repeat}" for repeat in range(effort.repeats)] for point in wanted}
    plan = _warmups(target, wanted, effort, folder) + [
        {
            "label": runs[point][repeat],
            "arguments": _arguments(target, effort, point, repeat, folder, runs[point][repeat]),
        }
        for repeat in range(effort.repeats)
        for point in runs
    ]
    told = {entry["label"]: entry for entry in client.run(plan, folder, on_point)}
    results = []
    for point, labels in runs.items():
        files = [folder / f"{label}.json" for label in labels]
        read = [json.loads(file.read_text()) for file in files]
        shares = [told[label]["cpu_seconds"] / told[label]["seconds"] for label in labels]
        results.append(Result(point, read, files, _command(target, effort, point, folder), shares))
    return results


def _warmups(target: Target, wanted: Sequence[Point], effort: Effort, folder: Path) -> list[dict[str, object]]:
    if not effort.warmup_prompts:
        return []
    return [
        {
            "label": f"{point.label}-warm-up",
            "arguments": _common(
                target, point, effort, effort.warmup_prompts * point.concurrency, seed(folder, point, "warm-up")
            ),
        }
        for point in wanted
    ]


def _arguments(target: Target, effort: Effort, point: Point, repeat: int, folder: Path, label: str) -> list[str]:
    saved = ["--save-result", "--result-dir", paths.short(folder), "--result-filename", f"{label}.json"]
    if point.dataset:
        saved.append("--save-detailed")  # with the answers
    goodput = ["--goodput", f"ttft:{effort.ttft_limit_ms:g}", f"tpot:{effort.tpot_limit_ms:g}"]
    words = _common(target, point, effort, effort.requests(point), seed(folder, point, repeat))
    return [*words, *goodput, *saved]


def seed(folder: Path, point: Point, repeat: int | str) -> int:
    """Return a seed of its own for every run: the prefix cache shall not answer what an earlier one asked."""
    return zlib.crc32(f"{folder.name} {point.label} {repeat}".encode()) % 1_000_000


def _common(target: Target, point: Point, effort: Effort, prompts: int, number: int) -> list[str]:
    options: dict[str, object] = {
        "backend": "openai",
        "base-url": target.base_url,
        "endpoint": "/v1/completions",
        "model": target.name,
        "tokenizer": paths.short(target.tokenizer),
        **_dataset(point),
        "num-prompts": prompts,
        "max-concurrency": point.concurrency,
        "seed": number,
        "temperature": 0,
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": "50,95,99",
        "ready-check-timeout-sec": 0,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    words += [] if effort.natural_end else ["--ignore-eos"]
    if point.dataset:
        words.append("--disable-shuffle")
        # Random weights understand no template, and the tokenizer that stands in for theirs may have none.
        words += [] if effort.natural_end else ["--skip-chat-template"]
    return [*words, "--disable-tqdm"]


def _dataset(point: Point) -> dict[str, object]:
    if point.dataset:
        return {
            "dataset-name": "custom",
            "dataset-path": paths.short(point.dataset),
            "custom-output-len": point.output_tokens,
        }
    return {
        "dataset-name": "random",
        "random-input-len": point.input_tokens - point.prefix_tokens,
        "random-output-len": point.output_tokens,
        "random-prefix-len": point.prefix_tokens,
    }


def _command(target: Target, effort: Effort, point: Point, folder: Path) -> str:
    """Return the command that repeats a point by hand, against any port."""
    local = target._replace(base_url="http://127.0.0.1:8000")
    words = _common(local, point, effort, effort.requests(point), seed(folder, point, 0))
    return shlex.join(["vllm", "bench", "serve", *words])
