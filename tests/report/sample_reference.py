"""Test data: finished runs on a machine with a card that does not exist, and bundles of them. Numbers mean nothing."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.core import evidence
from lib.core.evidence import AnyRecord, Artifact, Check, Measurement, Provenance
from lib.core.state import ChapterState, RunState
from lib.report import bundle

NAME = "sample-2026-11-01"
HOME = "/srv-of-somebody/checkout"
HOST = {
    "cpu": "Sample CPU × 16",
    "memory": "252 GiB",
    "kernel": "6.8.0",
    "gpus": "Sample H999",
    "nvidia_driver": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Release Build",
    "python": "3.12.3",
    "vllm": "vllm 0.26.0",
    "torch": "2.11.0",
}
LOG = f"""\
(APIServer pid=7) INFO 11-01 10:00:01 [model.py:1] Resolved architecture: Qwen3MoeForCausalLM
(APIServer pid=7) INFO 11-01 10:00:01 [x.py:1] something that decides nothing
(EngineCore pid=8) INFO 11-01 10:00:02 [core.py:1] Initializing a V1 LLM engine (v0.26.0) with: dtype=torch.bfloat16
(EngineCore pid=8) INFO 11-01 10:00:03 [cuda.py:1] Using FLASH_ATTN attention backend out of potential backends: ['A']
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00,  2.02it/s]
(EngineCore pid=8) WARNING 11-01 10:00:04 [moe.py:1] no file {HOME}/.venv/lib/python3.12/site-packages/vllm/x.json
(EngineCore pid=9) WARNING 11-01 10:00:05 [moe.py:1] no file {HOME}/.venv/lib/python3.12/site-packages/vllm/x.json
(EngineCore pid=8) INFO 11-01 10:00:06 [kv.py:1] GPU KV cache size: 763,040 tokens
"""


def run(
    folder: Path,
    model: str = "qwen3-30b-a3b",
    hour: int = 10,
    complete: bool = True,
    points: tuple[tuple[int, float], ...] = ((1, 224.0), (64, 2915.0), (256, 5725.0)),
    lengths: tuple[int, int] = (512, 128),
    **host: str,
) -> Path:
    """Write the folder of a finished run: throughput over concurrency, with raw files, and what is slow to wait for."""
    artifacts = folder / "artifacts"
    for name in ("05_serving", "06_batching/load"):
        (artifacts / name).mkdir(parents=True)
    (artifacts / "05_serving" / "engine.log").write_text(LOG)
    (artifacts / "06_batching" / "client.log").write_text("WARNING 11-01 10:00:00 nothing of the engine\n")
    (artifacts / "06_batching" / "load" / "plan.json").write_text("[]")
    log = Artifact(
        path="artifacts/05_serving/engine.log", sha256=evidence.sha256(artifacts / "05_serving" / "engine.log")
    )
    records: list[AnyRecord] = [
        Check(
            name="serving.start",
            status="pass",
            observed=f"ready, log in {HOME}/runbook/runs/x/engine.log and /tmp/somewhere/else.log",
            provenance=_provenance("05", model, hour, [log], command=f"{HOME}/.venv/bin/python -m vllm --port 8000"),
        ),
        Measurement(
            name="serving.ready_seconds", title="Ready", value=168, unit="s", provenance=_provenance("05", model, hour)
        ),
        Measurement(
            name="roofline.bandwidth",
            title="Memory bandwidth, read",
            value=4176,
            unit="GB/s",
            conditions={"kind": "read", "device": (HOST | host)["gpus"]},
            provenance=_provenance("06", "", hour),
        ),
    ]
    for concurrency, value in points:
        path = artifacts / "06_batching" / "load" / f"c{concurrency}.json"
        path.write_text(json.dumps(result(value)))
        records.append(
            Measurement(
                name="batching.output_throughput",
                title="Output throughput",
                value=value,
                unit="tok/s",
                n=3,
                interval=(value * 0.98, value * 1.02),
                conditions={"concurrency": concurrency, "input_tokens": lengths[0], "output_tokens": lengths[1]},
                provenance=_provenance(
                    "06",
                    model,
                    hour,
                    [Artifact(path=f"artifacts/06_batching/load/c{concurrency}.json", sha256=evidence.sha256(path))],
                ),
            )
        )
    evidence.append(folder / "evidence.jsonl", records)
    state = RunState(
        id=f"2026-11-01T{hour:02}-00-00-h200",
        profile="h200",
        mode="plan",
        started=datetime(2026, 11, 1, hour, tzinfo=UTC),
        seconds=600,
        chapters=[ChapterState(id=i, title=i, stem=i, status="passed") for i in ("05", "06")],
        checks={"pass": 1},
        complete=complete,
        overrides={"models.served": model, "models.store": "/mnt/elsewhere/models"},
        host=HOST | host,
    )
    (folder / "run.json").write_text(state.model_dump_json(by_alias=True))
    return folder


def result(value: float) -> dict[str, Any]:
    """Return what vLLM's benchmark writes, with everything that a bundle leaves out."""
    return {
        "tokenizer_id": f"{HOME}/.cache/models/qwen",
        "model_id": "qwen",
        "duration": 10.0,
        "completed": 128,
        "output_throughput": value,
        "percentiles": [1, 2, 3],
        "ttfts": [0.1] * 3,
        "queue_times": [0.1],
        "generated_texts": ["private"],
        "new_list_of_a_later_version": [0.5] * 500,
    }


def bundles(folder: Path) -> Path:
    """Write one bundle of two runs below a folder of bundles and return that folder."""
    runs = [
        run(folder / "runs" / "1"),
        run(folder / "runs" / "2", "gpt-oss-120b", hour=12, points=((1, 219.0), (4, 700.0), (64, 2100.0))),
    ]
    bundle.write(runs, NAME, folder / "reference")
    return folder / "reference"


def _provenance(
    chapter: str, model: str, hour: int, artifacts: list[Artifact] | None = None, command: str = ""
) -> Provenance:
    return Provenance(
        chapter=chapter,
        host="0123456789ab",
        engine="vllm 0.26.0",
        model=model,
        weights="random" if model else "",
        command=command,
        artifacts=artifacts or [],
        time=datetime(2026, 11, 1, hour, tzinfo=UTC),
    )
