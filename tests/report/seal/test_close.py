"""Closing: in one step that a crash cannot halve, with the same result twice, and telling what changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report.seal.sealed_run import build

from lib.core import fingerprint
from lib.core.errors import RunbookError
from lib.core.state import read_state
from lib.report.seal import close, crate, envelope, materials, statement
from lib.report.seal.verify import verify


class PowerCutError(Exception):
    """The machine went dark here."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build(tmp_path / "run")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    envelope.new_key(tmp_path / "owner")
    return tmp_path / "owner"


def content(run: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(run)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in run.rglob("*")
        if path.is_file()
    }


def cut_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the power fail before one of the steps that change the disk."""
    steps = iter(range(1000))

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            if next(steps) == step:
                raise PowerCutError
            return original(*words, **more)

        return call

    for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "mkdir"), (close, "_durable"), (close, "_sync")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))


def test_a_power_cut_at_any_step_leaves_a_run_that_can_be_closed(
    run: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = key.with_name("owner.pub")
    seen = set()
    for step in range(100):
        close.close(run, key)
        (run / "report.html").write_text(f"written again, {step}")
        with monkeypatch.context() as patch:
            cut_at(patch, step)
            try:
                close.close(run, key)
            except PowerCutError:
                pass
            else:
                break
        try:
            faults = verify(run, public).faults
        except RunbookError:
            assert not (run / "seal").exists()
            seen.add("open")
        else:
            seen.add("old seal" if faults else "new seal")
            assert not faults or "report.html: changed" in faults
    assert seen == {"old seal", "open", "new seal"}
    assert step > 8, "each step was cut"
    assert verify(run, public).faults == []
    assert not (run / close.ASIDE).exists()


def test_closing_twice_changes_nothing(run: Path, key: Path) -> None:
    close.close(run, key)
    before = content(run)
    assert close.close(run).differences == []
    assert content(run) == before, "not even a time stamp, and the owner's signature is kept"
    close.close(run, key)
    assert {name: data for name, (data, _) in content(run).items()} == {
        name: data for name, (data, _) in before.items()
    }


def test_a_closing_over_a_lost_crate_brings_it_back(run: Path) -> None:
    close.close(run)
    (run / crate.NAME).unlink()
    close.close(run)
    assert verify(run).faults == []


def test_closing_again_tells_what_changed(run: Path) -> None:
    assert close.close(run).differences == [], "there was no seal before"
    (run / "report.html").write_text("other")
    (run / "artifacts/06/other.svg").unlink()
    (run / "artifacts/06/new.svg").write_text("<svg/>")
    closed = close.close(run)
    assert closed.differences == [
        "artifacts/06/new.svg: added",
        "artifacts/06/other.svg: lost",
        "report.html: changed",
    ]
    assert closed.told[0] == "since the seal before: artifacts/06/new.svg: added"


def test_the_list_of_materials_is_made_when_the_run_ends_and_then_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials, "make", lambda *_: b"{}\n")
    close.close(run, environment=True)
    assert (run / materials.NAME).read_bytes() == b"{}\n"
    monkeypatch.setattr(materials, "make", lambda *_: b"later\n")
    close.close(run)
    assert (run / materials.NAME).read_bytes() == b"{}\n", "what is installed today is not what the run ran with"


def test_another_machine_does_not_tell_what_the_run_ran_with(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / materials.NAME).unlink()
    monkeypatch.setattr(materials, "make", lambda *_: b"{}\n")
    assert close.close(run).told == [
        "no sbom.cdx.json: what the run ran with can only be listed on its machine, as it was then"
    ]
    assert not (run / materials.NAME).exists()
    assert verify(run).faults == []
    state = read_state(run)
    (run / "run.json").write_text(state.model_copy(update={"host": fingerprint.facts()}).model_dump_json(by_alias=True))
    close.close(run)
    assert (run / materials.NAME).exists()
    assert materials.NAME in statement.subjects(statement.read(run / "seal" / statement.NAME) or {"subject": []})
