"""Vectors by the digest of their text and the space of their model: the same text is never embedded twice."""

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lib.memory.chunk import Chunk
from lib.memory.embed import Vectors
from lib.memory.store.database import Database, parts


class VectorTable:
    """The table of vectors in the manifest's file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, space: str, digests: Sequence[str], vectors: Vectors) -> None:
        """Keep vectors by the digest of their text: shape (digests, dimension)."""
        rows = [
            (digest, space, vector.astype("<f4").tobytes()) for digest, vector in zip(digests, vectors, strict=True)
        ]
        with self._database.changing() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def known(self, space: str, digests: Iterable[str]) -> set[str]:
        """Return those of the digests whose vectors are kept."""
        rows = self._database.connection.execute(
            "SELECT digest FROM vectors WHERE space = ? AND digest IN (SELECT value FROM json_each(?))",
            (space, json.dumps(list(digests))),
        )
        return {row[0] for row in rows}

    def missing(self, space: str, count: int) -> list[tuple[str, str]]:
        """Return digest and embedded text of chunks that have no vector in a space yet."""
        rows = self._database.connection.execute(
            "SELECT digest, header, text FROM chunks c WHERE NOT EXISTS "
            "(SELECT 1 FROM vectors v WHERE v.digest = c.digest AND v.space = ?) GROUP BY digest LIMIT ?",
            (space, count),
        )
        return [(digest, Chunk(text, (), 0, 0, header).embedded) for digest, header, text in rows]

    def of(self, space: str, ids: Iterable[int]) -> Iterator[tuple[list[int], Vectors]]:
        """Yield chunk ids and their vectors, some hundred at a time; chunks without a vector are left out."""
        for part in parts(sorted(ids)):
            rows = self._database.connection.execute(
                "SELECT c.id, v.data FROM chunks c JOIN vectors v ON v.digest = c.digest AND v.space = ? "
                "WHERE c.id IN (SELECT value FROM json_each(?)) ORDER BY c.id",
                (space, json.dumps(part)),
            ).fetchall()
            if rows:
                yield [row[0] for row in rows], np.stack([np.frombuffer(row[1], "<f4") for row in rows])

    def sweep(self, spaces: Iterable[str]) -> int:
        """Delete vectors that no chunk needs, and those of other spaces; return how many."""
        with self._database.changing() as connection:
            cursor = connection.execute(
                "DELETE FROM vectors WHERE space NOT IN (SELECT value FROM json_each(?)) "
                "OR NOT EXISTS (SELECT 1 FROM chunks c WHERE c.digest = vectors.digest)",
                (json.dumps(list(spaces)),),
            )
            return cursor.rowcount
