"""Restoring and the drill against the real restic, memory and gateway; and the command line over them."""

import json
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lib.core.errors import RunbookError
from lib.core.profile import change
from lib.memory import forget
from lib.memory.ingest import hashed
from lib.resilience.backup import commands, drill, golden, ledger, recorded, restic, restore, verify, work
from lib.resilience.backup.damage import line
from lib.resilience.backup.damage.arena import TARGET, USER, Arena, Server
from lib.resilience.backup.items import folder
from lib.resilience.backup.repository import find


def words(arena: Arena, *more: str) -> list[str]:
    """Return the options that lead the command line to the arena."""
    memory, backup = arena.profile.memory, arena.profile.backup
    told = {
        "memory.folder": memory.folder,
        "memory.model": memory.model,
        "gateway.keys": arena.profile.gateway.keys,
        "backup.folder": backup.folder,
        "backup.items": {name: item.model_dump() for name, item in backup.items.items()},
        "backup.targets": {name: target.model_dump() for name, target in backup.targets.items()},
        "backup.questions": backup.questions,
    }
    return [*more, *(word for key, value in told.items() for word in ("--set", f"{key}={json.dumps(value)}"))]


def test_everything_comes_back_with_its_hash(arena: Arena, tmp_path: Path) -> None:
    back = restore.restore(arena.profile, tmp_path / "out", TARGET)
    assert back.wrong == []
    assert stat.S_IMODE(back.folder.stat().st_mode) == 0o700
    keys = next(back.folder / name for name in back.contents.files if name.endswith("keys.json"))
    assert keys.read_bytes() == (arena.place / "keys.json").read_bytes()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert len(restore.moves(back)) == 3


def test_the_order_of_a_restore_is_in_the_commands(arena: Arena, tmp_path: Path) -> None:
    back = restore.restore(arena.profile, tmp_path / "out", TARGET)
    assert any(line.endswith(f"store {arena.place}/") for line in restore.moves(back))


def test_a_folder_in_use_is_never_restored_over(arena: Arena, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(RunbookError, match="the folder is not empty"):
        restore.restore(arena.profile, tmp_path, TARGET)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_unknown_snapshot_names_the_command(arena: Arena, tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no snapshot 'ffffffffff'") as caught:
        restore.restore(arena.profile, tmp_path / "out", TARGET, "ffffffffff")
    assert caught.value.fix == "python -m lib backup list"
    assert not (tmp_path / "out").exists()


def test_missing_changed_and_added_files_are_told(arena: Arena, tmp_path: Path) -> None:
    back = restore.restore(arena.profile, tmp_path / "out", TARGET)
    profile, keys = (next(n for n in back.contents.files if n.endswith(e)) for e in ("profile.json", "keys.json"))
    (back.folder / profile).unlink()
    (back.folder / keys).chmod(0o644)
    (back.folder / "extra").write_text("x")
    told = restore.differences(back.contents, back.folder)
    assert sorted(line.partition(": ")[0] for line in told) == ["changed", "missing", "not in the list"]


def test_without_its_list_a_restore_is_no_restore(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="list of contents is missing"):
        restore.listed(tmp_path)
    (tmp_path / "contents.json").write_text('{"made": 1')
    with pytest.raises(RunbookError, match="list of contents is missing or damaged"):
        restore.listed(tmp_path)


def test_what_was_forgotten_since_does_not_come_back(arena: Arena, tmp_path: Path) -> None:
    live = Path(arena.profile.memory.folder) / forget.LIST
    note = {"path": hashed("notes/car.md"), "sha256": "0" * 64, "time": time.time()}
    live.write_text(json.dumps(note) + "\n")
    try:
        back = restore.restore(arena.profile, tmp_path / "out", TARGET)
    finally:
        live.unlink()
    memory = golden.restored_folder(back.contents, back.folder)
    assert memory is not None
    assert forget.read(memory / forget.LIST) == {(note["path"], note["sha256"]): note["time"]}


def test_the_drill_answers_as_before_and_is_timed(arena: Arena) -> None:
    told = drill.drill(arena.profile, TARGET, good=[arena.held.good], bad=[arena.held.revoked])
    assert {check.name: check.status for check in told.checks} == {
        "backup.drill.hashes": "pass",
        "backup.drill.memory": "pass",
        "backup.drill.golden": "pass",
        "backup.drill.golden_served": "pass",
        "backup.drill.gateway": "pass",
    }
    assert told.rto_s >= sum(told.steps.values()) > 0
    assert told.rpo_s > 0
    assert {f"notes/{name}" for name in sorted(arena.golden.notes)[:-1]} == set(told.sources)
    assert not (folder(arena.profile) / "drill").exists()
    entry = ledger.read(folder(arena.profile), TARGET)
    assert entry.drilled is not None
    assert entry.rto_seconds == pytest.approx(told.rto_s, abs=0.01)


def test_the_recorded_model_finds_the_right_notes(arena: Arena, tmp_path: Path) -> None:
    known = restore.restore(arena.profile, tmp_path / "out", TARGET).contents.golden
    assert len(known) == len(arena.golden.questions)
    assert all(answer.vector for answer in known)
    assert golden.right(known) >= len(known) - 1


def test_another_answer_is_told(arena: Arena, tmp_path: Path) -> None:
    known = restore.restore(arena.profile, tmp_path / "out", TARGET).contents.golden
    other = [known[0].model_copy(update={"found": known[0].found[::-1]}), *known[1:]]
    (exact, served) = drill._answers(known, other, other)
    assert (exact.status, served.status) == ("fail", "fail")
    assert known[0].question in exact.observed


def test_keys_that_were_lost_are_noticed(arena: Arena, tmp_path: Path) -> None:
    back = restore.restore(arena.profile, tmp_path / "out", TARGET)
    (found,) = drill._gateway(arena.profile, back, tmp_path, ["rb_00000000_" + "x" * 43], [])
    assert found.status == "fail"
    assert "401" in found.observed


def test_a_text_without_a_recorded_vector_is_an_error(arena: Arena) -> None:
    with pytest.raises(RunbookError, match="no vector is recorded"):
        arena.embedder.query("What was never asked?")


def test_a_damaged_record_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("{}")
    with pytest.raises(RunbookError, match=r"golden_vectors"):
        recorded.load(tmp_path / "memory.json")


def test_old_snapshots_go_and_young_ones_stay(arena: Arena) -> None:
    profile = arena.fresh("keeping")
    repository = find(profile, TARGET)
    for moment in ("2020-01-01 10:00:00", "2020-01-01 10:10:00"):
        words_ = ["backup", ".", "--time", moment, "--tag", work.TAG, "--host", restic.snapshots(repository)[0].host]
        restic.run(repository, words_, folder=arena.place / "notes")
    assert len(restic.snapshots(repository)) == 3
    work.forget(profile, repository)
    (young,) = restic.snapshots(repository)
    assert young.time.year > 2020


@pytest.mark.skipif(not shutil.which("rclone"), reason="make setup installs rclone")
def test_behind_an_append_only_server_a_lost_line_costs_one_backup_and_no_more(arena: Arena) -> None:
    """The half pack keeps its name and may not be written again: this backup says so, and the next one is whole."""
    ballast = arena.ballast("half", line.BALLAST_MB)
    try:
        limited = arena.served("half", append_only=True, upload_mbit_s=line.UPLOAD_MBIT_S)
        with limited as (profile, server):
            cut = threading.Thread(target=line._cut, args=(server, True))
            cut.start()
            with pytest.raises(restic.ResticError) as caught:
                arena.back_up(change(profile, "backup", give_up_min=0.15))
            cut.join()
            assert caught.value.kind in ("refused", "unreachable")
            assert len(restic.snapshots(find(profile, TARGET))) == 1
            arena.back_up(change(profile, "backup", give_up_min=2))
            assert {check.status for check in verify.verify(profile, TARGET)} == {"pass"}
    finally:
        ballast.unlink()


@pytest.mark.skipif(not shutil.which("rclone"), reason="make setup installs rclone")
def test_an_append_only_target_takes_a_backup_and_is_verified(arena: Arena) -> None:
    with arena.served("append", append_only=True) as (profile, _):
        done = arena.back_up(profile)
        assert done.snapshot
        arena.back_up(profile)
        assert len(restic.snapshots(find(profile, TARGET))) == 3


@pytest.mark.skipif(not shutil.which("rclone"), reason="make setup installs rclone")
def test_a_wrong_name_at_the_server_is_told_without_the_password(arena: Arena) -> None:
    with arena.served("stranger", append_only=True) as (profile, server):
        assert isinstance(server, Server)
        address = Path(profile.backup.targets[TARGET].address_file)
        address.write_text(f"rest:http://{USER}:wrong-word@127.0.0.1:{server.port}/")
        with pytest.raises(RunbookError) as caught:
            arena.back_up(profile)
        assert "wrong-word" not in str(caught.value)


def test_the_command_line_lists_verifies_and_restores(arena: Arena, tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(commands.app, words(arena, "list"))
    assert listed.exit_code == 0, listed.output
    assert "memory" in listed.output
    assert work.TAG in listed.output
    verified = runner.invoke(commands.app, words(arena, "verify"))
    assert verified.exit_code == 0, verified.output
    assert "no error" in verified.output
    restored = runner.invoke(commands.app, words(arena, "restore", str(tmp_path / "out")))
    assert restored.exit_code == 0, restored.output
    assert "cp -a" in restored.output


def test_a_damaged_repository_ends_the_command_line_with_one(arena: Arena) -> None:
    profile = arena.fresh("cli")
    for pack in (Path(profile.backup.targets[TARGET].address) / "data").rglob("*"):
        if pack.is_file():
            pack.unlink()
            break
    broken = Arena.__new__(Arena)
    broken.__dict__ |= arena.__dict__ | {"profile": profile}
    found = CliRunner().invoke(commands.app, words(broken, "verify"))
    assert found.exit_code == 1, found.output
    assert "fail" in found.output


def test_a_memory_without_questions_is_still_restored(arena: Arena) -> None:
    profile = change(arena.fresh("silent"), "backup", questions="")
    arena.back_up(profile)
    told = drill.drill(profile, TARGET)
    assert {check.name: check.status for check in told.checks}["backup.drill.golden"] == "skip"
    assert all(check.status != "fail" for check in told.checks)
