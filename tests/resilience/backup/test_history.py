"""The history at a target: what may be gone, what may not, what is too old, what is ahead; and the ledger behind it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core import profile as profiles
from lib.core.errors import RefusedError
from lib.core.sections.backup import Keep
from lib.resilience.backup import ledger, verify
from lib.resilience.backup.estimate import estimate, local
from lib.resilience.backup.restic import Snapshot

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
KEEP = Keep()


def ago(**how: float) -> datetime:
    return NOW - timedelta(**how)


def test_nothing_seen_means_nothing_missing() -> None:
    assert verify.lost({}, {"a": NOW}, KEEP, NOW) == []


@pytest.mark.parametrize(
    ("gone", "stands", "lost"),
    [
        (ago(hours=5), ago(hours=5, minutes=-1), True),  # young: nothing stands for it
        (ago(days=13), ago(days=13, minutes=1), True),
        (ago(days=40), ago(days=40, hours=3), False),  # another of its day
        (ago(days=40), ago(days=42), True),  # its day has none
        (ago(days=100), ago(days=101), False),  # another of its week
        (ago(days=100), ago(days=110), True),
        (ago(days=1200), ago(days=1300), False),  # older than all that is kept
    ],
)
def test_only_age_explains_that_a_snapshot_is_gone(gone: datetime, stands: datetime, lost: bool) -> None:
    found = verify.lost({"gone": gone, "newest": NOW}, {"newest": NOW, "other": stands}, KEEP, NOW)
    assert found == (["gone"] if lost else [])


@given(st.lists(st.integers(min_value=0, max_value=60 * 24 * 700), min_size=1, max_size=30, unique=True))
def test_deleting_everything_is_always_missed(minutes: list[int]) -> None:
    known = {str(each): NOW - timedelta(minutes=each) for each in minutes}
    assert verify.lost(known, {}, KEEP, NOW)
    assert verify.lost(known, known, KEEP, NOW) == []


def test_a_snapshot_from_the_future_hides_no_deletion() -> None:
    there = {"newest": NOW, "ahead": NOW + timedelta(days=3650)}
    assert verify.lost({"gone": ago(hours=5), "newest": NOW}, there, KEEP, NOW) == ["gone"]


@pytest.mark.parametrize(("told", "hours"), [("2d", 48), ("1y6m", 365 * 24 + 180 * 24), ("0h", 0), ("1d12h", 36)])
def test_durations_are_read_as_restic_writes_them(told: str, hours: int) -> None:
    assert verify.span(told) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("moments", "failed"),
    [
        ([ago(minutes=20)], set()),
        ([ago(minutes=91)], {"age"}),
        ([], {"age"}),
        ([ago(minutes=20), NOW + timedelta(days=1)], {"future"}),
        ([NOW + timedelta(days=1)], {"future", "age"}),
        ([NOW + timedelta(minutes=5)], set()),  # two clocks differ
    ],
)
def test_the_newest_is_young_and_none_is_ahead(tmp_path: Path, moments: list[datetime], failed: set[str]) -> None:
    profile = profiles.load("embedded", {"backup.folder": str(tmp_path)})
    present = [Snapshot(f"{number}", moment, "h", ()) for number, moment in enumerate(moments)]
    found = verify.history(profile, "nas", present, NOW)
    assert {check.name.rpartition(".")[2] for check in found if check.status == "fail"} == failed
    assert all(check.fix for check in found)


def test_the_ledger_keeps_what_is_noted_and_survives_damage(tmp_path: Path) -> None:
    ledger.note(tmp_path, "nas", backup=NOW, known={"a": NOW})
    ledger.note(tmp_path, "nas", verified=NOW)
    entry = ledger.read(tmp_path, "nas")
    assert (entry.backup, entry.verified, entry.known) == (NOW, NOW, {"a": NOW})
    (tmp_path / "nas.json").write_text('{"bac')
    assert ledger.read(tmp_path, "nas") == ledger.Entry()


def test_the_metrics_are_those_that_the_alerts_read(tmp_path: Path) -> None:
    text = ledger.metrics({"nas": ledger.Entry(backup=NOW, drilled=NOW, rto_seconds=5.5), "new": ledger.Entry()})
    assert f'job_last_success_timestamp_seconds{{name="backup",target="nas"}} {NOW.timestamp():.0f}' in text
    assert 'name="restore-drill",target="nas"' in text
    assert 'backup_rto_seconds{target="nas"} 5.5' in text
    # What never succeeded is as old as can be: the alert comes.
    assert 'job_last_success_timestamp_seconds{name="backup",target="new"} 0' in text
    assert 'job_last_success_timestamp_seconds{name="backup-verify",target="nas"} 0' in text
    assert 'backup_rto_seconds{target="new"}' not in text


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with ledger.alone(tmp_path), pytest.raises(RefusedError, match="at work"), ledger.alone(tmp_path):
        pass
    with ledger.alone(tmp_path):
        pass


def test_the_estimate_is_of_the_slower_of_line_and_limit() -> None:
    profile = profiles.load("rtx-pro-6000")
    disk, nas = (profile.backup.targets[name] for name in ("disk", "nas"))
    whole, half = estimate(profile, disk, 1e10), estimate(profile, nas, 1e10)
    assert (local(disk), local(nas)) == (True, False)
    assert (whole.upload_mbit_s, half.upload_mbit_s) == (30, 15)
    assert half.first_h == pytest.approx(2 * whole.first_h)
    assert whole.first_h == pytest.approx(1e10 * 8 / 30e6 / 0.95 / 3600)
    assert half.back_h == whole.back_h
