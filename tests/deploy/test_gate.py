"""The gate: closed until exactly this was rehearsed, and then only for who names the host."""

from pathlib import Path
from typing import Any

import pytest

from lib.core import paths, profile
from lib.core.errors import Exit, RefusedError, RunbookError
from lib.deploy import gate

HOSTS: dict[str, Any] = {"home": {"role": "home", "address": "192.0.2.1"}, "door": {"role": "vps"}}


def test_nothing_is_applied_that_was_not_rehearsed(tmp_path: Path) -> None:
    chosen = profile.load("embedded")
    with pytest.raises(RefusedError, match="nothing is applied that was not rehearsed") as caught:
        gate.need_rehearsal(chosen, tmp_path)
    assert caught.value.exit_code == Exit.REFUSED
    assert caught.value.fix == "make rehearse PROFILE=embedded"
    gate.remember(chosen, "virtual machines", 12.34, tmp_path)
    assert gate.need_rehearsal(chosen, tmp_path)["seconds"] == 12.3


def test_another_profile_needs_another_rehearsal(tmp_path: Path) -> None:
    gate.remember(profile.load("embedded"), "virtual machines", 1, tmp_path)
    with pytest.raises(RefusedError):
        gate.need_rehearsal(profile.load("embedded", {"deploy.journal_max": "2G"}), tmp_path)


def test_a_changed_template_closes_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.j2").write_text("a")
    monkeypatch.setattr(paths, "TEMPLATES", tmp_path)
    chosen = profile.load("embedded")
    before = gate.digest(chosen)
    assert gate.digest(chosen) == before
    (tmp_path / "x.j2").write_text("b")
    assert gate.digest(chosen) != before


def test_what_changed_while_it_was_rehearsed_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "x.j2"
    template.write_text("a")
    monkeypatch.setattr(paths, "TEMPLATES", tmp_path)
    chosen = profile.load("embedded")
    began = gate.digest(chosen)
    template.write_text("b")
    gate.remember(chosen, "virtual machines", 1, tmp_path, known=began)
    with pytest.raises(RefusedError):
        gate.need_rehearsal(chosen, tmp_path)
    template.write_text("a")
    assert gate.need_rehearsal(chosen, tmp_path)["digest"] == began


def test_a_damaged_note_opens_nothing(tmp_path: Path) -> None:
    chosen = profile.load("embedded")
    gate.remember(chosen, "virtual machines", 1, tmp_path).write_text('{"dig')
    with pytest.raises(RefusedError):
        gate.need_rehearsal(chosen, tmp_path)


@pytest.mark.parametrize(("said", "good"), [("home", True), ("hom", False), ("", False)])
def test_the_name_is_typed_or_confirmed(monkeypatch: pytest.MonkeyPatch, said: str, good: bool) -> None:
    monkeypatch.delenv("CONFIRM", raising=False)
    for ask in ({"ask": lambda _: said}, {"confirmed": said}):
        if good:
            gate.need_name("home", **ask)  # type: ignore[arg-type]
        else:
            with pytest.raises(RefusedError, match="is not the host's name"):
                gate.need_name("home", **ask)  # type: ignore[arg-type]


@pytest.mark.parametrize(("said", "good"), [("vps,home", True), ("vps,hom", False), ("vps home", False)])
def test_confirm_may_name_several(said: str, good: bool) -> None:
    if good:
        gate.need_name("home", confirmed=said)
    else:
        with pytest.raises(RefusedError, match="is not the host's name"):
            gate.need_name("home", confirmed=said)
    with pytest.raises(RefusedError):
        gate.need_name("home", ask=lambda _: "vps,home")


def test_without_a_terminal_nobody_can_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIRM", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(RefusedError, match="nobody is at the terminal") as caught:
        gate.need_name("home")
    assert "CONFIRM=home" in caught.value.fix


@pytest.mark.parametrize(
    ("hosts", "asked", "says"),
    [
        ({}, "", "names no hosts"),
        (HOSTS, "", "which host?"),
        (HOSTS, "hme", "did you mean: home"),
    ],
)
def test_an_unknown_host_is_bad_input(hosts: dict[str, Any], asked: str, says: str) -> None:
    with pytest.raises(RunbookError, match=says.replace("?", r"\?")):
        gate.find(profile.load("embedded", {"hosts": hosts}), asked)


def test_one_host_need_not_be_named() -> None:
    assert gate.find(profile.load("embedded", {"hosts": {"home": {"role": "home"}}}), "") == "home"


def test_a_misspelt_key_of_a_host_names_the_nearest() -> None:
    with pytest.raises(RunbookError, match=r"did you mean: hosts\.home\.address"):
        profile.load("embedded", {"hosts": {"home": {"role": "home", "adress": "x"}}})
