"""A consistent copy of what is backed up, beside the originals: nothing is stopped, and nothing is half written.

The memory's manifest is copied by SQLite itself, as of one transaction, while others write. Chroma and the lexical
index are not copied: they are made from the manifest. A file that changes while it is copied is copied again.
"""

import shutil
import socket
import sqlite3
import stat
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lib.core import evidence, paths, state
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.resilience.backup.items import Item, items, own

SCHEMA = 1
CONTENTS = "contents.json"
MANIFEST = "manifest.sqlite"
# Made from the manifest, or of this process only.
REBUILT = ("index", "lexical", ".lock", MANIFEST, f"{MANIFEST}-wal", f"{MANIFEST}-shm")
TRIES = 5


class Kept(BaseModel):
    """One file of the copy."""

    sha256: str
    size: int
    mode: int

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A golden question with what the copied memory answers: the yardstick of a restore."""

    question: str
    path: str
    vector: str = ""
    found: list[tuple[str, int, int]]

    model_config = ConfigDict(extra="forbid", frozen=True)


class Contents(BaseModel):
    """What a copy holds: `contents.json` at its top.

    Parameters
    ----------
    made : datetime
        The moment that the memory is copied as of; what was acknowledged before is in it.
    origins : mapping of str to list of str
        Item to the paths that it came from.
    absent : list of str
        Paths of the profile that this host does not have.
    written : float
        Time of the newest source in the memory, seconds since 1970.
    """

    schema_version: int = SCHEMA
    made: datetime
    profile: str
    host: str
    origins: dict[str, list[str]]
    absent: list[str]
    files: dict[str, Kept]
    links: dict[str, str]
    written: float = 0.0
    golden: list[Answer] = []

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(kept.size for kept in self.files.values())


def make(profile: Profile, folder: Path) -> Contents:
    """Copy everything that the profile backs up into a folder, made anew; what a killed copy left is removed first.

    Raises
    ------
    RunbookError
        The memory is damaged, a file cannot be read or never holds still, or the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    listed, left_out = list(items(profile)), own(profile)
    made = datetime.now(UTC)
    for item in listed:
        for place in item.places:
            if place.exists():
                _copy(item, place, target(folder, item.name, place), left_out)
    files, links = survey(folder)
    return Contents(
        made=made,
        profile=profile.name,
        host=socket.gethostname(),
        origins={item.name: [str(place) for place in item.places] for item in listed},
        absent=[str(place) for item in listed for place in item.places if not place.exists()],
        files=files,
        links=links,
        written=_written(folder, listed),
    )


def write(contents: Contents, folder: Path) -> None:
    """Put the list of contents at the top of the copy."""
    state.replace(folder / CONTENTS, contents.model_dump_json(indent=1).encode())
    (folder / CONTENTS).chmod(0o600)


def target(folder: Path, name: str, place: Path) -> Path:
    """Return where a path of an item lies in a copy."""
    return folder / name / place.relative_to("/")


def survey(folder: Path) -> tuple[dict[str, Kept], dict[str, str]]:
    """Return every file below a folder with its hash, size and mode, and every link with its target."""
    files: dict[str, Kept] = {}
    links: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_file() and name != CONTENTS:
            told = path.stat()
            files[name] = Kept(sha256=evidence.sha256(path), size=told.st_size, mode=stat.S_IMODE(told.st_mode))
    return files, links


def snapshot(source: Path, copy: Path) -> None:
    """Copy a SQLite file as of one transaction, while others write, and see that the copy is whole.

    Raises
    ------
    RunbookError
        It is no SQLite file, or SQLite finds it damaged: a copy of it would push good ones out.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as live,
            closing(sqlite3.connect(copy)) as held,
        ):
            live.backup(held)
            held.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
            found = held.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise _damaged(source, str(error)) from error
    if found != "ok":
        raise _damaged(source, str(found).splitlines()[0])
    copy.chmod(0o600)


def _damaged(source: Path, told: str) -> RunbookError:
    return RunbookError(
        f"the memory's manifest is damaged, so it is not backed up: “{told}”",
        where=paths.short(source),
        fix="python -m lib backup restore FOLDER  (the newest whole snapshot)",
    )


def _copy(item: Item, place: Path, copy: Path, left_out: Collection[Path]) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if item.kind == "memory":
        copy.mkdir(mode=0o700)
        if (place / MANIFEST).exists():
            snapshot(place / MANIFEST, copy / MANIFEST)
        for source in _inside(place):
            if source.name not in REBUILT:
                _any(source, copy / source.name, left_out)
    else:
        _any(place, copy, left_out)


def _any(source: Path, copy: Path, left_out: Collection[Path]) -> None:
    """Copy a file, a link, or a folder with all that is in it; sockets and devices are nothing to keep."""
    if source in left_out:
        return
    if source.is_symlink():
        copy.symlink_to(source.readlink())
    elif source.is_dir():
        copy.mkdir(mode=0o700)
        for inside in _inside(source):
            _any(inside, copy / inside.name, left_out)
    elif source.is_file():
        _still(source, copy)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error


def _still(source: Path, copy: Path) -> None:
    """Copy a file as it was at one moment: again if it changed meanwhile."""
    for _ in range(TRIES):
        try:
            before = source.stat()
            shutil.copy2(source, copy)
            after = source.stat()
        except FileNotFoundError:  # deleted meanwhile: there is nothing to keep any more
            copy.unlink(missing_ok=True)
            return
        except PermissionError as error:
            raise _unreadable(source, error) from error
        if (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino):
            return
    raise RunbookError(
        f"a file changed during each of {TRIES} attempts to copy it",
        where=paths.short(source),
        fix="leave it out of backup.items, or stop what writes it",
    )


def _unreadable(place: Path, error: OSError) -> RunbookError:
    return RunbookError(
        f"cannot be read: {error.strerror}",
        where=paths.short(place),
        fix="run as its owner or as root, or leave it out",
    )


def _written(folder: Path, listed: Sequence[Item]) -> float:
    newest = 0.0
    for item in listed:
        for place in item.places:
            path = target(folder, item.name, place) / MANIFEST
            if item.kind == "memory" and path.exists():
                with closing(sqlite3.connect(path)) as held:
                    newest = max(newest, held.execute("SELECT COALESCE(MAX(added), 0) FROM sources").fetchone()[0])
    return newest
