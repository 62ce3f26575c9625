"""The roofline's section of chapter 06, without an engine: what it records and draws, and what it says if it cannot."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lib.chapters import roofline
from lib.chapters.fleet import Fleet
from lib.core.chapter import Chapter, open_chapter
from lib.core.errors import RunbookError
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.models import catalogue
from lib.engine.roofline import capture, fractions, limits, trace
from lib.engine.roofline.probe import Facts, Series
from lib.engine.serve.variant import Variant

CPU_TRACE = Path(__file__).parents[1] / "engine" / "roofline" / "cpu_decode_vllm_0.32.json.gz"
FACTS = Facts(
    torch="2.13.0",
    device="2 CPUs, AVX512",
    threads=2,
    cache_bytes=1 << 25,
    buffer_bytes=1 << 28,
    square=2048,
    series=[
        Series(kind="read", name="amax", rates=[20e9, 21e9]),
        Series(kind="copy", name="copy", rates=[18e9, 19e9]),
        Series(kind="matmul", name="bfloat16", rates=[2e11, 2.1e11]),
        Series(kind="matmul", name="float32", rates=[1e11, 1e11]),
    ],
)


def chapter(run: Path, **fields: object) -> Chapter:
    given = {"serving.dtype": "bfloat16"} | {key.replace("__", "."): value for key, value in fields.items()}
    return open_chapter("06", "embedded", "plan", str(run), given)


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "measure", lambda _: FACTS)


def results(opened: Chapter) -> list[Result]:
    raw = opened.save("load/c1.json", "{}")
    runs = [{"completed": 1, "total_input_tokens": 64, "median_tpot_ms": 25.0, "median_ttft_ms": 90.0}] * 2
    return [Result(Point(at, 64, 32), runs, [raw], "vllm bench serve") for at in (1, 4)]


def test_the_whole_section(tmp_path: Path) -> None:
    opened = chapter(tmp_path)
    facts = roofline.measure(opened)
    steps = roofline.record(opened, results(opened), facts)
    assert {check.name: check.status for check in opened.checks()} == {
        "roofline.probe": "pass",
        "roofline.quiet": "pass",
        "roofline.bfloat16": "pass",
        "roofline.plausible": "pass",
    }
    names = [m.name for m in opened.measurements("roofline.")]
    assert names.count("roofline.bandwidth") == 2
    assert names.count("roofline.matmul") == 2
    assert names.count("roofline.fraction") == 4
    assert names.count("roofline.minimum_ms") == 12
    for m in opened.measurements("roofline."):
        assert m.provenance.artifacts, f"{m.name} names no raw file"
        assert m.method
    assert opened.measurements("roofline.fraction")[0].provenance.model == "smollm2-135m"
    asked = opened.profile.roofline.seconds
    assert f"cpu {asked:g}" in opened.measurements("roofline.bandwidth")[0].provenance.command
    roof = roofline.figure(steps, facts, roofline.served(opened))
    parts = roofline.minimum(steps)
    assert "Roofline: 21 GB/s and 0.21 TFLOP/s in bfloat16 are measured" in repr(roof)
    assert "least time of a decode step" in repr(parts)
    drawn: Any = roof
    traces = {item.name: item for item in drawn.figure.data}
    assert set(traces) == {"measured roof", "decode", "prefill"}
    assert len(traces["decode"].x) == 2
    for x, y in zip(traces["decode"].x, traces["decode"].y, strict=True):
        assert y <= min(210, 21 * x), "below the roof"
    assert "21" in repr(roofline.show(opened))


def test_raw_limits_are_kept(tmp_path: Path) -> None:
    opened = chapter(tmp_path)
    roofline.measure(opened)
    kept = json.loads((opened.artifacts / "roofline-limits.json").read_text())
    assert Facts.model_validate(kept) == FACTS


def test_a_probe_that_fails_leaves_one_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "measure", lambda _: Facts(failure="killed by signal 9"))
    opened = chapter(tmp_path)
    facts = roofline.measure(opened)
    steps = roofline.record(opened, results(opened), facts)
    assert steps == []
    told = {check.name: check.status for check in opened.checks()}
    assert told == {"roofline.probe": "fail", "roofline.plausible": "skip"}
    assert "nothing to show" in repr(roofline.figure(steps, facts, roofline.served(opened)))
    assert "nothing to show" in repr(roofline.minimum(steps))


def test_a_load_that_failed_is_a_skip(tmp_path: Path) -> None:
    opened = chapter(tmp_path)
    assert roofline.record(opened, [], roofline.measure(opened)) == []
    assert opened.checks("roofline.plausible")[0].status == "skip"


def test_a_cache_type_of_unknown_size_is_a_skip(tmp_path: Path) -> None:
    opened = chapter(tmp_path, serving__kv_cache_dtype="turboquant_4bit_nc")
    assert roofline.record(opened, results(opened), FACTS) == []
    (check,) = opened.checks("roofline.plausible")
    assert check.status == "skip"
    assert "turboquant_4bit_nc" in check.observed


def test_a_speed_that_cannot_be_fails(tmp_path: Path) -> None:
    opened = chapter(tmp_path)
    fast = [result._replace(runs=[{**run, "median_tpot_ms": 5.0} for run in result.runs]) for result in results(opened)]
    roofline.record(opened, fast, FACTS)
    assert opened.checks("roofline.plausible")[0].status == "fail"


def test_a_model_served_in_float32_reads_twice_as_much(tmp_path: Path) -> None:
    wide = roofline.served(chapter(tmp_path, serving__dtype="float32"))
    (narrow_step, wide_step) = (
        fractions.steps(model, results(chapter(tmp_path)), FACTS)[1] for model in (catalogue.get(wide.name), wide)
    )
    assert wide_step.weights_s == 2 * narrow_step.weights_s
    assert limits.computes_in(wide, FACTS) == "float32"


class FakeFleet:
    """A fleet whose profiled server is a stand-in, or was refused at the gate."""

    def __init__(self, engine: object) -> None:
        self.engine, self.asked, self.stopped = engine, [], []  # type: Any, list[Variant], list[Variant]

    def use(self, variant: Variant) -> object:
        self.asked.append(variant)
        return self.engine

    def stop(self, variant: Variant) -> None:
        self.stopped.append(variant)


def engine(tmp_path: Path) -> Any:
    return SimpleNamespace(
        url="http://127.0.0.1:9",
        model=catalogue.get("smollm2-135m"),
        log=tmp_path / "engine.log",
        command="python -m vllm --profiler-config {}",
    )


def as_fleet(fake: object) -> Fleet:
    return cast(Fleet, fake)


def test_losses_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    opened, fleet = chapter(tmp_path), FakeFleet(None)
    roofline.losses(opened, as_fleet(fleet), FACTS)
    (check,) = opened.checks("roofline.losses")
    assert check.status == "skip"
    assert check.fix == "--set roofline.losses=true"
    assert fleet.asked == []


def test_losses_are_named_from_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_engine: object, folder: Path) -> capture.Profiled:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "rank0.1.pt.trace.json.gz"
        kept.write_bytes(CPU_TRACE.read_bytes())
        return capture.Profiled(kept, 38, 24, 24.0, 30.0)

    monkeypatch.setattr(capture, "run", run)
    opened, fleet = chapter(tmp_path, roofline__losses=True), FakeFleet(engine(tmp_path))
    shown = roofline.losses(opened, as_fleet(fleet), FACTS)
    assert "dense projections" in repr(shown)
    (variant,) = fleet.asked
    assert fleet.stopped == [variant]
    assert variant.flags[0] == "--profiler-config"
    assert json.loads(variant.flags[1])["profiler"] == "torch"
    (check,) = opened.checks("roofline.losses")
    assert check.status == "pass"
    losses = opened.measurements("roofline.loss")
    assert {m.unit for m in losses} == {"ms"}
    assert {m.conditions["class"] for m in losses} >= {"idle", "dense projections", "lm_head", "attention"}
    assert opened.measurements("roofline.step_ms")[0].baseline == 24.0
    kept = [artifact.path for artifact in check.provenance.artifacts]
    assert kept == ["artifacts/06_batching/roofline-kernels.json", "artifacts/06_batching/roofline-trace.json.gz"]
    assert len(trace.read(opened.artifacts / "roofline-trace.json.gz").steps) == 3
    assert not (opened.artifacts / "profiler").exists(), "the profiler's own file names this machine's folders"


def test_a_profiler_that_fails_is_one_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RunbookError("/start_profile was refused: HTTP 404", where="http://127.0.0.1:9", fix="start it otherwise")

    monkeypatch.setattr(capture, "run", refuse)
    opened, fleet = chapter(tmp_path, roofline__losses=True), FakeFleet(engine(tmp_path))
    roofline.losses(opened, as_fleet(fleet), FACTS)
    (check,) = opened.checks("roofline.losses")
    assert check.status == "fail"
    assert "HTTP 404" in check.observed
    assert len(fleet.stopped) == 1, "the server does not stay"


def test_a_server_that_the_gate_refused_is_not_profiled(tmp_path: Path) -> None:
    opened = chapter(tmp_path, roofline__losses=True)
    assert "failed check" in roofline.losses(opened, as_fleet(FakeFleet(None)), FACTS).markup
    assert opened.checks("roofline.losses") == []
