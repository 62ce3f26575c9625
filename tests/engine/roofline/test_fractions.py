"""Operating points against their limits: the share, what bounds it, and a share that cannot be."""

from pathlib import Path

import pytest
from rooflines import facts, result

from lib.engine.bench.point import Point
from lib.engine.models import catalogue
from lib.engine.roofline import fractions, limits

SMALL = catalogue.get("smollm2-135m")
WEIGHTS = 269_030_016  # bytes a step
ALONE = Point(1, 64, 32)


def steps() -> list[fractions.Step]:
    return fractions.steps(SMALL, [result(ALONE, [40, 40], [100, 100])], facts())


def test_the_limit_of_one_request_is_reading_the_weights() -> None:
    prefill, decode = steps()
    assert (prefill.phase, decode.phase) == ("prefill", "decode")
    assert decode.weights_s == pytest.approx(WEIGHTS / 20e9)
    assert decode.kv_s == pytest.approx(80 * 23_040 / 20e9)  # half of the answer stands in the cache, on average
    assert decode.bound == "memory"
    assert decode.fraction == pytest.approx((WEIGHTS + 80 * 23_040) / 20e9 / 0.040)
    assert prefill.fraction < 1


def test_many_requests_are_bound_by_arithmetic() -> None:
    busy = fractions.steps(SMALL, [result(Point(256, 64, 32), [500, 500], [100, 100])], facts())
    assert busy[1].bound == "compute"
    assert busy[1].fraction == pytest.approx(busy[1].work.operations / 2e11 / 0.5)


def test_every_record_tells_what_is_measured_and_what_is_derived() -> None:
    found = fractions.measurements(steps(), "bfloat16")
    shares = [m for m in found if m.name == "roofline.fraction"]
    assert [m.conditions["phase"] for m in shares] == ["prefill", "decode"]
    for m in shares:
        assert m.unit == ""
        assert m.interval
        assert m.conditions["concurrency"] == 1
        assert "measured: median" in m.method
        assert "Derived:" in m.method
    parts = [m.conditions["part"] for m in found if m.name == "roofline.minimum_ms"]
    assert parts == ["weights", "kv", "compute"] * 2
    assert all(m.method.startswith("derived:") for m in found if m.name == "roofline.minimum_ms")


def test_experts_are_told_to_be_an_expectation() -> None:
    mixture = fractions.steps(
        catalogue.get("qwen3-30b-a3b"), [result(Point(8, 64, 32), [40, 40], [100, 100])], facts(read=(4e12, 4e12))
    )
    weights = next(m for m in fractions.measurements(mixture, "bfloat16") if m.conditions.get("part") == "weights")
    assert "equally likely" in weights.method


def test_a_share_within_its_limit_passes() -> None:
    check = fractions.plausible(steps())
    assert check.status == "pass"
    assert "at most 0.69, prefill at concurrency 1" in check.observed


def test_a_share_above_its_limit_fails_and_names_the_point() -> None:
    wrong = fractions.steps(SMALL, [result(ALONE, [10, 10], [100, 100])], facts())
    check = fractions.plausible(wrong)
    assert check.status == "fail"
    assert "decode at concurrency 1, input tokens 64, output tokens 32: 1.3" in check.observed
    assert "quiet machine" in check.fix


def test_a_bandwidth_that_is_too_low_by_half_is_found() -> None:
    honest = fractions.steps(SMALL, [result(ALONE, [18, 18], [100, 100])], facts())
    damaged = fractions.steps(SMALL, [result(ALONE, [18, 18], [100, 100])], facts(read=(10e9, 10e9)))
    assert (fractions.plausible(honest).status, fractions.plausible(damaged).status) == ("pass", "fail")


def test_nothing_measured_is_skipped_and_never_silent() -> None:
    assert fractions.plausible([]).status == "skip"
    assert fractions.steps(SMALL, [result(ALONE, [40, 40], [100, 100])], facts(bfloat16=0)) == []
    unanswered = fractions.steps(SMALL, [result(ALONE, [0, 40], [100, 100])], facts())
    assert [step.phase for step in unanswered] == ["prefill"]


def test_prompts_from_a_file_have_the_length_that_was_sent(tmp_path: Path) -> None:
    point = Point(1, 0, 32, dataset=tmp_path / "code.jsonl")
    sent = fractions.steps(SMALL, [result(point, [40, 40], [90, 90], total_input_tokens=4 * 500)], facts())
    assert sent[1].work.kv == (500 + 16) * 23_040


def test_a_shared_prefix_is_not_computed() -> None:
    whole, cached = (
        fractions.steps(SMALL, [result(Point(1, 512, 32, prefix), [40, 40], [500, 500])], facts())[0]
        for prefix in (0, 384)
    )
    assert cached.compute_s < whole.compute_s / 3


def test_eight_bits_are_computed_in_eight_bits_where_the_card_can() -> None:
    narrow = catalogue.get("qwen3-30b-a3b-fp8")
    assert limits.computes_in(narrow, facts(float8=4e11)) == "float8_e4m3fn"
    assert limits.computes_in(narrow, facts()) == "bfloat16"
    assert limits.computes_in(catalogue.get("gpt-oss-20b"), facts(float8=4e11)) == "bfloat16"
    assert limits.rate(narrow, facts(float8=4e11)) == 4e11


def test_the_h200_measurement_of_the_lab_comes_out() -> None:
    """As measured in the lab: 4,176 GB/s read, TPOT 4.18 ms for one stream of Qwen3-30B-A3B: 35 % of the limit."""
    lab = facts(read=(4176e9, 4176e9), bfloat16=803e12)
    seen = fractions.steps(catalogue.get("qwen3-30b-a3b"), [result(Point(1, 512, 128), [4.18] * 2, [34] * 2)], lab)
    assert 1000 * seen[1].weights_s == pytest.approx(1.46, abs=0.005)
    assert seen[1].fraction == pytest.approx(0.35, abs=0.01)
