"""The SQLite file itself: connections, transactions, damage. One process writes; threads share it."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lib.core import paths
from lib.core.errors import RunbookError

T = TypeVar("T")
SCHEMA_VERSION = 1
BUSY_S = 30
# Rows that are held in memory together.
AT_ONCE = 500
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE roots (name TEXT PRIMARY KEY, folder TEXT NOT NULL);
CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 TEXT NOT NULL, refused TEXT NOT NULL, about TEXT NOT NULL,
    added REAL NOT NULL);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL REFERENCES sources(id), ordinal INTEGER NOT NULL,
    heading TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, header TEXT NOT NULL, text TEXT NOT NULL,
    digest TEXT NOT NULL);
CREATE INDEX chunks_source ON chunks(source);
CREATE INDEX chunks_digest ON chunks(digest);
CREATE TABLE vectors (digest TEXT NOT NULL, space TEXT NOT NULL, data BLOB NOT NULL, UNIQUE(digest, space));
CREATE TABLE journal (chunk INTEGER PRIMARY KEY);
CREATE TABLE forgotten (path TEXT NOT NULL, sha256 TEXT NOT NULL, time REAL NOT NULL, UNIQUE(path, sha256));
"""


class Database:
    """A file with the schema above. Each thread has a connection of its own."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path, self.writable = path, writable
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.RLock()
        if writable and not path.exists():
            self._create()
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise RunbookError(
                f"the memory was written by another version (schema {version}, not {SCHEMA_VERSION})",
                where=paths.short(path),
                fix=f"move {paths.short(path.parent)} aside, and add the files again",
            )

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Hold the manifest for one transaction: all of it happens, or nothing."""
        with self._lock:
            connection = self.connection
            if connection.in_transaction:  # part of a larger one
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def scrub(self) -> None:
        """Leave no byte of what was deleted: neither in free pages (`secure_delete`) nor in the write-ahead log."""
        with self._lock:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of the thread that asks."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            mode = "rw" if self.writable else "ro"
            connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            if self.writable:
                # FULL: what was answered for survives a power cut. secure_delete: what is deleted is overwritten.
                connection.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                    "PRAGMA secure_delete = ON;"
                )
            self._local.connection = connection
            with self._lock:
                self._all.append(connection)
        found: sqlite3.Connection = connection
        return found

    def _create(self) -> None:
        # Made aside and renamed: a manifest that exists is whole.
        aside = self.path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        connection = sqlite3.connect(aside)
        connection.executescript(f"{SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};")
        connection.close()
        aside.chmod(0o600)
        aside.replace(self.path)


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield values some hundred at a time."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
