"""Chapter 14: the whole of it with two damages, what it says where nothing can be done, what it decides."""

import shutil
from pathlib import Path

import pytest

from lib.chapters import backup, backup_figures
from lib.core import paths, profile, secrets
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check, Measurement
from lib.resilience.backup import restic
from lib.resilience.backup.damage import registry


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    more = {"backup.damages": ["torn_copy", "flipped_byte"]}
    return open_chapter("14", "embedded", "plan", str(tmp_path / "run"), more)


def test_the_table_and_the_line_are_shown(chapter: Chapter) -> None:
    shown = backup.table(chapter).text
    assert "models" in shown
    assert "made again" in shown
    assert "any over the line" in backup.line(chapter).text  # the only target of this profile is a disk here
    owners = open_chapter("14", "rtx-pro-6000", "plan", str(chapter.run.parent / "owners"))
    assert "15.6 h at 15 Mbit/s" in backup.line(owners).text  # 100 GB
    assert "disk" not in backup.line(owners).text


def test_what_a_host_would_get_is_planned(chapter: Chapter) -> None:
    found = backup.plan(chapter)
    assert {change.status for change in found} == {"planned"}
    assert any(change.target.endswith("inference-backup-drill-here.timer") for change in found)
    assert not any("password" in change.after for change in found if "secret" in change.name)


@pytest.mark.skipif(not shutil.which("restic"), reason="make setup installs restic")
def test_the_whole_chapter(chapter: Chapter) -> None:
    ground = backup.Ground(chapter)
    assert [check.status for check in backup.start(ground)] == ["pass"]
    assert {check.status for check in backup.verified(ground)} == {"pass"}
    told = {check.name: check for check in backup.restored(ground)}
    assert {check.status for check in told.values()} == {"pass"}
    assert "15 of 15" in told["backup.acknowledged"].observed
    damaged = backup.damaged(ground)
    assert [(check.conditions["damage"], check.status) for check in damaged] == [
        ("mirror_leg", "skip"),
        ("flipped_byte", "pass"),
        ("torn_copy", "pass"),
    ]
    for name in ("backup.rto_seconds", "backup.rpo_seconds"):
        (measured,) = chapter.measurements(name)
        assert measured.value > 0
        assert measured.provenance.where == "lab"
    assert len(backup_figures.damages(chapter).figure.data) == 2
    assert len(backup_figures.steps(ground.drilled).figure.data) == 3
    assert backup.decide(chapter).choice.startswith("Back up every 30 minutes")
    assert ground.arena is not None
    words = [(ground.arena.place / "password").read_bytes().strip(), *map(str.encode, ground.arena.held)]
    assert [check.status for check in backup.stop(ground)] == ["pass"]
    files = [path for path in chapter.run.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if any(word in path.read_bytes() for word in words)]
    assert not list(secrets.scan(chapter.run))


def test_without_restic_all_is_a_visible_skip(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic.shutil, "which", lambda _: None)
    ground = backup.Ground(chapter)
    (check,) = backup.start(ground)
    assert (check.status, check.fix) == ("skip", "apt-get install restic")
    assert backup.verified(ground) == []
    assert backup.restored(ground) == []
    assert backup.damaged(ground) == []
    assert backup.decide(chapter).choice == "Nothing is decided"
    assert "Nothing was restored" in backup_figures.steps(None).text
    assert "Nothing was damaged" in backup_figures.damages(chapter).text
    assert [check.status for check in backup.stop(ground)] == ["pass"]


def test_one_missed_damage_and_they_are_not_to_be_relied_on(chapter: Chapter) -> None:
    rto = Measurement(name="backup.rto_seconds", value=5.0, unit="s")
    missed = Check(name="backup.damage_detected", title="A bit", status="fail", observed="nothing", conditions={})
    chapter.record(rto, missed)
    decided = backup.decide(chapter)
    assert decided.choice == "These backups are not to be relied on"
    assert decided.evidence == ["backup.damage_detected"]


def test_a_note_that_was_acknowledged_and_is_gone_fails() -> None:
    assert backup._kept(["a.md", "b.md"], "c.md", {"a.md"}).status == "fail"
    assert backup._kept(["a.md"], "c.md", {"a.md", "c.md"}).status == "fail"
    assert backup._kept(["a.md"], "c.md", {"a.md"}).status == "pass"


def test_the_profiles_damages_are_known() -> None:
    for name in profile.names():
        registry.chosen(profile.load(name).backup.damages)
