"""Chapter 16: what it says where twins cannot run, and who may apply to several hosts."""

import os
from pathlib import Path
from typing import Any

import pytest

from lib.chapters import rehearsal, rehearsal_spaces
from lib.core import profile
from lib.core.errors import RefusedError, RunbookError
from lib.core.evidence import Change, Check
from lib.deploy import gate
from lib.deploy.rehearsal import play
from lib.lab.netns import space
from lib.lab.tools import NoLabError

LACKS = NoLabError("the virtual machines of the lab need qemu-img, which this machine does not have", fix="sudo apt x")


def no_lab(*_: object, **__: object) -> None:
    raise LACKS


@pytest.mark.lab
@pytest.mark.skipif(bool(space.missing()), reason=space.missing())
def test_without_virtual_machines_namespaces_show_what_they_can_and_open_no_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play, "rehearse", no_lab)
    monkeypatch.setattr(gate, "REHEARSALS", tmp_path / "rehearsals")
    said: list[str] = []
    work = rehearsal.rehearse(profile.load("embedded"), tmp_path, said.append)
    checks = [record for record in work.records if isinstance(record, Check)]
    assert said[0] == str(LACKS)
    judged = [check for check in checks if check.name == "rehearsal.bastion.file"]
    assert {check.status for check in judged} == {"pass"}
    assert {check.conditions["host"] for check in judged} == {"vps", "vps2", "home", "home2"}
    tier = checks[-1]
    assert (tier.name, tier.status, tier.fix) == ("rehearsal.tier", "warn", "sudo apt x")
    assert "a power cut and undo were not rehearsed" in tier.observed
    assert not work.green
    assert gate.rehearsed(profile.load("embedded")) is None


def test_without_namespaces_too_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "missing", lambda: "apt-get install y")
    (tier,) = rehearsal_spaces.rehearse(profile.load("embedded"), LACKS)
    assert (tier.status, tier.fix) == ("skip", "apt-get install y")
    assert LACKS.what in tier.observed


BOTH: dict[str, Any] = {"hosts": {"home": {"role": "home"}, "vps": {"role": "vps"}}}


def test_a_host_that_knew_nobody_gets_a_second_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = profile.load("embedded", BOTH)
    monkeypatch.setattr(gate, "REHEARSALS", tmp_path)
    gate.remember(chosen, "virtual machines", 1)
    turns: list[str] = []

    def apply(_: object, host: str, __: object) -> tuple[list[Change], list[Check]]:
        turns.append(host)
        status: Any = "fail" if turns == ["vps"] else "pass"
        return [], [Check(name=rehearsal.UNKNOWN, status=status, conditions={"host": host})]

    monkeypatch.setattr(rehearsal, "apply", apply)
    found = rehearsal.apply_all(chosen, lambda _: None)
    assert turns == ["vps", "home", "vps"]
    assert [check.status for check in found if isinstance(check, Check)] == ["pass", "pass"]


def test_no_host_is_touched_before_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gate, "REHEARSALS", tmp_path)
    with pytest.raises(RefusedError):
        rehearsal.apply_all(profile.load("embedded", BOTH), lambda _: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="this machine as a host: root")
def test_a_neighbour_that_is_down_stops_the_plan_rather_than_being_forgotten() -> None:
    down = {"role": "vps", "address": "127.0.0.1", "port": 1}
    chosen = profile.load("embedded", {"hosts": {"home": {"role": "home"}, "vps": down}})
    with pytest.raises(RunbookError, match="host 'vps' cannot be reached"):
        rehearsal.planned(chosen, "home")
