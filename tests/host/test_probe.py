"""The machine itself and recorded ones: what is missing, refused or hanging is an answer, never an exception."""

import json
import sys
from pathlib import Path

import pytest

from lib.core import paths
from lib.core.errors import RunbookError
from lib.host import probe
from lib.host.probe import LiveHost, RecordedHost

LIVE = LiveHost()


def recorded(folder: Path, name: str, files: dict[str, str], **about: object) -> RecordedHost:
    root = folder / name
    for path, text in files.items():
        target = root / "files" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (root / "commands").mkdir(parents=True, exist_ok=True)
    (root / "host.json").write_text(json.dumps({"kind": "constructed", **about}))
    return RecordedHost(root)


def test_python_is_this_one_and_finds_the_runbook_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    script = "import sys, lib.core.paths as p; print(sys.executable, p.ROOT)"
    assert LIVE.run("python", "-c", script).out.split() == [sys.executable, str(paths.ROOT)]


def test_a_python_path_that_was_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    said = LIVE.run("python", "-c", "import os; print(os.environ['PYTHONPATH'])").out.strip()
    assert said == f"{paths.ROOT}:/somewhere/else"


def test_live_answers() -> None:
    assert LIVE.run("no-such-tool-here").reason == "missing"
    assert LIVE.run("python", "-c", "import time; time.sleep(60)", timeout=0.5).reason == "timeout"
    assert LIVE.run("python", "-c", "import sys; sys.exit(3)").code == 3
    assert LIVE.read("/no/such/file") is None
    assert LIVE.glob("/proc/self/stat") == ["/proc/self/stat"]


def test_a_recorded_machine_lies_over_another_and_lacks_what_it_says(tmp_path: Path) -> None:
    below = {"/proc/driver/nvidia/version": "580", "/proc/driver/nvidia/gpus/0/information": "x", "/proc/modules": "a"}
    recorded(tmp_path, "below", below)
    host = recorded(
        tmp_path, "above", {"/proc/modules": "b", "/proc/driver/other": "y"},
        extends="below", without=["/proc/driver/nvidia/*"],
    )  # fmt: skip
    assert host.read("/proc/modules") == "b"
    assert host.read("/proc/driver/nvidia/version") is None
    assert host.glob("/proc/driver/nvidia/version") == []
    assert host.glob("/proc/driver/nvidia/gpus/*/information") == []
    assert host.glob("/proc/driver/other") == ["/proc/driver/other"]
    assert host.read("/proc/nothing") is None


@pytest.mark.parametrize(
    ("mark", "code", "reason"),
    [
        ("# exit 1", 1, ""),
        ("# missing", None, "missing"),
        ("# forbidden", None, "forbidden"),
        ("# timeout", None, "timeout"),
    ],
)
def test_transcripts(tmp_path: Path, mark: str, code: int | None, reason: str) -> None:
    recorded(tmp_path, "host", {})
    (tmp_path / "host" / "commands" / "a.txt").write_text(f"$ tool -a 'b c'\n{mark}\nsaid\n")
    output = RecordedHost(tmp_path / "host").run("tool", "-a", "b c")
    assert (output.code, output.reason, output.out) == (code, reason, "said\n")


def test_a_damaged_recording_is_named(tmp_path: Path) -> None:
    recorded(tmp_path, "host", {})
    (tmp_path / "host" / "commands" / "a.txt").write_text("$ tool\n# gone\n")
    with pytest.raises(RunbookError, match="gone"):
        RecordedHost(tmp_path / "host")
    with pytest.raises(RunbookError, match="not a recorded host"):
        RecordedHost(tmp_path / "nowhere")


def test_the_machine_to_look_at_is_this_one_or_the_named_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.current().kind == "live"
    recorded(tmp_path, "host", {})
    monkeypatch.setenv("RUNBOOK_HOST", str(tmp_path / "host"))
    assert probe.current().kind == "constructed"
