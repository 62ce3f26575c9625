"""Test data: two runs with everything that a comparison tells. Their numbers are made up."""

import json
from pathlib import Path

from lib.core import evidence
from lib.core.evidence import Check, Decision, Measurement, Provenance, Record, Status
from lib.core.state import ChapterState, RunState

HOSTILE = "<script>document.title=1</script>"


def build(base: Path) -> tuple[Path, Path]:
    """Write both runs and return their folders, A before and B after."""
    before = _run(base / "before", "vllm 0.32.0", "pass", "defaults", 1.0)
    after = _run(base / "after", "vllm 0.33.0", "fail", f"tuned {HOSTILE}", 1.3)
    evidence.append(before / "evidence.jsonl", [_number("old.latency", 3, "s", 0.1)])
    evidence.append(
        after / "evidence.jsonl", [_number("new.latency", 4, "s", 0.1), Check(name="new.one", status="warn")]
    )
    return before, after


def _run(folder: Path, engine: str, smoke: Status, choice: str, factor: float) -> Path:
    folder.mkdir(parents=True)
    records: list[Record] = [
        Check(name="serving.smoke", status=smoke),
        Decision(name="tuner.configuration", choice=choice, reason="measured", evidence=[]),
        _number("batching.output_throughput", 400 * factor, "tok/s", 12, "Output throughput", {"concurrency": 32}),
        _number("batching.median_ttft_ms", 80 * factor, "ms", 4, "TTFT, median", {"concurrency": 32}),
        _number("batching.median_itl_ms", 20 + factor, "ms", 4, "ITL, median", {"concurrency": 32}),
        _number("tuner.tokens", 1000 * factor, "tokens", 10),
        _number("swap.extreme", 1 if factor == 1 else 900, "1/s", 0.5),
        _number("fits.plain", 7 * factor, "GiB", None),
    ]
    evidence.append(folder / "evidence.jsonl", records)
    state = RunState(
        id=folder.name, profile="embedded", mode="plan", started="2026-11-24T19:30:48Z", complete=factor == 1,
        chapters=[ChapterState(id="06", title="Batching", status="passed", stem="06")], host={"vllm": engine},
    )  # fmt: skip
    (folder / "run.json").write_text(json.dumps(state.model_dump(mode="json", by_alias=True)))
    return folder


def _number(
    name: str, value: float, unit: str, half: float | None, title: str = "", conditions: dict[str, int] | None = None
) -> Measurement:
    return Measurement(
        name=name, title=title, value=value, unit=unit, conditions=dict(conditions or {}),
        interval=None if half is None else (value - half, value + half), provenance=Provenance(model="qwen3-30b-a3b"),
    )  # fmt: skip
