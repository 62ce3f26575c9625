"""The front page says what is true, also when it is not what one hoped for."""

from datetime import UTC, datetime

import pytest

from lib.core.evidence import AnyRecord, Change, Check, Decision, Measurement, Provenance
from lib.core.state import ChapterState, RunState
from lib.report import summary


def checks(**counts: int) -> list[AnyRecord]:
    return [
        Check.model_validate(
            {"name": f"a.{status}{number}", "status": status, "provenance": Provenance(chapter="01").model_dump()}
        )
        for status, count in counts.items()
        for number in range(count)
    ]


def state(*statuses: str, complete: bool = True) -> RunState:
    chapters = [
        ChapterState.model_validate({"id": f"{number:02}", "title": "T", "stem": f"{number:02}_t", "status": status})
        for number, status in enumerate(statuses, start=1)
    ]
    return RunState(
        id="x",
        profile="embedded",
        mode="plan",
        started=datetime(2026, 11, 23, tzinfo=UTC),
        chapters=chapters,
        complete=complete,
    )


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "No check has run."),
        ({"pass": 1}, "The one check passed."),
        ({"pass": 7}, "All 7 checks passed."),
        ({"skip": 3}, "None of the 3 checks could run on this machine."),
        ({"pass": 63, "skip": 14}, "Nothing failed: 63 checks passed and 14 could not run on this machine."),
        (
            {"pass": 63, "warn": 9, "skip": 14},
            "Nothing failed: 63 checks passed, 9 warn, and 14 could not run on this machine.",
        ),
        ({"pass": 2, "warn": 1}, "Nothing failed: 2 checks passed and 1 warns."),
        ({"warn": 1}, "Nothing failed: 0 checks passed and 1 warns."),
        ({"pass": 2, "fail": 1}, "1 of 3 checks failed; 2 passed."),
        ({"fail": 1}, "1 of 1 check failed; 0 passed."),
        (
            {"pass": 60, "warn": 2, "fail": 3, "skip": 4},
            "3 of 65 checks failed; 60 passed, 2 warn, and 4 could not run on this machine.",
        ),
    ],
)
def test_the_verdict_counts_what_passed_warned_failed_and_could_not_run(counts: dict[str, int], sentence: str) -> None:
    status = "failed" if counts.get("fail") else "passed"
    assert summary.verdict(state(status), checks(**counts)) == sentence


def test_the_verdict_tells_of_chapters_that_stopped_or_did_not_run() -> None:
    told = summary.verdict(state("passed", "failed", "skipped", "skipped"), checks(**{"pass": 2}))
    assert told == (
        "All 2 checks passed. Chapter 02 stopped with an error. "
        "Chapters 03 and 04 did not run: what they need did not pass."
    )


def test_the_verdict_tells_of_a_run_that_was_cut_short() -> None:
    told = summary.verdict(state("passed", "interrupted", "pending", "pending", complete=False), checks(**{"pass": 2}))
    assert told == "All 2 checks passed. The run was cut short in chapter 02; 2 chapters have not run yet."


def test_open_checks_are_grouped_failures_first() -> None:
    groups = summary.still_open(checks(skip=1, warn=2, fail=1, **{"pass": 3}))
    assert [(status, len(found)) for status, found in groups] == [("fail", 1), ("warn", 2), ("skip", 1)]


def test_only_changes_that_change_something_are_planned() -> None:
    both = [
        Change(name=f"a.{after}", status="planned", target="/x", before="1", after=after, reason="r")
        for after in ("1", "2")
    ]
    assert [change.name for change in summary.planned(both)] == ["a.2"]


def measured(quantity: str, value: float, **conditions: int) -> Measurement:
    return Measurement(name=f"batching.{quantity}", value=value, unit="u", conditions=dict(conditions))


def test_a_decision_stands_beside_what_its_evidence_says() -> None:
    records: list[AnyRecord] = [
        Check(name="a.memory", status="warn", observed="24 GiB"),
        Check(name="a.memory", status="pass", observed="32 GiB"),
        measured("speed", 40, concurrency=1),
        measured("speed", 1318.4, concurrency=32),
        Decision(name="a.choice", choice="C", reason="r", evidence=["a.memory", "batching.speed", "a.nothing"]),
    ]
    assert summary.decisions(records)[0].evidence == [
        ("a.memory", "warn: 24 GiB"),
        ("batching.speed", "40 to 1 318 u, 2 values"),
        ("a.nothing", ""),
    ]


def test_operating_points_stand_side_by_side() -> None:
    records = [
        measured("median_ttft_ms", 61, concurrency=1, input_tokens=64),
        measured("output_throughput", 41, concurrency=1, input_tokens=64),
        measured("output_throughput", 318, concurrency=32, input_tokens=64),
        measured("unrelated", 1),
        Measurement(name="run.engine_seconds", value=3, unit="s"),
        Measurement(name="engine.ready_seconds", value=34, unit="s"),
    ]
    (table,) = summary.points(records)
    assert (table.title, table.varying, table.constant) == ("batching", ["concurrency"], {"input_tokens": 64})
    assert [name for name, _ in table.columns] == ["batching.output_throughput", "batching.median_ttft_ms"]
    assert [(load, [m.value if m else None for m in cells]) for load, cells in table.rows] == [
        ([1], [41, 61]),
        ([32], [318, None]),
    ]
    assert [m.name for m in summary.single(records)] == ["engine.ready_seconds"]
