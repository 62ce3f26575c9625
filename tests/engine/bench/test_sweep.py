"""The load: what is asked of vLLM's client, what becomes of its results, and what happens when it fails."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lib.chapters import batching
from lib.core.errors import RunbookError
from lib.core.profile import Batching
from lib.engine.bench import sweep
from lib.engine.bench.sweep import Point, Result, Target
from lib.engine.serve import command
from lib.engine.serve.server import Server

LOAD = Batching(
    concurrency=[1, 4],
    input_tokens=64,
    output_tokens=32,
    prompts_per_slot=1,
    repeats=3,
    ttft_limit_ms=100,
    tpot_limit_ms=30,
)


def result(concurrency: int, throughput: list[float], ttft: float = 50, tpot: float = 20, failed: int = 0) -> Result:
    runs: list[dict[str, Any]] = [
        {
            "output_throughput": value,
            "median_ttft_ms": ttft,
            "median_tpot_ms": tpot,
            "p95_ttft_ms": ttft * 1.5,
            "p95_tpot_ms": tpot * 1.5,
            "completed": concurrency,
            "total_output_tokens": 32 * concurrency,
            "failed": failed,
        }
        for value in throughput
    ]
    return Result(Point(concurrency, 64, 32), runs, [], "vllm bench serve")


def test_measurements_carry_interval_conditions_and_command() -> None:
    found = {m.name: m for m in sweep.measurements(result(4, [100, 110, 120]))}
    throughput = found["batching.output_throughput"]
    assert (throughput.value, throughput.n, throughput.unit) == (109.696, 3, "tok/s"), "the geometric mean"
    assert throughput.conditions == {"concurrency": 4, "input_tokens": 64, "output_tokens": 32}
    assert throughput.interval is not None
    assert throughput.interval[0] < 109.696 < throughput.interval[1]
    assert throughput.provenance.command == "vllm bench serve"


@pytest.mark.parametrize(("concurrency", "told"), [(19, False), (20, True)])
def test_a_tail_is_told_only_where_there_are_enough_requests(concurrency: int, told: bool) -> None:
    found = {m.name: m.value for m in sweep.measurements(result(concurrency, [100, 110]))}
    assert ("batching.ttft_p95_ms" in found) is told
    assert found.get("batching.ttft_p95_ms", 75) == 75


def test_an_interval_does_not_reach_below_zero() -> None:
    throughput = sweep.measurements(result(4, [1, 300]))[0]
    assert throughput.interval is not None
    assert throughput.interval[0] == 0


@pytest.mark.parametrize(("failed", "status"), [(0, "pass"), (1, "fail")])
def test_a_failed_request_fails_the_check(failed: int, status: str) -> None:
    completed, _ = sweep.checks([result(4, [1, 2], failed=failed)], LOAD)
    assert completed.status == status


@pytest.mark.parametrize(("key", "value"), [("completed", 3), ("total_output_tokens", 127)])
def test_an_answer_cut_short_fails_the_check(key: str, value: int) -> None:
    short = result(4, [1, 2])
    short.runs[1][key] = value
    assert sweep.checks([short], LOAD)[0].status == "fail"


def test_no_answer_at_all_is_no_success() -> None:
    nothing = result(4, [1, 2])
    for run in nothing.runs:
        run["completed"] = 0
    assert sweep.checks([nothing], LOAD)[0].status == "fail"


@pytest.mark.parametrize(("ttft", "tpot", "status"), [(99, 29, "pass"), (101, 29, "fail"), (99, 31, "fail")])
def test_limits_are_the_owners(ttft: float, tpot: float, status: str) -> None:
    _, limits = sweep.checks([result(4, [1, 2], ttft, tpot)], LOAD)
    assert limits.status == status


def test_one_point_within_the_limits_is_enough_and_the_others_are_told() -> None:
    _, limits = sweep.checks([result(4, [1, 2]), result(16, [1, 2], ttft=500)], LOAD)
    assert (limits.status, limits.observed) == ("pass", "held at concurrency 4, exceeded at 16")


def test_the_decision_takes_the_smallest_point_that_is_as_good_as_the_best() -> None:
    results = [
        result(1, [100, 100]),
        result(4, [300, 320, 310]),
        result(8, [311, 312, 313]),
        result(16, [900, 901], ttft=500),
    ]
    found = [m for r in results for m in sweep.measurements(r)]
    decision = batching.decide(results, found, LOAD)
    assert decision.choice == "Up to 4 requests at a time"
    assert "3.1 times" in decision.reason


def test_the_decision_says_when_nothing_holds() -> None:
    results = [result(1, [100, 100], ttft=500)]
    found = [m for r in results for m in sweep.measurements(r)]
    assert "No measured concurrency" in batching.decide(results, found, LOAD).choice


def test_figures_show_every_point() -> None:
    results = [result(1, [100, 101]), result(4, [300, 320])]
    found = [m for r in results for m in sweep.measurements(r)]
    assert list(batching.throughput_figure(found).figure.data[0].x) == [1, 4]
    assert len(batching.latency_figure(found, LOAD).figure.data) == 4


def test_a_load_that_cannot_run_is_one_error_with_its_cause(tmp_path: Path) -> None:
    target = Target("http://127.0.0.1:9", "nobody", tmp_path / "no-tokenizer")
    with pytest.raises(RunbookError, match="the load at c1-warm-up failed") as caught:
        sweep.run(target, LOAD, tmp_path / "bench", {**os.environ, "HF_HUB_OFFLINE": "1"})
    assert "client.log" in caught.value.where
    plan = json.loads((tmp_path / "bench" / "plan.json").read_text())
    assert [entry["label"] for entry in plan] == [
        "c1-warm-up", "c4-warm-up", "c1-r0", "c4-r0", "c1-r1", "c4-r1", "c1-r2", "c4-r2",
    ]  # fmt: skip
    assert all("--ignore-eos" in entry["arguments"] for entry in plan)
    seeds = [entry["arguments"][entry["arguments"].index("--seed") + 1] for entry in plan]
    assert len(set(seeds)) == len(seeds), "no run repeats another's prompts, which the prefix cache would answer"


def test_a_client_that_dies_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.engine.bench.sweep.sys.executable", "/bin/false")
    with pytest.raises(RunbookError, match="stopped before c1-warm-up"):
        sweep.run(Target("http://127.0.0.1:9", "x", tmp_path), LOAD, tmp_path / "bench", dict(os.environ))


@pytest.mark.engine
def test_a_real_load_is_answered_in_full_and_kept(engine: Server, tmp_path: Path) -> None:
    load = Batching(concurrency=[2], input_tokens=32, output_tokens=8, prompts_per_slot=1, repeats=2)
    told: list[str] = []
    target = Target(engine.url, engine.model.name, engine.folder)
    environment = command.inherited() | command.caches() | {"HF_HUB_OFFLINE": "1"}
    results = sweep.run(target, load, tmp_path / "load", environment, told.append)
    assert told == ["c2-warm-up", "c2-r0", "c2-r1"]
    assert next(check.status for check in sweep.checks(results, load)) == "pass"
    assert all(json.loads(file.read_text())["completed"] == 2 for file in results[0].files)
    assert {m.unit for m in sweep.measurements(results[0])} == {"tok/s", "ms"}
