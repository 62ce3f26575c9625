"""Chapter 15: without a second environment, with stand-ins for both, and once with the real engine against itself."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib.chapters import load as loads
from lib.chapters import upgrade
from lib.core.chapter import Chapter, open_chapter
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.serve.variant import Variant

# Speed of each environment; the fleet below is asked for them.
SPEED = {"old": 100.0, "new": 130.0}


class Fleet:
    """Takes the place of the fleet: hands out engines that only have a version, and refuses what it is told to."""

    asked: list[str]
    refused: tuple[str, ...] = ()
    stopped = 0

    def __init__(self, chapter: Chapter, *, loaded: bool = False) -> None:
        assert loaded, "both are measured under load"
        self.chapter = chapter
        type(self).asked = []

    def prepare(self, variants: Sequence[Variant]) -> None:
        type(self).asked += [f"together {variant.label}" for variant in variants]

    def use(self, variant: Variant) -> Any:
        type(self).asked.append(variant.label)
        side = variant.label.split("-")[0]
        if side in self.refused:
            return None
        version = {"old": "1.0", "new": "2.0"}[side]
        return SimpleNamespace(side=side, readback=lambda: SimpleNamespace(version=version))

    def stop_all(self) -> None:
        type(self).stopped += 1


@pytest.fixture(autouse=True)
def _stand_ins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("engine"):
        return
    Fleet.refused, Fleet.stopped = (), 0
    monkeypatch.setattr(upgrade, "Fleet", Fleet)
    monkeypatch.setattr(loads, "measure", loaded)
    monkeypatch.setattr(upgrade, "answers", lambda *_: [{"id": "a", "answer": "b", "wrong": ""}])


def loaded(
    chapter: Chapter, engine: Any, points: Sequence[Point], effort: Effort, name: str, check: str
) -> list[Result]:
    if engine is None:
        return []
    found = []
    for point in points:
        speed = SPEED[engine.side] * (1 + 0.001 * int(name.split("-")[1]))
        told = {"output_throughput": speed, "median_ttft_ms": 1e4 / speed, "median_tpot_ms": 1e3 / speed}
        file = chapter.save(f"{name}/{point.label}.json", json.dumps(told))
        found.append(Result(point, [told] * effort.repeats, [file], ""))
    return found


def opened(run: Path, **fields: Any) -> Chapter:
    return open_chapter("15", "embedded", "plan", str(run), {key.replace("__", "."): v for key, v in fields.items()})


def second(run: Path, **fields: Any) -> Chapter:
    return opened(run, upgrade__python=sys.executable, upgrade__pairs=3, **fields)


def statuses(chapter: Chapter) -> dict[str, str]:
    return {check.name: check.status for check in chapter.checks()}


def test_without_a_second_environment_there_is_one_skip_that_tells_how(tmp_path: Path) -> None:
    chapter = opened(tmp_path)
    assert len(upgrade.environments(chapter).text.splitlines()) == 2
    assert "nothing to compare" in repr(upgrade.plan(chapter))
    tried = upgrade.measure(chapter)
    assert upgrade.record(chapter, tried) == []
    (check,) = upgrade.verify(chapter, tried)
    assert (check.name, check.status) == ("upgrade.verdict", "skip")
    assert "-m venv" in check.fix
    assert "--set upgrade.python=" in check.fix
    assert upgrade.decide(chapter, tried).choice == "Nothing is decided"
    assert repr(upgrade.figure([])) == "nothing was compared"
    assert Fleet.stopped == 0


def test_a_faster_engine_is_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "_same", lambda _: False)
    chapter = second(tmp_path, serving__alive=2)
    assert "3 × 2 × 16" in repr(upgrade.plan(second(tmp_path, serving__alive=2, upgrade__repeats=2)))
    tried = upgrade.measure(chapter)
    found = upgrade.record(chapter, tried)
    assert {m.name for m in found} == {
        "upgrade.speed_ratio", "upgrade.ttft_ratio", "upgrade.tpot_ratio", "upgrade.accuracy", "upgrade.same_answers",
    }  # fmt: skip
    assert [m.value for m in found if m.name == "upgrade.speed_ratio"] == [1.3, 1.3]
    assert all(m.provenance.artifacts for m in found)
    upgrade.verify(chapter, tried)
    assert statuses(chapter) == {"upgrade.verdict": "pass"}
    assert upgrade.decide(chapter, tried).choice == "Upgrade"
    assert "New against old" in repr(upgrade.figure(found))
    assert Fleet.asked == ["together old", "together new", *["old", "new"] * 3]
    assert Fleet.stopped == 1


def test_with_room_for_one_each_turn_is_a_start_with_files_of_its_own(tmp_path: Path) -> None:
    upgrade.measure(second(tmp_path, serving__alive=1))
    assert Fleet.asked == ["old-1", "new-1", "old-2", "new-2", "old-3", "new-3"]


def test_the_same_engine_twice_is_told(tmp_path: Path) -> None:
    chapter = second(tmp_path)
    tried = upgrade.measure(chapter)
    assert tried.same
    upgrade.record(chapter, tried)
    upgrade.verify(chapter, tried)
    assert "both environments are the same" in upgrade.decide(chapter, tried).choice


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_environment_that_fails_its_gate_is_not_measured(tmp_path: Path, side: str) -> None:
    Fleet.refused = (side,)
    chapter = second(tmp_path)
    tried = upgrade.measure(chapter)
    assert not [m for m in upgrade.record(chapter, tried) if m.name.endswith("_ratio")]
    upgrade.verify(chapter, tried)
    assert f"the {side} environment did not pass the gate" in chapter.checks("upgrade.verdict")[0].observed
    assert upgrade.decide(chapter, tried).choice == "Stay with the engine in use"
    assert Fleet.stopped == 1


def test_the_new_environment_is_added_to_the_profiles_own(tmp_path: Path) -> None:
    chapter = opened(
        tmp_path, upgrade__environment={"PYTHONPATH": "/there"}, serving__environment={"A": "1", "PYTHONPATH": "/here"}
    )
    new = upgrade._variant(chapter, "new").of(chapter.profile).serving
    old = upgrade._variant(chapter, "old").of(chapter.profile).serving
    assert new.environment == {"A": "1", "PYTHONPATH": "/there"}
    assert old.environment == {"A": "1", "PYTHONPATH": "/here"}
    assert upgrade.configured(chapter)


def test_a_python_without_an_engine_is_shown_in_look(tmp_path: Path) -> None:
    chapter = opened(tmp_path, upgrade__python="/nowhere/python")
    assert "cannot be run" in repr(upgrade.environments(chapter))


@pytest.mark.alone
@pytest.mark.engine
def test_the_real_engine_against_itself_is_no_difference(tmp_path: Path) -> None:
    chapter = second(tmp_path, serving__alive=2, upgrade__concurrency=[4], upgrade__repeats=1)
    tried = upgrade.measure(chapter)
    found = upgrade.record(chapter, tried)
    upgrade.verify(chapter, tried)
    assert set(statuses(chapter).values()) == {"pass"}
    assert [r.found.verdict for r in tried.ratios if r.name == "upgrade.speed_ratio"] == ["no difference"]
    assert [m.value for m in found if m.name == "upgrade.same_answers"] == [1.0]
    assert upgrade.decide(chapter, tried).choice.startswith("No reason to change")
