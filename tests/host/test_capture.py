"""A captured machine replays to the same verdicts, and carries nothing that identifies it."""

import json
from pathlib import Path

import pytest
from machines import Changed, box, embedded, named, owner, plain

from lib.core.errors import RunbookError
from lib.host import audit, driver, tuning
from lib.host.capture import capture
from lib.host.probe import LiveHost, Output, RecordedHost
from lib.host.recording import RecordingHost


def verdicts(host: RecordedHost) -> dict[str, tuple[str, str]]:
    checks = (audit.hardware, driver.checks, tuning.checks)
    return {check.name: (check.status, check.observed) for look in checks for check in look(host, box())}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owner's box, captured from its recording."""
    folder = tmp_path_factory.mktemp("captured") / "copy"
    capture(owner(), folder)
    return folder


def test_a_copy_replays_to_the_same_verdicts(copy: Path) -> None:
    assert verdicts(RecordedHost(copy)) == verdicts(owner())
    assert audit.facts(RecordedHost(copy)) == audit.facts(owner())


def test_the_recording_says_that_it_was_captured(copy: Path) -> None:
    about = json.loads((copy / "host.json").read_text())
    assert about["kind"] == "captured"
    assert "masked" in about["about"]


def test_what_was_written_is_returned(tmp_path: Path) -> None:
    written = capture(plain(), tmp_path / "new")
    found = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert written[0] == "host.json"
    assert set(written) == found


def test_this_machine_can_be_captured(tmp_path: Path) -> None:
    capture(LiveHost(), tmp_path / "here")
    replayed = RecordedHost(tmp_path / "here")
    live = {check.name: check.status for check in audit.hardware(LiveHost(), embedded())}
    assert {check.name: check.status for check in audit.hardware(replayed, embedded())} == live


def test_an_existing_recording_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(RunbookError, match="not empty"):
        capture(plain(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_missing_and_forbidden_tools_stay_so(tmp_path: Path) -> None:
    refused = Output(1, "# dmidecode 3.4\nScanning /dev/mem for entry point.\n", "/dev/mem: Permission denied\n")
    capture(Changed(owner(), commands={"dmidecode": refused, "nvme": None}), tmp_path / "copy")
    replayed = audit.hardware(RecordedHost(tmp_path / "copy"), box())
    assert "run as root" in named(replayed, "hardware.memory.modules").fix
    assert "apt-get install nvme-cli" in named(replayed, "hardware.disk.health.nvme0n1").fix


def test_serial_numbers_do_not_travel(tmp_path: Path) -> None:
    said = owner().run("dmidecode", "-t", "memory").out.replace("Serial Number: masked", "Serial Number: E958EACA")
    folder = tmp_path / "copy"
    capture(Changed(owner(), commands={"dmidecode": said}), folder)
    everything = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "E958EACA" not in everything
    assert "CP32G56C46U5" in everything


def test_a_host_that_remembers_asks_once() -> None:
    asked: list[str] = []

    class Asked(Changed):
        def run(self, *argv: str, timeout: float = 15) -> Output:
            asked.append(argv[0])
            return Output(0, str(len(asked)))

        def read(self, path: str) -> str | None:
            asked.append(path)
            return None

    host = RecordingHost(Asked())
    assert host.run("lscpu").out == host.run("lscpu").out == "1"
    assert host.read("/a") is None
    assert host.read("/a") is None
    assert asked == ["lscpu", "/a"]
    assert set(host.commands) == {("lscpu",)}
    assert host.files == {"/a": None}
