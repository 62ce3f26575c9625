"""The commands `seal`, `verify` and `compare`: what they print and how they end."""

from pathlib import Path

import pytest
from report.seal.sealed_run import build
from typer.testing import CliRunner

from lib.cli import app

runner = CliRunner()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return build(tmp_path / "run")


def call(*words: str | Path) -> tuple[int, str]:
    result = runner.invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def test_close_verify_and_find_what_changed(run: Path, tmp_path: Path) -> None:
    key = tmp_path / "owner"
    assert call("seal", "key", key) == (0, f"{key}.pub\n")
    code, said = call("seal", "close", run, "--key", key)
    assert (code, said) == (0, f"{run}/seal\n")
    code, said = call("verify", run, "--key", f"{key}.pub")
    assert code == 0
    assert said.startswith("11 files as they were when the run closed; signed with")
    (run / "report.html").write_text("other")
    code, said = call("verify", run)
    assert code == 1
    assert said.splitlines()[0] == "report.html: changed"


def test_two_runs_compared(run: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "later", speed=50)
    code, said = call("compare", run, other)
    assert code == 0
    assert "facts: the same" in said
    assert "not comparable: 1" in said, "a single value without an interval shows nothing"


def test_a_document_written_again_is_sealed_again_without_the_signature(run: Path, tmp_path: Path) -> None:
    call("seal", "key", tmp_path / "owner")
    call("seal", "close", run, "--key", tmp_path / "owner")
    code, said = call("report", "--run", run.name, "--runs", run.parent)
    assert (code, said) == (0, f"since the seal before: report.html: changed\n{run}/report.html\n")
    code, said = call("verify", run)
    assert code == 0
    assert "not signed" in said


def test_a_document_written_elsewhere_leaves_the_seal(run: Path, tmp_path: Path) -> None:
    call("seal", "key", tmp_path / "owner")
    call("seal", "close", run, "--key", tmp_path / "owner")
    assert call("report", "--run", run.name, "--runs", run.parent, "--out", tmp_path / "copy.html")[0] == 0
    code, said = call("verify", run, "--key", tmp_path / "owner.pub")
    assert code == 0
    assert "signed with" in said
