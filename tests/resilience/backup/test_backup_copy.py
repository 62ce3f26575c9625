"""The copy: consistent while others write, whole or refused, without secrets."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.resilience.backup import copy
from lib.resilience.backup.damage.arena import Arena
from lib.resilience.backup.items import items, own, rows


def profile(tmp_path: Path, *places: Path, **more: Any) -> Profile:
    items = {"things": {"paths": [str(place) for place in places], "why": "the test"}}
    return profiles.load(
        "embedded", {"backup.items": items, "backup.folder": str(tmp_path / "backup"), "backup.targets": {}, **more}
    )


def made(tmp_path: Path, *places: Path, **more: Any) -> tuple[copy.Contents, Path]:
    folder = tmp_path / "backup" / "copy"
    return copy.make(profile(tmp_path, *places, **more), folder), folder


def test_files_links_and_modes_come_with_their_hashes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below" / "a.txt").write_text("a")
    (source / "below" / "a.txt").chmod(0o640)
    (source / "latest").symlink_to("below")
    os.mkfifo(source / "pipe")
    contents, folder = made(tmp_path, source)
    (name,) = contents.files
    assert name.endswith("source/below/a.txt")
    assert contents.files[name].mode == 0o640
    assert (folder / name).read_text() == "a"
    assert list(contents.links.values()) == ["below"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert contents.absent == []


def test_what_is_not_on_this_host_is_named(tmp_path: Path) -> None:
    contents, _ = made(tmp_path, tmp_path / "never")
    assert contents.absent == [str(tmp_path / "never")]
    assert contents.files == {}


def test_what_a_killed_copy_left_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("a")
    (tmp_path / "backup" / "copy").mkdir(parents=True)
    (tmp_path / "backup" / "copy" / "half").write_text("old")
    contents, folder = made(tmp_path, source)
    assert not (folder / "half").exists()
    assert len(contents.files) == 1


def test_no_secret_of_the_backup_is_in_it(tmp_path: Path) -> None:
    source = tmp_path / "etc"
    source.mkdir()
    for name in ("password", "address", "kept"):
        (source / name).write_text(name)
    target = {"address_file": str(source / "address"), "password_file": str(source / "password")}
    contents, _ = made(tmp_path, source, tmp_path / "backup", **{"backup.targets": {"nas": target}})
    assert [Path(name).name for name in contents.files] == ["kept"]


def test_a_file_that_never_holds_still_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "log"
    source.write_text("x")
    original = copy.shutil.copy2

    def and_grow(this: Path, there: Path) -> None:
        original(this, there)
        with source.open("a") as file:
            file.write("more")

    monkeypatch.setattr(copy.shutil, "copy2", and_grow)
    with pytest.raises(RunbookError, match="changed during each of 5 attempts"):
        made(tmp_path, source)


def test_a_file_that_changes_once_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "log"
    source.write_text("x")
    original, times = copy.shutil.copy2, []

    def once(this: Path, there: Path) -> None:
        original(this, there)
        if not times:
            source.write_text("the whole")
        times.append(1)

    monkeypatch.setattr(copy.shutil, "copy2", once)
    contents, folder = made(tmp_path, source)
    assert (folder / next(iter(contents.files))).read_text() == "the whole"
    assert len(times) == 2


def test_a_file_that_goes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "log"
    source.write_text("x")

    def gone(this: Path, there: Path) -> None:
        raise FileNotFoundError(str(this))

    monkeypatch.setattr(copy.shutil, "copy2", gone)
    assert made(tmp_path, source)[0].files == {}


def test_a_database_is_copied_while_it_is_written(tmp_path: Path) -> None:
    live, stop = tmp_path / "manifest.sqlite", threading.Event()
    with closing(sqlite3.connect(live, isolation_level=None)) as made_here:
        made_here.executescript("PRAGMA journal_mode = WAL; CREATE TABLE pairs (a INTEGER, b INTEGER);")

    def write() -> None:
        with closing(sqlite3.connect(live, isolation_level=None)) as writer:
            number = 0
            while not stop.is_set():
                writer.execute("BEGIN")
                writer.execute("INSERT INTO pairs VALUES (?, 0)", (number,))
                writer.execute("UPDATE pairs SET b = 1 WHERE a = ?", (number,))
                writer.execute("COMMIT")
                number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for round_ in range(5):
            copy.snapshot(live, tmp_path / f"copy-{round_}")
    finally:
        stop.set()
        thread.join()
    for round_ in range(5):
        with closing(sqlite3.connect(tmp_path / f"copy-{round_}")) as held:
            assert held.execute("SELECT COUNT(*) FROM pairs WHERE b = 0").fetchone()[0] == 0
        assert stat.S_IMODE((tmp_path / f"copy-{round_}").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    live = tmp_path / "manifest.sqlite"
    live.write_bytes(content)
    with pytest.raises(RunbookError, match="damaged, so it is not backed up") as caught:
        copy.snapshot(live, tmp_path / "copy")
    assert "backup restore" in caught.value.fix


def test_the_index_is_not_copied_and_chats_are(arena: Arena) -> None:
    chat = arena.place / "store" / "chats" / "chat.md"
    chat.write_text("# A chat\n")
    try:
        contents = copy.make(arena.profile, arena.place / "other")
    finally:
        chat.unlink()
    names = {Path(name).name for name in contents.files if name.startswith("memory/")}
    assert names == {"manifest.sqlite", "chat.md"}
    assert contents.written > 0


def test_the_table_says_of_everything_whether_and_why() -> None:
    owner = profiles.load("rtx-pro-6000")
    table = {str(row["What"]): row for row in rows(owner)}
    assert table["memory"]["How"] == "backed up"
    assert str(table["models"]["How"]).startswith("made again: python -m lib models fetch")
    assert all(row["Why"] for row in table.values())
    assert {item.name for item in items(owner)} == {"memory", "keys", "configuration", "runs", "monitoring"}
    assert Path("/etc/inference-backup/nas.address") in own(owner)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"why": "x"}, "files need paths"),
        ({"kind": "rebuilt", "why": "x"}, "how it is made again"),
        ({"kind": "memory", "why": ""}, "at least 1 character"),
        ({"kind": "memry", "why": "x"}, "did you mean: memory"),
    ],
)
def test_a_row_that_says_too_little_is_an_error(item: dict[str, Any], says: str) -> None:
    with pytest.raises(RunbookError, match=says):
        profiles.load("embedded", {"backup.items": {"x": item}})
