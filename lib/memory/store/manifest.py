"""The manifest: one SQLite file that is the truth about sources, chunks and vectors.

What Chroma and the lexical index hold is made from it. A change of the manifest and the list of what Chroma has still
to be told (`journal`) are one transaction, so that a killed process leaves nothing half done: the journal is gone
through again at the next start.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.memory.chunk import Chunk
from lib.memory.read.safety import State
from lib.memory.store.database import AT_ONCE, Database


class Source(NamedTuple):
    """One file or chat. `path` is its root's name and its place below; `refused` is empty or the reason."""

    path: str
    title: str
    state: State
    sha256: str
    refused: str = ""
    about: Mapping[str, str | list[str]] = {}
    added: float = 0.0


class Kept(NamedTuple):
    """A chunk as it is kept, with its source."""

    id: int
    path: str
    title: str
    chunk: Chunk
    about: Mapping[str, str | list[str]]


class Change(NamedTuple):
    """What one put or drop did: chunks by id and text, those taken away, and how many stayed as they were."""

    added: dict[int, str]
    removed: list[int]
    kept: int


class Manifest(Database):
    """What is in the SQLite file; see `Database` for who may write."""

    def meta(self, key: str, default: str = "") -> str:
        """Return a fact about the whole."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else default

    def set_meta(self, **facts: str) -> None:
        """Set facts about the whole."""
        with self.changing() as connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))

    def roots(self) -> dict[str, Path]:
        """Return the folders whose files are remembered, by name."""
        return {name: Path(folder) for name, folder in self.connection.execute("SELECT name, folder FROM roots")}

    def set_root(self, name: str, folder: Path) -> None:
        """Name a folder."""
        with self.changing() as connection:
            connection.execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", (name, str(folder)))

    def sources(self, below: str = "") -> dict[str, Source]:
        """Return sources by path: all, or one and what lies below it."""
        rows = self.connection.execute(
            "SELECT path, title, size, mtime_ns, inode, sha256, refused, about, added FROM sources "
            "WHERE ?1 = '' OR path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'",
            (below,),
        )
        return {
            path: Source(path, title, State(size, mtime, inode), sha, refused, json.loads(about), added)
            for path, title, size, mtime, inode, sha, refused, about, added in rows
        }

    def put(self, source: Source, chunks: Sequence[Chunk]) -> Change:
        """Write a source and its chunks; chunks whose content was there before keep their id.

        Every chunk's vector must be there (`vectors.VectorTable`): the index can always be made from the manifest.
        """
        with self.changing() as connection:
            identity, known = self._source(connection, source)
            old: dict[str, list[int]] = {}
            for chunk, digest in connection.execute(
                "SELECT id, digest FROM chunks WHERE source = ? ORDER BY ordinal DESC", (identity,)
            ):
                old.setdefault(digest, []).append(chunk)
            if known and known != source.title:
                old = {}  # the index names the title: what stays is written again
            added: dict[int, str] = {}
            kept = 0
            stale = {row[0] for row in connection.execute("SELECT id FROM chunks WHERE source = ?", (identity,))}
            for ordinal, chunk in enumerate(chunks):
                place = (ordinal, json.dumps(chunk.heading, ensure_ascii=False), chunk.start, chunk.end)
                if same := old.get(chunk.digest):
                    number = same.pop()
                    stale.discard(number)
                    kept += 1
                    connection.execute(
                        'UPDATE chunks SET ordinal = ?, heading = ?, start = ?, "end" = ? WHERE id = ?',
                        (*place, number),
                    )
                    continue
                cursor = connection.execute(
                    'INSERT INTO chunks (source, ordinal, heading, start, "end", header, text, digest) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (identity, *place, chunk.header, chunk.text, chunk.digest),
                )
                added[int(cursor.lastrowid or 0)] = chunk.embedded
            self._remove(connection, stale)
            self._note(connection, added)
            return Change(added, sorted(stale), kept)

    def drop(self, source_paths: Iterable[str]) -> Change:
        """Take sources out, with their chunks."""
        removed: list[int] = []
        with self.changing() as connection:
            for path in source_paths:
                row = connection.execute("SELECT id FROM sources WHERE path = ?", (path,)).fetchone()
                if row is None:
                    continue
                stale = [r[0] for r in connection.execute("SELECT id FROM chunks WHERE source = ?", row)]
                self._remove(connection, stale)
                connection.execute("DELETE FROM sources WHERE id = ?", row)
                removed += stale
        return Change({}, removed, 0)

    def touch(self, path: str, state: State) -> None:
        """Note that a file was written again with the same content."""
        with self.changing() as connection:
            connection.execute("UPDATE sources SET size = ?, mtime_ns = ?, inode = ? WHERE path = ?", (*state, path))

    def ids(self) -> set[int]:
        """Return the ids of all chunks."""
        return {row[0] for row in self.connection.execute("SELECT id FROM chunks")}

    def chunks(self, ids: Iterable[int]) -> dict[int, Kept]:
        """Return chunks by id; those that are gone are not there."""
        rows = self.connection.execute(
            'SELECT c.id, s.path, s.title, c.text, c.heading, c.start, c."end", c.header, s.about FROM chunks c '
            "JOIN sources s ON s.id = c.source WHERE c.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
        return {
            number: Kept(
                number, path, title, Chunk(text, tuple(json.loads(heading)), start, end, header), json.loads(about)
            )
            for number, path, title, text, heading, start, end, header, about in rows
        }

    def journal(self, count: int = AT_ONCE) -> list[int]:
        """Return chunks that the index has still to be told of, new or gone."""
        rows = self.connection.execute("SELECT chunk FROM journal ORDER BY chunk LIMIT ?", (count,))
        return [row[0] for row in rows]

    def told(self, ids: Sequence[int]) -> None:
        """Note that the index knows."""
        with self.changing() as connection:
            connection.executemany("DELETE FROM journal WHERE chunk = ?", [(number,) for number in ids])

    def forget(self, path: str, sha256: str, now: float) -> None:
        """Remember that this content at this place must not come back, not even from a backup; by its hash alone."""
        with self.changing() as connection:
            connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", (path, sha256, now))

    def forgotten(self) -> set[tuple[str, str]]:
        """Return place and content, both as hashes, of what was forgotten."""
        return {(path, sha) for path, sha in self.connection.execute("SELECT path, sha256 FROM forgotten")}

    def recall(self, path: str) -> None:
        """Allow what was forgotten at a place to be added again."""
        with self.changing() as connection:
            connection.execute("DELETE FROM forgotten WHERE path = ?", (path,))

    def counts(self) -> dict[str, int]:
        """Return how many sources, refusals, chunks, vectors and open journal entries there are."""
        row = self.connection.execute(
            "SELECT (SELECT COUNT(*) FROM sources WHERE refused = ''), "
            "(SELECT COUNT(*) FROM sources WHERE refused != ''), (SELECT COUNT(*) FROM chunks), "
            "(SELECT COUNT(*) FROM vectors), (SELECT COUNT(*) FROM journal)"
        ).fetchone()
        return dict(zip(("sources", "refused", "chunks", "vectors", "journal"), row, strict=True))

    def damage(self) -> list[str]:
        """Return what SQLite and the manifest's own rules find wrong."""
        found = [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"foreign key: {row[0]}" for row in self.connection.execute("PRAGMA foreign_key_check")]
        space = self.meta("space")
        bare = self.connection.execute(
            "SELECT COUNT(*) FROM chunks c WHERE NOT EXISTS "
            "(SELECT 1 FROM vectors v WHERE v.digest = c.digest AND v.space = ?)",
            (space,),
        ).fetchone()[0]
        return [*found, f"{bare} chunks without a vector"] if bare else found

    def _source(self, connection: sqlite3.Connection, source: Source) -> tuple[int, str]:
        row = connection.execute("SELECT id, title FROM sources WHERE path = ?", (source.path,)).fetchone()
        about = json.dumps(dict(source.about), ensure_ascii=False)
        fields = (source.title, *source.state, source.sha256, source.refused, about, source.added)
        if row:
            connection.execute(
                "UPDATE sources SET title = ?, size = ?, mtime_ns = ?, inode = ?, sha256 = ?, refused = ?, about = ?, "
                "added = ? WHERE id = ?",
                (*fields, row[0]),
            )
            return int(row[0]), str(row[1])
        cursor = connection.execute(
            "INSERT INTO sources (title, size, mtime_ns, inode, sha256, refused, about, added, path) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*fields, source.path),
        )
        return int(cursor.lastrowid or 0), ""

    def _remove(self, connection: sqlite3.Connection, ids: Iterable[int]) -> None:
        gone = [(number,) for number in ids]
        connection.executemany("DELETE FROM chunks WHERE id = ?", gone)
        self._note(connection, (number for (number,) in gone))

    def _note(self, connection: sqlite3.Connection, ids: Iterable[int]) -> None:
        connection.executemany("INSERT OR IGNORE INTO journal VALUES (?)", [(number,) for number in ids])
