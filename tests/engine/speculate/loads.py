"""Results of a load, made up: what vLLM's client would have written."""

from pathlib import Path
from typing import Any

from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.speculate import workloads

TEXTS = ("alpha", "beta", "gamma", "delta")


def run(
    throughput: float = 100.0,
    tpot: float = 10.0,
    texts: tuple[str, ...] = TEXTS,
    drafts: int = 0,
    accepted: int = 0,
    rates: tuple[float, ...] = (),
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "output_lens": [32] * len(texts),
        "itls": [[1 / throughput] * 31] * len(texts),
        "output_throughput": throughput,
        "mean_tpot_ms": tpot,
        "median_tpot_ms": tpot,
        "median_ttft_ms": 50.0,
        "request_goodput": 1.0,
        "completed": len(texts),
        "failed": 0,
        "total_output_tokens": 32 * len(texts),
        "generated_texts": list(texts),
    }
    if drafts:
        told |= {
            "spec_decode_num_drafts": drafts,
            "spec_decode_draft_tokens": 4 * drafts,
            "spec_decode_accepted_tokens": accepted,
            "spec_decode_per_position_acceptance_rates": list(rates),
        }
    return told


def result(concurrency: int, *runs: dict[str, Any], workload: str = "code", files: tuple[Path, ...] = ()) -> Result:
    return Result(
        Point(concurrency, 0, 32, dataset=workloads.path(workload)), list(runs), list(files), "vllm bench serve"
    )
