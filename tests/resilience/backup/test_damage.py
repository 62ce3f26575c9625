"""Every damage is detected or survived, and with its defence taken away it is not: the counter-test."""

import os
import subprocess
from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement
from lib.resilience.backup.damage import registry
from lib.resilience.backup.damage.arena import Arena
from lib.resilience.backup.damage.outcome import Damage, Outcome

every = pytest.mark.parametrize("damage", registry.DAMAGES, ids=[damage.name for damage in registry.DAMAGES])


@every
def test_the_damage_is_detected_or_survived(arena: Arena, damage: Damage) -> None:
    if lacking := damage.needs():
        pytest.skip(lacking)
    outcome = damage.do(arena, True)
    assert outcome.good, outcome.observed
    assert outcome.lost == 0
    assert outcome.seconds > 0


@every
def test_without_its_defence_it_is_not(arena: Arena, damage: Damage) -> None:
    if lacking := damage.needs():
        pytest.skip(lacking)
    outcome = damage.do(arena, False)
    assert not outcome.good, outcome.observed


def test_there_are_more_than_ten_of_both_kinds() -> None:
    assert len(registry.DAMAGES) > 10
    assert {damage.how for damage in registry.DAMAGES} == {"detected", "survived"}
    assert len({damage.name for damage in registry.DAMAGES}) == len(registry.DAMAGES)


def test_records_tell_what_was_seen(arena: Arena) -> None:
    torn = registry.chosen(["torn_copy"])[0]
    outcome, records = registry.suffer(arena, torn)
    assert outcome is not None
    check, seconds, lost = records
    assert isinstance(check, Check)
    assert (check.name, check.status, check.conditions["damage"]) == ("backup.damage_detected", "pass", "torn_copy")
    assert isinstance(seconds, Measurement)
    assert isinstance(lost, Measurement)
    assert (seconds.name, lost.name, lost.value) == ("drill.recovery_seconds", "drill.lost", 0)
    assert seconds.conditions == {"drill": "backup.torn_copy"}


def test_a_missed_damage_is_a_failed_check(arena: Arena) -> None:
    torn = registry.chosen(["torn_copy"])[0]
    missed = torn._replace(do=lambda there, _: torn.do(there, False))
    _, records = registry.suffer(arena, missed)
    assert [record.status for record in records if isinstance(record, Check)] == ["fail"]
    assert [record.value for record in records if record.name == "drill.lost"] != [0]


def test_a_damage_that_cannot_be_done_is_a_failed_check_with_its_reason(arena: Arena) -> None:
    def broken(_: Arena, __: bool) -> Outcome:
        raise RunbookError("the mirror does not answer", fix="sudo apt-get update")

    outcome, records = registry.suffer(arena, registry.DAMAGES[0]._replace(needs=lambda: "", do=broken))
    assert outcome is None
    assert [(r.status, r.observed, r.fix) for r in records if isinstance(r, Check)] == [
        ("fail", "the mirror does not answer", "sudo apt-get update")
    ]


def test_what_this_machine_lacks_is_a_skip_that_says_so(arena: Arena) -> None:
    damage = registry.DAMAGES[0]._replace(needs=lambda: "apt-get install something")
    outcome, records = registry.suffer(arena, damage)
    assert outcome is None
    assert [(r.status, r.fix) for r in records if isinstance(r, Check)] == [("skip", "apt-get install something")]


def test_a_twin_is_only_used_where_it_is_asked_for() -> None:
    assert registry.MIRROR not in registry.chosen([])
    assert registry.MIRROR in registry.chosen([], twin=True)
    assert registry.chosen(["mirror_leg"]) == [registry.MIRROR]
    assert [damage.name for damage in registry.chosen(["torn_copy"], twin=True)] == ["mirror_leg", "torn_copy"]
    skipped = registry.not_asked()
    assert (skipped.status, skipped.conditions["damage"]) == ("skip", "mirror_leg")
    assert "--set backup.mirror=true" in skipped.fix


def test_an_unknown_damage_names_the_nearest() -> None:
    with pytest.raises(RunbookError, match="did you mean: flipped_byte"):
        registry.chosen(["fliped_byte"])


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: a small file system is mounted")
def test_what_a_killed_drill_left_mounted_is_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "arena"
    left = place / "damages" / "full_target" / "small"
    left.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(left)], check=True)
    with Arena(place, profiles.load("embedded")):
        assert not left.exists()
    assert str(left) not in Path("/proc/self/mounts").read_text()
    assert not place.exists()
