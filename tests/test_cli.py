"""The command line in this process: messages and exit codes."""

from pathlib import Path

import pytest

from lib import cli
from lib.core.errors import Exit


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["lib", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["run", "--profile", "embeded"], Exit.BAD_INPUT, "did you mean: embedded"),
        (["run", "--only", "77"], Exit.BAD_INPUT, "unknown chapter '77'"),
        (["run", "--from", "5"], Exit.BAD_INPUT, "did you mean: 05"),
        (["run", "--set", "batching.repeat=3"], Exit.BAD_INPUT, "did you mean: batching.repeats"),
        (["run", "--set", "batching.repeats"], Exit.BAD_INPUT, "not key=value"),
        (["run", "--mode", "plann"], Exit.BAD_INPUT, "did you mean: plan"),
        (["run", "--set", "deploy.journal_max=77M", "--mode", "apply"], Exit.REFUSED, "there is no green rehearsal"),
        (["deploy", "plan"], Exit.BAD_INPUT, "profile 'embedded' names no hosts"),
        (["lab", "ssh", "hom"], Exit.BAD_INPUT, "did you mean: home"),
        (["run", "--profil", "x"], Exit.BAD_INPUT, "No such option"),
        (["runn"], Exit.BAD_INPUT, "No such command"),
        (["report", "--run", "never"], Exit.BAD_INPUT, "no run 'never'"),
    ],
)
def test_wrong_input_says_what_and_exits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: Exit, text: str
) -> None:
    assert call(monkeypatch, *arguments) == code
    assert text in capsys.readouterr().err


def test_an_unwritable_runs_folder_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("")
    assert call(monkeypatch, "run", "--only", "00", "--runs", str(tmp_path / "runs")) == Exit.BAD_INPUT
    assert "the runs folder cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "text"), [("chapters", "Acceptance"), ("profiles", "rtx-pro-6000")])
def test_lists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, text: str) -> None:
    assert call(monkeypatch, command) == Exit.GREEN
    assert text in capsys.readouterr().out


def test_a_full_disk_is_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr(cli, "app", full)
    assert call(monkeypatch, "run") == Exit.BAD_INPUT
    assert "No space left on device" in capsys.readouterr().err
