"""The vector index: Chroma, embedded or as a server, and FAISS flat as the exact reference."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import chromadb
import faiss
import httpx
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError

from lib.core.errors import RunbookError
from lib.core.sections import Hnsw
from lib.memory.embed import Vectors

NAME = "memory"
AT_ONCE = 500
TIMEOUT_S = 60.0
Hits = list[tuple[int, float]]


class Entry(NamedTuple):
    """What Chroma is told of one chunk; text and place are for other programs that read the same Chroma."""

    id: int
    text: str
    about: Mapping[str, str | int]


class Dense(Protocol):
    """What can be asked for the nearest vectors; `space` says whose they are."""

    space: str

    def search(self, vector: Vectors, count: int) -> Hits:
        """Return ids and cosines, best first."""

    def close(self) -> None:
        """Let go of files and connections."""


class Chroma:
    """One collection: vectors of one model, by cosine.

    Parameters
    ----------
    place : Path or str
        A folder of its own, or the address of `chroma run`.
    name : str
        The collection's name.
    space : str
        Model and dimension; the collection keeps it and refuses another.
    """

    def __init__(self, place: Path | str, space: str, hnsw: Hnsw, name: str = NAME) -> None:
        self.place, self.name, self.space = place, name, space
        with _answering(self.place):
            self._client = _client(place)
            self._collection = self._client.get_or_create_collection(
                name,
                metadata={"space": space},
                embedding_function=None,
                configuration={
                    "hnsw": {
                        "space": "ip",  # vectors have length one
                        "ef_construction": hnsw.ef_construction,
                        "ef_search": hnsw.ef_search,
                        "max_neighbors": hnsw.max_neighbors,
                    }
                },
            )
            if self._collection.configuration_json["hnsw"]["ef_search"] != hnsw.ef_search:
                self._take_on(hnsw)
        kept = str((self._collection.metadata or {}).get("space", ""))
        if kept != space:
            raise RunbookError(
                f"the collection holds vectors of {kept or 'an unknown model'}, not of {space}",
                where=f"Chroma, collection {name}",
                fix="python -m lib memory rebuild",
            )

    def _take_on(self, hnsw: Hnsw) -> None:
        """Search as widely as the profile says: the one setting that an index takes on without being built anew."""
        with warnings.catch_warnings():
            # chromadb warns of an embedding function of its own, which this collection does not have.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._collection.modify(configuration={"hnsw": {"ef_search": hnsw.ef_search}})

    def put(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Write chunks, new or changed."""
        if entries:
            with _answering(self.place):
                self._collection.upsert(
                    ids=[str(entry.id) for entry in entries],
                    embeddings=vectors,
                    documents=[entry.text for entry in entries],
                    metadatas=[dict(entry.about) for entry in entries],
                )

    def drop(self, ids: Sequence[int]) -> None:
        """Delete chunks; those that are not there do not matter."""
        if ids:
            with _answering(self.place):
                self._collection.delete(ids=[str(number) for number in ids])

    def search(self, vector: Vectors, count: int) -> Hits:
        """Return ids and cosines, best first."""
        with _answering(self.place):
            found = self._collection.query(query_embeddings=vector[None, :], n_results=count, include=["distances"])
        distances = (found["distances"] or [[]])[0]
        return [(int(name), 1 - float(far)) for name, far in zip(found["ids"][0], distances, strict=True)]

    def ids(self) -> set[int]:
        """Return the ids of all chunks."""
        with _answering(self.place):
            return {int(name) for name in self._collection.get(include=[])["ids"]}

    def count(self) -> int:
        """Return how many chunks there are."""
        with _answering(self.place):
            return int(self._collection.count())

    def erase(self) -> None:
        """Delete the whole collection."""
        self._client.delete_collection(self.name)

    def close(self) -> None:
        """Let go of files and connections."""
        _close(self._client)


class Exact:
    """Every vector compared with the question: slow, and right. What Chroma's recall is measured against."""

    def __init__(self, dimension: int, space: str = "") -> None:
        self.space = space
        self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))

    def put(self, ids: Iterable[int], vectors: Vectors) -> None:
        """Take vectors in."""
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.fromiter(ids, np.int64))

    def search(self, vector: Vectors, count: int) -> Hits:
        """Return ids and cosines, best first."""
        return self.search_all(vector[None, :], count)[0]

    def search_all(self, vectors: Vectors, count: int) -> list[Hits]:
        """Answer many questions at once: shape (questions, dimension)."""
        if not self._index.ntotal:
            return [[] for _ in vectors]
        scores, ids = self._index.search(np.ascontiguousarray(vectors), min(count, self._index.ntotal))
        return [
            [(int(i), float(s)) for i, s in zip(row, values, strict=True) if i >= 0]
            for row, values in zip(ids, scores, strict=True)
        ]

    def close(self) -> None:
        """Nothing is held open."""


def discard(place: str, name: str) -> None:
    """Delete a server's collection, whatever is in it."""
    with _answering(place):
        client = _client(place)
        with suppress(NotFoundError):
            client.delete_collection(name)
        _close(client)


@contextmanager
def _answering(place: Path | str) -> Iterator[None]:
    """Say what a server's silence or refusal means; errors of an embedded Chroma go to whoever builds it again."""
    try:
        yield
    except (httpx.HTTPError, ChromaError, ValueError) as error:
        if isinstance(place, Path):
            raise
        raise RunbookError(
            f"Chroma at {place} does not answer, or has lost the collection: {type(error).__name__}",
            where="memory.chroma",
            fix="chroma run --host 127.0.0.1 --port 8000 --path FOLDER, or leave memory.chroma empty",
        ) from error


def _close(client: Any) -> None:
    client.close()
    # chromadb leaves a server's connections open; each client of a server has two of its own.
    for part in (client, client._admin_client):
        if hasattr(part._server, "_session"):
            part._server._session.close()


def _client(place: Path | str) -> Any:
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return chromadb.PersistentClient(str(place), settings=_quiet())
    host, _, port = place.removeprefix("http://").rstrip("/").rpartition(":")
    client: Any = chromadb.HttpClient(host=host, port=int(port), settings=_quiet())
    client._server._session.timeout = TIMEOUT_S  # chromadb would wait for ever
    return client


def _quiet() -> Settings:
    """Return settings that report nothing to anybody. Each client has its own: chromadb writes addresses into them."""
    return Settings(anonymized_telemetry=False, allow_reset=False)
