"""Chapter 08, swap: what is timed under which conditions, sleep and its answer, and what cannot be tried here."""

from pathlib import Path

import pytest
from chapter_08 import BF16, INT4, Open, go_round, opener

from lib.chapters import swap
from lib.chapters import swap_sleep as sleeping
from lib.core import display, processor
from lib.core.evidence import Check, Measurement, Status

GPU = {"profile": "h200", "serving.load_format": "auto", "quality.models": [], "serving.environment": {"X": "1"}}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    return opener(tmp_path, monkeypatch)


def test_every_change_is_timed_with_its_conditions(opened: Open) -> None:
    chapter = opened()
    turns, _ = go_round(chapter)
    first = {str(m.conditions["model"]): m for m in chapter.measurements("swap.first_token_seconds")}
    cold = {str(m.conditions["model"]): m for m in chapter.measurements("swap.cold_seconds")}
    assert set(first) == set(cold) == {BF16, INT4}
    assert first[INT4].conditions == {
        "way": "restart",
        "source": "disk",
        "model": INT4,
        "compile_cache": "not used",
        "before": BF16,
    }
    assert first[BF16].conditions["before"] == "nothing"
    assert first[INT4].value > cold[INT4].value, "to stop the other one is part of the change"
    assert "to stop the other one" in first[INT4].method
    assert turns.current is None
    assert {check.status for check in chapter.checks("serving.")} == {"pass"}
    assert [check.conditions["model"] for check in chapter.checks("serving.stop")] == [BF16, INT4]


def test_further_starts_go_through_every_source(opened: Open) -> None:
    chapter = opened(**{"swap.sources": ["page_cache", "tmpfs"], "swap.repeats": 2})
    turns, _ = go_round(chapter)
    swap.matrix(turns)
    turns.stop()
    started = [(m.conditions["model"], m.conditions["source"]) for m in chapter.measurements("swap.cold_seconds")]
    assert len(started) == 2 * 2 * 2
    assert started.count((INT4, "tmpfs")) == 2
    assert {check.conditions["source"] for check in chapter.checks("swap.source")} == {"page_cache", "tmpfs"}
    assert len(chapter.checks("serving.smoke")) == 2, "each model passes the gate once"


def test_a_cpu_has_no_sleep_and_its_server_no_development_routes(opened: Open) -> None:
    chapter = opened()
    turns = swap.Turns(chapter)
    engine = turns.serve(BF16)
    sleeping.nights(chapter, engine)
    (routes,) = sleeping.verify_routes(chapter, engine)
    (slept,) = sleeping.verify(chapter)
    turns.stop()
    assert routes.status == "pass"
    assert (slept.name, slept.status) == ("swap.sleep", "skip")
    assert "no sleep mode on a CPU" in slept.observed
    assert "is_sleep_mode_available" in slept.source


def test_an_open_development_route_fails(opened: Open) -> None:
    chapter = opened(**{"serving.environment": {"VLLM_SERVER_DEV_MODE": "1"}})
    turns = swap.Turns(chapter)
    (routes,) = sleeping.verify_routes(chapter, turns.serve(BF16))
    turns.stop()
    assert (routes.name, routes.status) == ("swap.routes", "fail")
    assert "/sleep" in routes.observed


def test_a_gpu_sleeps_twice_at_each_level_and_answers_the_same(opened: Open) -> None:
    chapter = opened(**GPU)
    go_round(chapter)
    told = [m.conditions for m in chapter.measurements("swap.wake_seconds")]
    wakes = [(one["model"], one["level"], one["time"]) for one in told]
    assert wakes[:4] == [("gpt-oss-120b", level, time) for level in (1, 2) for time in ("first", "later")]
    assert len(chapter.measurements("swap.sleep_seconds")) == 8
    assert {check.status for check in sleeping.verify(chapter)} == {"pass"}
    assert {m.conditions.get("way") for m in chapter.measurements("swap.first_token")} == {"sleep", "restart"}
    assert "measured" in repr(sleeping.table(chapter))
    decision = sleeping.decide(chapter)
    assert decision.choice.startswith("Change models by sleep level")


def test_weights_that_do_not_come_back_are_caught(opened: Open) -> None:
    chapter = opened("forgetful", **GPU)
    go_round(chapter)
    verdicts = {c.conditions["level"]: c.status for c in chapter.checks("swap.answer")}
    assert verdicts == {1: "pass", 2: "fail"}


def test_random_weights_cannot_be_read_again_and_that_is_said(opened: Open) -> None:
    chapter = opened(profile="h200")
    go_round(chapter)
    verdicts = {c.conditions["level"]: c.status for c in chapter.checks("swap.answer")}
    assert verdicts == {1: "pass", 2: "skip"}
    cold = chapter.measurements("swap.cold_seconds")
    assert {m.conditions["source"] for m in cold} == {"random weights"}
    assert {m.provenance.weights for m in cold} == {"random"}
    assert not chapter.checks("swap.source")


def test_the_first_start_of_a_model_finds_empty_caches(opened: Open) -> None:
    chapter = opened(**{**GPU, "swap.empty_caches": True, "swap.sources": ["page_cache"], "swap.repeats": 2})
    turns, _ = go_round(chapter)
    swap.matrix(turns)
    turns.stop()
    states = [m.conditions["compile_cache"] for m in chapter.measurements("swap.cold_seconds")]
    assert states == ["empty", "empty", "kept", "kept"]


def test_a_model_that_is_not_there_is_skipped_and_the_others_run(opened: Open) -> None:
    chapter = opened(missing=INT4)
    (absent,) = swap.missing(chapter)
    assert (absent.status, absent.conditions["model"]) == ("skip", INT4)
    assert f"models fetch {INT4}" in absent.fix
    assert swap.rounds(chapter) == [BF16]


def test_an_engine_that_does_not_start_is_one_failed_check(opened: Open) -> None:
    chapter = opened("broken", **{"swap.models": [BF16], "quality.models": []})
    go_round(chapter)
    (failed,) = [check for check in chapter.checks() if check.status == "fail"]
    assert failed.name == "serving.start"
    decision = sleeping.decide(chapter)
    assert decision.choice == "Nothing is decided"
    assert "Nothing" not in repr(sleeping.table(chapter))
    assert isinstance(sleeping.figure(chapter), display.Html)


def test_a_sleep_whose_answer_was_not_compared_is_no_candidate(opened: Open) -> None:
    chapter = opened()

    def way(seconds: float, **conditions: str | int) -> Measurement:
        told = {"model": BF16, **conditions}
        return Measurement(name="swap.first_token_seconds", value=seconds, unit="s", conditions=told)

    def answer(status: Status, level: int) -> Check:
        return Check(name="swap.answer", status=status, conditions={"model": BF16, "level": level})

    chapter.record(
        way(60, way="restart", source="disk", before="nothing"),
        way(1.7, way="sleep", level=1, time="later"),
        way(0.6, way="sleep", level=2, time="later"),
    )
    chapter.record(answer("pass", 1), answer("skip", 2))
    assert sleeping.decide(chapter).choice == "Change models by sleep level 1"


def test_what_the_processor_lacks_is_a_skip_and_nothing_is_started(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = opened()
    assert swap.rounds(chapter) == [BF16, INT4]
    monkeypatch.setattr(processor, "flags", lambda *_: {"avx2"})
    assert swap.rounds(chapter) == [BF16]
    (skipped,) = swap.missing(chapter)
    assert (skipped.status, skipped.conditions) == ("skip", {"model": INT4})
    assert "AVX-512" in skipped.observed
