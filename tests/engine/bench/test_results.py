"""What becomes of the client's raw results: measurements with intervals, verdicts, and what is never made up."""

from typing import Any

import pytest

from lib.engine.bench import results
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result

EFFORT = Effort(repeats=3, prompts_per_slot=1, warmup_prompts=1, ttft_limit_ms=100, tpot_limit_ms=30)


def result(
    concurrency: int, throughput: list[float], ttft: float = 50, tpot: float = 20, failed: int = 0, goodput: float = 2
) -> Result:
    runs: list[dict[str, Any]] = [
        {
            "output_throughput": value,
            "request_goodput": goodput,
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
    return Result(Point(concurrency, 64, 32), runs, [], "vllm bench serve", [0.1])


def test_measurements_carry_interval_conditions_and_command() -> None:
    found = {m.name: m for m in results.measurements(result(4, [100, 110, 120]), server="tuned")}
    throughput = found["batching.output_throughput"]
    assert (throughput.value, throughput.n, throughput.unit) == (109.696, 3, "tok/s"), "the geometric mean"
    assert throughput.conditions == {"concurrency": 4, "input_tokens": 64, "output_tokens": 32, "server": "tuned"}
    assert throughput.interval is not None
    assert throughput.interval[0] < 109.696 < throughput.interval[1]
    assert throughput.provenance.command == "vllm bench serve"


@pytest.mark.parametrize(("concurrency", "told"), [(19, False), (20, True)])
def test_a_tail_is_told_only_where_there_are_enough_requests(concurrency: int, told: bool) -> None:
    found = {m.name: m.value for m in results.measurements(result(concurrency, [100, 110]))}
    assert ("batching.ttft_p95_ms" in found) is told
    assert found.get("batching.ttft_p95_ms", 75) == 75


def test_an_interval_does_not_reach_below_zero() -> None:
    throughput = results.measurements(result(4, [1, 300]))[0]
    assert throughput.interval is not None
    assert throughput.interval[0] >= 0


def test_no_answer_within_the_limits_is_a_goodput_of_zero() -> None:
    goodput = next(m for m in results.measurements(result(4, [1, 2], goodput=0)) if m.name.endswith("goodput"))
    assert (goodput.value, goodput.interval) == (0, (0, 0))


@pytest.mark.parametrize(("failed", "status"), [(0, "pass"), (1, "fail")])
def test_a_failed_request_fails_the_check(failed: int, status: str) -> None:
    assert results.completed([result(4, [100, 110, 120], failed=failed)], EFFORT).status == status


@pytest.mark.parametrize(("key", "value"), [("completed", 3), ("total_output_tokens", 127)])
def test_an_answer_cut_short_fails_the_check(key: str, value: int) -> None:
    short = result(4, [1, 2])
    short.runs[1][key] = value
    assert results.completed([short], EFFORT).status == "fail"


def test_no_answer_at_all_is_no_success() -> None:
    nothing = result(4, [1, 2])
    for run in nothing.runs:
        run["completed"] = 0
    assert results.completed([nothing], EFFORT).status == "fail"


@pytest.mark.parametrize(("ttft", "tpot", "status"), [(99, 29, "pass"), (101, 29, "fail"), (99, 31, "fail")])
def test_limits_are_the_owners(ttft: float, tpot: float, status: str) -> None:
    _, limits, _ = results.checks([result(4, [1, 2], ttft, tpot)], EFFORT)
    assert limits.status == status


def test_one_point_within_the_limits_is_enough_and_the_others_are_told() -> None:
    _, limits, _ = results.checks([result(4, [1, 2]), result(16, [1, 2], ttft=500)], EFFORT)
    assert (limits.status, limits.observed) == ("pass", "held at concurrency 4, exceeded at 16")


def test_points_of_several_lengths_are_told_apart() -> None:
    longer = result(4, [1, 2], ttft=500)._replace(point=Point(4, 512, 32))
    _, limits, _ = results.checks([result(4, [1, 2]), longer], EFFORT)
    assert limits.observed == "held at concurrency 4 (64 in, 32 out), exceeded at 4 (512 in, 32 out)"


@pytest.mark.parametrize(("share", "status"), [(0.2, "pass"), (0.95, "warn")])
def test_a_client_that_is_itself_the_limit_is_told(share: float, status: str) -> None:
    busy = result(32, [1, 2])._replace(client_cpu=[0.1, share])
    *_, client = results.checks([result(4, [1, 2]), busy], EFFORT)
    assert client.status == status
    assert "at concurrency 32" in client.observed
