"""Chapter 13 records what its drills showed, and decides by it."""

from pathlib import Path

import pytest

from lib.chapters import faults
from lib.chapters import faults_figures as figures
from lib.core.chapter import Chapter, open_chapter
from lib.core.display import Figure
from lib.resilience.faults import registry
from lib.resilience.faults.drill import Drill, Outcome, SkipError


def staged(name: str, outcome: Outcome | None) -> Drill:
    def play(ground: object, defended: bool) -> Outcome:
        if outcome is None:
            raise SkipError("make it possible")
        return outcome

    return Drill(name, name.capitalize(), "a defence", 5, play)


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return open_chapter("13", run=str(tmp_path), overrides={"faults.lanes": 1})


def play(chapter: Chapter, monkeypatch: pytest.MonkeyPatch, *drills: Drill) -> list[registry.Played]:
    monkeypatch.setattr(registry, "DRILLS", drills)

    class NoGround:
        def __init__(self, folder: Path) -> None:
            folder.mkdir(parents=True)

        def __enter__(self) -> "NoGround":
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(registry, "Ground", NoGround)
    return faults.play(chapter)


def test_green_drills_let_it_run_alone(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    played = play(chapter, monkeypatch, staged("one", Outcome(1.0, margin_s=50.0)), staged("two", None))
    assert {check.name: check.status for check in chapter.checks()} == {
        "drill.one": "pass",
        "drill.two": "skip",
        "faults.played": "warn",
    }
    decided = faults.decide(chapter)
    assert decided.choice.startswith("It may run unattended")
    assert "Two" in decided.reason
    assert "power.shutdown_margin_seconds" in decided.evidence
    assert isinstance(figures.timeline(played), Figure)
    assert "a defence" in faults.faults_table(played).markup


def test_a_red_drill_is_named_in_the_decision(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    play(chapter, monkeypatch, staged("one", Outcome(None)))
    assert faults.decide(chapter).choice == "Not yet: One"


def test_a_drill_that_breaks_off_is_red(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(ground: object, defended: bool) -> Outcome:
        raise OSError("no such thing")

    play(chapter, monkeypatch, Drill("one", "One", "x", 5, broken))
    [check] = chapter.checks("drill.")
    assert check.status == "fail"
    assert "no such thing" in check.observed


def test_the_plan_shows_nuts_files_without_a_password(chapter: Chapter) -> None:
    found = faults.changes(chapter)
    assert {change.target for change in found} >= {"/etc/nut/upsmon.conf", "/etc/nut/upssched.conf"}
    assert faults.SECRET in (chapter.artifacts / "nut/upsd.users").read_text()


def test_the_way_down_and_both_tables_are_shown(chapter: Chapter) -> None:
    assert "run time are needed" in faults.way_down(chapter).markup
    assert "bad_enough" not in faults.states().markup
    assert "lower power limit" in faults.ladder(chapter).markup
    [check] = faults.runtime(chapter)
    assert check.name == "power.runtime"
