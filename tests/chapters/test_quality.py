"""Chapter 08, quality: variants asked the same, the method checked on itself, a decision that knows its limits."""

from pathlib import Path

import pytest
from chapter_08 import BF16, INT4, Open, go_round, opener

from lib.chapters import quality
from lib.chapters import quality_verdict as verdict
from lib.core import display
from lib.engine.quality import original
from lib.engine.quality.original import Finding


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    return opener(tmp_path, monkeypatch)


def test_a_worse_variant_is_seen_and_not_chosen(opened: Open) -> None:
    chapter = opened()
    _, interview = go_round(chapter)
    assert [check.status for check in quality.verify(interview)] == ["pass"]
    reference, other = interview.told
    assert [len(window) for window in reference.again] == [len(reference.windows[0])], "as it was asked first"
    assert not other.again
    quality.record(interview)
    found = {(m.name, m.conditions.get("model")): m for m in chapter.measurements("quality.")}
    kl = found["quality.kl", INT4]
    assert kl.interval is not None
    assert 0.01 < kl.interval[0] <= kl.value <= kl.interval[1]
    assert "pydoc_data.topics of Python 3." in found["quality.perplexity", BF16].method
    assert found["quality.accuracy", INT4].value < found["quality.accuracy", BF16].value
    assert found["quality.weight_bytes", BF16].value == 12_000
    assert found["quality.memory_bytes", INT4].value > 1e6
    assert len(found["quality.kl", INT4].provenance.artifacts) == 2
    decision = verdict.decide(interview)
    assert decision.choice == "SmolLM2-135M-Instruct (bfloat16)"
    assert "135M parameters cannot show" in decision.reason
    assert decision.evidence == ["quality.kl", "quality.perplexity_ratio", "quality.accuracy", "quality.self"]
    assert INT4 in repr(verdict.table(interview))
    figure = verdict.figure(interview)
    assert isinstance(figure, display.Figure)
    assert [trace.name for trace in figure.figure.data] == [INT4, f"{BF16}, asked again"]


def test_a_variant_without_loss_is_chosen_for_its_size(opened: Open) -> None:
    chapter = opened(**{"quality.models": ["qwen3-30b-a3b", BF16], "swap.models": [BF16]})
    _, interview = go_round(chapter)
    quality.verify(interview)
    quality.record(interview)
    decision = verdict.decide(interview)
    assert decision.choice == "SmolLM2-135M-Instruct (bfloat16)"
    assert f"{BF16}: no loss beyond the limits" in decision.reason


def test_a_reference_that_disagrees_with_itself_decides_nothing(opened: Open) -> None:
    chapter = opened("moody")
    _, interview = go_round(chapter)
    (self_check,) = quality.verify(interview)
    assert self_check.status == "fail"
    quality.record(interview)
    assert verdict.decide(interview).choice == "Nothing is decided"
    assert "does not agree with itself" in verdict.decide(interview).reason


def test_a_server_that_refuses_probabilities_is_a_failed_check_each(opened: Open) -> None:
    chapter = opened("mute")
    _, interview = go_round(chapter)
    failed = [check for check in chapter.checks("quality.asked") if check.status == "fail"]
    assert [check.conditions["model"] for check in failed] == [BF16, INT4]
    assert "no probabilities here" in failed[0].observed
    assert quality.record(interview) == []
    assert verdict.decide(interview).choice == "Nothing is decided"
    assert isinstance(verdict.table(interview), display.Html)


def test_random_weights_are_not_asked_for_sense(opened: Open) -> None:
    chapter = opened(profile="h200")
    _, interview = go_round(chapter)
    assert interview.told == []
    (check,) = quality.verify(interview)
    assert (check.name, check.status) == ("quality.self", "skip")
    assert "random weights" in check.observed


def test_no_variants_is_a_skip(opened: Open) -> None:
    chapter = opened(**{"quality.models": []})
    (check,) = quality.verify(quality.Interview(chapter))
    assert check.status == "skip"


def finding(largest: float) -> Finding:
    return Finding(
        kinds={"Q4_1": 210, "F32": 61},
        tensors=272,
        relative_error=0.00135,
        largest_error=largest,
        kl=[1e-5] * 256,
        agreement=1.0,
    )


@pytest.mark.parametrize(("largest", "status"), [(0.0039, "pass"), (0.02, "fail")])
def test_the_original_file_is_held_against_what_is_served(
    opened: Open, monkeypatch: pytest.MonkeyPatch, largest: float, status: str
) -> None:
    chapter = opened(**{"quality.original": True})
    monkeypatch.setattr(original, "fetched", lambda *_: Path("file.gguf"))
    monkeypatch.setattr(original, "compare", lambda *_: finding(largest))
    (check,) = verdict.compare_original(quality.Interview(chapter))
    assert (check.name, check.status) == ("quality.original", status)
    assert "210 × Q4_1" in check.observed
    assert {m.name for m in chapter.measurements("quality.")} == {"quality.weight_error", "quality.kl"}


def test_the_original_is_skipped_where_nobody_asks_for_it(opened: Open) -> None:
    (check,) = verdict.compare_original(quality.Interview(opened()))
    assert check.status == "skip"
    assert "--set quality.original=true" in check.fix
