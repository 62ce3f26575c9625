"""Chapter 01's helpers: what is shown, measured and decided."""

from pathlib import Path

import pytest

from lib.chapters import hardware
from lib.core import paths
from lib.core.chapter import Chapter, open_chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement
from lib.host import disks

OWNER = paths.ROOT / "tests" / "hosts" / "owner"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """Chapter 01 of the embedded profile on this machine, with a cache of its own."""
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return open_chapter("01", run=str(tmp_path / "run"), overrides={"models.store": str(tmp_path / "models")})


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """Chapter 01 on the owner's recorded box."""
    monkeypatch.setenv("RUNBOOK_HOST", str(OWNER))
    return open_chapter("01", "rtx-pro-6000", run=str(tmp_path / "run"))


def check(name: str, status: str) -> Check:
    return Check(name=f"hardware.{name}", title=name, status=status, expected="a", observed="b", fix="c")


def speed(value: float) -> Measurement:
    return Measurement(name="hardware.disk_read", value=value, unit="MB/s", conditions={"disk": "nvme1n1", "path": "x"})


def test_checks_are_recorded_with_what_the_tools_printed(there: Chapter) -> None:
    found = hardware.checks(there)
    assert found == there.checks("hardware.")
    assert {item.provenance.where for item in found} == {"recorded"}
    raw = there.run / found[0].provenance.artifacts[0].path
    assert "$ dmidecode -t memory" in raw.read_text()
    assert "python -m lib audit --profile rtx-pro-6000" in found[0].provenance.command


def test_a_recorded_machine_is_shown_and_not_measured(there: Chapter) -> None:
    assert "constructed" in hardware.facts().text
    assert hardware.read_disk(there) == []
    assert "nothing" in hardware.disk_figure(there, []).text
    assert "RTX PRO 6000" in hardware.expectations(there.profile).text


def test_a_model_that_is_there_is_read(here: Chapter, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "some-model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(80 << 20))
    (folder / "config.json").write_text("{}")
    (measured,) = hardware.read_disk(here)
    assert str(measured.conditions["path"]).endswith("model.safetensors")
    assert measured.provenance.artifacts
    assert not (tmp_path / "cache").exists()
    figure = hardware.disk_figure(here, [measured])
    assert len(figure.figure.data[0].y) == measured.n
    assert here.measurements("run.engine_seconds")


def test_without_a_model_a_scratch_file_is_read_and_removed(
    here: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "SCRATCH_MB", 32)
    (measured,) = hardware.read_disk(here)
    assert str(measured.conditions["path"]).endswith("scratch.bin")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_cannot_be_measured_is_a_skip_and_leaves_nothing(
    here: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[float]:
        raise RunbookError("zfs answers from memory", fix="give a file on ext4")

    monkeypatch.setattr(hardware, "SCRATCH_MB", 1)
    monkeypatch.setattr(disks, "read_pieces", refuse)
    assert hardware.read_disk(here) == []
    (skipped,) = here.checks("hardware.disk.read_speed")
    assert (skipped.status, skipped.observed, skipped.fix) == ("skip", "zfs answers from memory", "give a file on ext4")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("names", [[], ["small"], ["unreadable/"]])
def test_no_large_file_is_none(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x") if not name.endswith("/") else (tmp_path / name).mkdir()
    assert hardware.largest_file(tmp_path) is None
    assert hardware.largest_file(tmp_path / "absent") is None


@pytest.mark.parametrize(("value", "status"), [(2600.0, "pass"), (2400.0, "warn")])
def test_the_speed_is_held_against_the_disk_for_models(there: Chapter, value: float, status: str) -> None:
    (found,) = hardware.read_speed_check([speed(value)], there.profile)
    assert (found.status, found.expected) == (status, "at least 2500 MB/s")


def test_a_profile_that_expects_no_speed_judges_none(here: Chapter) -> None:
    assert hardware.read_speed_check([speed(1.0)], here.profile) == []


def test_the_decision_cites_what_it_rests_on() -> None:
    failed = hardware.decide([check("a", "pass"), check("b", "fail"), check("c", "warn")])
    assert failed.choice == "Put right first: b"
    assert failed.evidence == ["hardware.b"]
    assert "Still open: 1 warning," in failed.reason
    open_points = hardware.decide([check("a", "pass"), check("c", "warn")])
    assert (open_points.choice, open_points.evidence) == ("Go on with this machine", ["hardware.c"])
    assert hardware.decide([check("a", "pass")]).evidence == ["hardware.a"]
