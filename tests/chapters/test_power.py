"""The power map in chapter 06: on a stand-in card, from the first limit to the decision, and all that may go wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib.chapters import load as loads
from lib.chapters import power
from lib.core.chapter import Chapter, open_chapter
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.models import catalogue
from lib.host import power_card, power_curve

HOST_TESTS = Path(__file__).parents[1] / "host"
sys.path.insert(0, str(HOST_TESTS))
import power_stand_in  # noqa: E402

SECONDS = 0.25
ENGINE: Any = SimpleNamespace(model=catalogue.get("smollm2-135m"))


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh card of 600 W, and a load whose speed follows the published curve of the card."""
    place = tmp_path / "card.json"
    place.write_text(json.dumps(power_stand_in.FRESH))
    monkeypatch.setenv("STAND_IN_CARD", str(place))
    monkeypatch.setattr(power_card, "HOLDS_WITHIN_S", 0.2)
    monkeypatch.setattr(loads, "measure", loaded)
    return tmp_path / "note.json"


def loaded(
    chapter: Chapter, engine: Any, points: Sequence[Point], effort: Effort, name: str, check: str
) -> list[Result]:
    """Take the place of the load: as fast as the published curve says for the limit that is set."""
    share = power_curve.DECODE[0].share(power_stand_in.card()["limit_mw"] / 1000)
    found = []
    for point in points:
        time.sleep(SECONDS)
        rate = 1000 * share
        told = {
            "duration": SECONDS,
            "total_input_tokens": 10 * rate * SECONDS,
            "total_output_tokens": rate * SECONDS,
        }
        file = chapter.save(f"{name}/{point.label}.json", json.dumps(told))
        found.append(Result(point, [told], [file], "vllm bench serve"))
    return found


def opened(run: Path, profile: str = "rtx-pro-6000", **fields: Any) -> Chapter:
    known = {"may_change_limit": True, "limits_w": [600, 450, 300], "settle_s": 0.0}
    return open_chapter("06", profile, "plan", str(run), {f"power.{key}": v for key, v in {**known, **fields}.items()})


def statuses(chapter: Chapter) -> dict[str, str]:
    return {check.name: check.status for check in chapter.checks()}


def limit_w() -> float:
    return float(power_stand_in.card()["limit_mw"]) / 1000


def change(**fields: Any) -> None:
    with power_stand_in.changed() as state:
        state.update(fields)


def test_a_whole_map(tmp_path: Path, note: Path) -> None:
    chapter = opened(tmp_path, room_now_c=25.0)
    assert "600 | prefill" in repr(power.plan(chapter, power_stand_in, note))
    found = power.measure(chapter, ENGINE, power_stand_in, note)
    assert statuses(chapter) == {"power.map": "pass", "power.throttle": "pass"}
    assert "3 limits measured; 600 W again: 600 W are set" in chapter.checks("power.map")[0].observed
    assert limit_w() == 600
    assert not note.exists()
    speed = {m.conditions["limit_w"]: m.value for m in found if m.name == "power.output_throughput"}
    assert speed[300] / speed[450] == pytest.approx(1033.5 / 1382.1, rel=0.01)
    drawn = {m.conditions["limit_w"]: m.value for m in found if m.name == "power.draw_w"}
    assert drawn[450] == pytest.approx(447.7, rel=0.02)
    joule = {
        m.conditions["limit_w"]: m.value
        for m in found
        if m.name == "power.tokens_per_joule" and m.conditions["phase"] == "decode"
    }
    assert joule[300] > joule[450] > joule[600]
    assert all(m.provenance.artifacts for m in found)
    decision = power.decide(chapter, found)
    assert decision.choice == "450 W"
    assert "it would reach 76 °C (derived)" in decision.reason  # 30 °C, 0.08 °C a watt of 447.7 W, a room 10 °C warmer
    assert "power limit" in repr(power.figure(found))
    assert {m.name for m in found} >= set(decision.evidence)


def test_rounds_go_down_and_up(tmp_path: Path, note: Path) -> None:
    power.measure(opened(tmp_path), ENGINE, power_stand_in, note)
    assert [limit / 1000 for limit in power_stand_in.card()["sets"]] == [600, 600, 450, 300, 300, 450, 600, 600]


@pytest.mark.parametrize(
    ("profile", "fields", "said"),
    [
        ("embedded", {}, "has no card"),
        ("rtx-pro-6000", {"may_change_limit": False}, "does not allow"),
        ("h200", {"may_change_limit": False}, "does not allow"),
        ("rtx-pro-6000", {"limits_w": []}, "names no power limits"),
    ],
)
def test_where_it_may_not_be_changed_it_is_skipped(
    tmp_path: Path, note: Path, profile: str, fields: dict[str, Any], said: str
) -> None:
    chapter = opened(tmp_path, profile, **fields)
    assert said in repr(power.plan(chapter, power_stand_in, note))
    assert power.measure(chapter, ENGINE, power_stand_in, note) == []
    (check,) = power.verify(chapter)
    assert (check.name, check.status) == ("power.map", "skip")
    assert said in check.observed
    assert "power.may_change_limit=true" in check.fix
    assert power_stand_in.card()["sets"] == []
    assert said in power.decide(chapter, []).reason
    assert repr(power.figure([])) == "no power limit was measured"


def test_no_profile_allows_it_by_itself() -> None:
    for profile in ("embedded", "rtx-pro-6000", "h200"):
        assert not open_chapter("06", profile, "plan", "").profile.power.may_change_limit


def test_without_an_engine_nothing_is_changed(tmp_path: Path, note: Path) -> None:
    chapter = opened(tmp_path)
    assert power.measure(chapter, None, power_stand_in, note) == []
    assert statuses(chapter) == {"power.map": "skip"}
    assert power_stand_in.card()["sets"] == []


def test_an_impossible_limit_names_the_range(tmp_path: Path, note: Path) -> None:
    chapter = opened(tmp_path, limits_w=[700, 450, 100])
    assert power.measure(chapter, ENGINE, power_stand_in, note) == []
    (check,) = power.verify(chapter)
    assert check.status == "fail"
    assert "700, 100 W: the card takes 150 to 600 W; nothing was changed" in check.observed
    assert power_stand_in.card()["sets"] == []


def test_without_permission_there_is_one_failed_check_with_the_command(tmp_path: Path, note: Path) -> None:
    change(refuse=power_stand_in.NVML_ERROR_NO_PERMISSION)
    chapter = opened(tmp_path)
    assert power.measure(chapter, ENGINE, power_stand_in, note) == []
    (check,) = power.verify(chapter)
    assert check.status == "fail"
    assert "sudo .venv/bin/python -m lib run" in check.fix
    assert (limit_w(), power_stand_in.card()["sets"]) == (600, [])


def test_without_a_driver_there_is_one_failed_check(tmp_path: Path, note: Path) -> None:
    change(broken=["nvmlInit"])
    chapter = opened(tmp_path)
    assert power.measure(chapter, ENGINE, power_stand_in, note) == []
    assert statuses(chapter) == {"power.map": "fail"}


def test_a_load_that_fails_ends_the_sweep_and_gives_the_limit_back(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "measure", lambda *_: [])
    chapter = opened(tmp_path)
    assert power.measure(chapter, ENGINE, power_stand_in, note) == []
    assert "the load failed; 600 W again" in chapter.checks("power.map")[0].observed
    assert limit_w() == 600


def test_ctrl_c_gives_the_limit_back(tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> list[Result]:
        assert limit_w() == 600
        change(limit_mw=450_000)
        raise KeyboardInterrupt

    monkeypatch.setattr(loads, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        power.measure(opened(tmp_path), ENGINE, power_stand_in, note)
    assert limit_w() == 600
    assert not note.exists()


# What the kernel of the notebook is at work on when it is killed: the first load at the second limit.
KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import power_stand_in, test_power
from lib.chapters import load, power
def slow(chapter, engine, points, *rest):
    if test_power.limit_w() == 300:
        print("in the middle", flush=True)
        time.sleep(60)
    return test_power.loaded(chapter, engine, points, *rest)
load.measure = slow
power.measure(test_power.opened(Path(sys.argv[2])), test_power.ENGINE, power_stand_in, Path(sys.argv[3]))
"""


def test_kill_in_the_middle_of_the_sweep(tmp_path: Path, note: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), str(note)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{HOST_TESTS}:{Path(__file__).parents[2]}"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        assert limit_w() == 300
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while note.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert limit_w() == 600
    assert not note.exists()


def test_the_next_run_gives_back_what_was_left(tmp_path: Path, note: Path) -> None:
    note.write_text(json.dumps({"uuid": power_stand_in.UUID, "limit_mw": 600_000}))
    change(limit_mw=300_000)
    chapter = opened(tmp_path, may_change_limit=False)
    power.plan(chapter, power_stand_in, note)
    (check,) = power.verify(chapter)
    assert (check.name, check.status) == ("power.leftover", "warn")
    assert "600 W are set again" in check.observed
    assert limit_w() == 600


def test_a_leftover_that_cannot_be_given_back_is_a_failed_check(tmp_path: Path, note: Path) -> None:
    note.write_text(json.dumps({"uuid": power_stand_in.UUID, "limit_mw": 600_000}))
    change(limit_mw=300_000, refuse=power_stand_in.NVML_ERROR_NO_PERMISSION)
    chapter = opened(tmp_path)
    power.plan(chapter, power_stand_in, note)
    (check,) = power.verify(chapter)
    assert check.status == "fail"
    assert "sudo .venv/bin/python -m lib power restore" in check.fix
