"""Chapter 06 without an engine: what is decided from what was measured, what is drawn, what the tuner writes."""

from pathlib import Path
from typing import Any

import pytest

from lib.chapters import batching, tuner
from lib.chapters import batching_figures as figures
from lib.chapters.fleet import Fleet
from lib.chapters.tuner import Tuning
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Measurement
from lib.core.sections import Batching
from lib.engine.bench import results as verdicts
from lib.engine.bench.compare import compare
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.serve.variant import OWN
from lib.engine.tune.search import Outcome

LOAD = Batching(
    concurrency=[1, 4], input_tokens=64, output_tokens=32, prompts_per_slot=1, ttft_limit_ms=100, tpot_limit_ms=30
)


def result(concurrency: int, throughput: list[float], ttft: float = 50, tpot: float = 20) -> Result:
    runs: list[dict[str, Any]] = [
        {
            "output_throughput": value,
            "request_goodput": value / 32,
            "median_ttft_ms": ttft,
            "median_tpot_ms": tpot,
            "p95_ttft_ms": ttft,
            "p95_tpot_ms": tpot,
            "completed": concurrency,
        }
        for value in throughput
    ]
    return Result(Point(concurrency, 64, 32), runs, [], "vllm bench serve")


def measured(*results: Result) -> list[Measurement]:
    return [m for one in results for m in verdicts.measurements(one)]


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return open_chapter("06", "embedded", "plan", str(tmp_path), {"tuner.starts": 3, "tuner.pairs": 2})


def test_the_decision_takes_the_smallest_point_that_is_as_good_as_the_best() -> None:
    results = [
        result(1, [100, 100]),
        result(4, [300, 320, 310]),
        result(8, [311, 312, 313]),
        result(16, [900, 901], ttft=500),
    ]
    decision = batching.decide(results, measured(*results), LOAD)
    assert decision.choice == "Up to 4 requests at a time"
    assert "3.1 times" in decision.reason


def test_the_decision_says_when_nothing_holds_or_nothing_was_measured() -> None:
    results = [result(1, [100, 100], ttft=500)]
    assert "No measured concurrency" in batching.decide(results, measured(*results), LOAD).choice
    nothing = batching.decide([], [], LOAD, ["serving.start"])
    assert (nothing.choice, nothing.evidence) == ("Nothing is decided", ["serving.start"])


@pytest.mark.parametrize(
    ("speeds", "full"), [((100, 300, 310, 312), 4), ((100, 200, 300, 400), None), ((100, 99, 98, 97), 1)]
)
def test_saturation_is_where_more_requests_give_no_more(speeds: tuple[float, ...], full: int | None) -> None:
    found = measured(*(result(2**n, [speed, speed * 1.001]) for n, speed in zip((0, 2, 3, 4), speeds, strict=True)))
    assert figures.saturation(found) == full


def test_figures_show_every_point() -> None:
    found = measured(result(1, [100, 101]), result(4, [300, 320]))
    throughput = figures.throughput_figure(found)
    assert list(throughput.figure.data[0].x) == [1, 4]
    assert len(figures.latency_figure(found, LOAD).figure.data) == 4
    assert len(figures.pareto_figure(found).figure.data[0].x) == 2


def test_the_front_leaves_out_what_another_point_beats_in_both() -> None:
    found = measured(result(1, [100, 100], tpot=10), result(4, [90, 90], tpot=20), result(8, [300, 300], tpot=25))
    front = figures.pareto_figure(found).figure.data[1]
    assert sorted(front.y) == [100, 300]


def test_without_measurements_the_figures_say_so() -> None:
    for drawn in (figures.throughput_figure([]), figures.latency_figure([], LOAD), figures.pareto_figure([])):
        assert "Nothing was measured" in drawn.markup


def searched(chapter: Chapter, monkeypatch: pytest.MonkeyPatch, goodput: dict[str, float]) -> Tuning:
    """A search whose servers are a table: label to goodput; what is not in it gives 1."""
    tuning = Tuning(chapter, Fleet(chapter))
    tuning.fleet.room = 1
    monkeypatch.setattr(tuning.fleet, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(tuning, "_goodput", lambda variant, _name, repeats: [goodput.get(variant.label, 1.0)] * repeats)
    tuning.run()
    return tuning


def test_the_tuner_counts_the_defaults_as_a_start_and_tries_the_profile_first(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = searched(chapter, monkeypatch, {OWN.label: 5.0, "defaults": 2.0})
    assert tuning.variant(tuning.trials[0].params) == OWN
    (starts,) = chapter.measurements("tuner.starts")
    assert (starts.value, starts.conditions["space"]) == (3, 24)
    assert len(chapter.measurements("tuner.goodput")) == 3


@pytest.mark.parametrize(("defaults", "choice"), [(2.0, "instead of vLLM's defaults"), (5.0, "vLLM's defaults stay")])
def test_the_verdict_may_be_that_the_defaults_stay(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch, defaults: float, choice: str
) -> None:
    tuning = searched(chapter, monkeypatch, {OWN.label: 5.0, "defaults": defaults})
    verdict = tuning.judge()
    assert verdict is not None
    (gain,) = chapter.measurements("tuner.gain")
    assert gain.value == pytest.approx(5.0 / defaults)
    assert gain.interval is not None
    assert [check.status for check in tuner.verify(tuning, verdict)] == ["pass"]
    assert choice in tuner.decide(tuning, verdict).choice


def test_nothing_is_judged_where_nothing_passed_the_gate(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = Tuning(chapter, Fleet(chapter))
    monkeypatch.setattr(tuning.fleet, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(tuning, "_outcome", lambda *_: Outcome(0.0, "no kernel image"))
    tuning.run()
    assert tuning.judge() is None
    assert [check.status for check in tuner.verify(tuning, None)] == ["fail"]
    assert tuner.decide(tuning, None).choice == "Nothing is decided"
    assert tuner.write(tuning) == []


def test_a_profile_that_varies_nothing_skips_the_search(tmp_path: Path) -> None:
    opened = open_chapter("06", "embedded", "plan", str(tmp_path), {"tuner.space": {}})
    tuning = Tuning(opened, Fleet(opened))
    assert tuning.run() == []
    assert [check.status for check in tuner.verify(tuning, tuning.judge())] == ["skip"]
    assert "varies nothing" in tuner.plan(opened).markup


def test_the_ready_configuration_is_written(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = searched(chapter, monkeypatch, {OWN.label: 5.0})
    config, environment, _ = tuner.write(tuning)
    assert "max-num-seqs: 32\n" in config.read_text()
    assert "VLLM_CPU_KVCACHE_SPACE=1\n" in environment.read_text()


def test_a_comparison_of_equals_is_no_difference() -> None:
    assert compare([1.0, 1.1, 0.9], [1.0, 1.1, 0.9]).verdict == "no difference"
