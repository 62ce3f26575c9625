"""Acceptance from the counters that vLLM's client brings along."""

import pytest
from loads import result, run

from lib.engine.speculate import acceptance


def test_the_length_counts_the_models_own_token() -> None:
    seen = acceptance.of([run(drafts=10, accepted=15, rates=(0.8, 0.7)), run(drafts=30, accepted=15, rates=(0.4, 0.1))])
    assert seen is not None
    assert seen.length == pytest.approx(1 + 30 / 40)
    assert seen.drafted == 160
    assert seen.per_position == pytest.approx(((8 + 12) / 40, (7 + 3) / 40)), "weighted by the drafts of each run"


def test_steps_without_a_draft_count_too() -> None:
    seen = acceptance.of([run(drafts=2, accepted=8, rates=(1.0,) * 4)])
    assert seen is not None
    assert seen.length == 5
    assert seen.decoded == 4 * 31, "prefill gives the first token of each request"
    assert seen.tokens_per_step == pytest.approx(124 / 116), "few drafts, however good, gain little"


def test_no_speculation_is_no_acceptance() -> None:
    assert acceptance.of([run(), run()]) is None
    assert acceptance.measurements(result(1, run())) == []


def test_a_draft_that_is_never_right() -> None:
    seen = acceptance.of([run(drafts=124, accepted=0, rates=(0.0, 0.0))])
    assert seen is not None
    assert (seen.length, seen.tokens_per_step) == (1, 1)


def test_measurements_name_position_configuration_and_workload() -> None:
    found = acceptance.measurements(result(4, run(drafts=10, accepted=9, rates=(0.6, 0.3))), configuration="ngram")
    assert [m.name for m in found] == ["spec.acceptance_length", "spec.tokens_per_step", *["spec.acceptance_rate"] * 2]
    assert found[0].conditions == {"concurrency": 4, "workload": "code", "output_tokens": 32, "configuration": "ngram"}
    assert [m.conditions["position"] for m in found[2:]] == [1, 2]
    assert all(m.n and m.method and m.interval is None for m in found)
