"""From files to the store: read, cut, embed what is new, write; several requests to the embedding server under way."""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import PurePosixPath
from typing import NamedTuple

from lib.memory import chunk as chunking
from lib.memory.chunk import Chunk
from lib.memory.embed import BATCH, Embedder, Vectors
from lib.memory.files import Place
from lib.memory.read import safety
from lib.memory.read.document import Document, Refused, Torn
from lib.memory.read.safety import State
from lib.memory.read.worker import Reader
from lib.memory.store.manifest import Source
from lib.memory.store.store import Store

REQUESTS = 4
# A file that is still being written is looked at again so often, so long apart.
TRIES = 5
WAIT_S = 0.1
# So many chunks are written together: one flush to disk for all of them.
COMMIT = 128
NOWHERE = State(0, 0, 0)


class Report(NamedTuple):
    """What became of some files."""

    stored: int = 0
    unchanged: int = 0
    removed: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    chunks: int = 0
    embedded: int = 0
    seconds: float = 0.0

    def joined(self, other: "Report") -> "Report":
        """Return both as one."""
        return Report(
            self.stored + other.stored,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
            self.refused + other.refused,
            self.chunks + other.chunks,
            self.embedded + other.embedded,
            self.seconds + other.seconds,
        )


class Prepared(NamedTuple):
    """A file that was read and cut, and which of its digests have to be embedded first."""

    source: Source
    chunks: list[Chunk]
    needs: frozenset[str]


class Ingest:
    """Takes files into a store.

    Parameters
    ----------
    limit : int
        Longest chunk, tokens.
    """

    def __init__(self, store: Store, embedder: Embedder, reader: Reader, limit: int) -> None:
        self.store, self.embedder, self.reader, self.limit = store, embedder, reader, limit

    def files(self, places: Iterable[Place], *, again: bool = False) -> Report:
        """Read files and store what changed.

        Parameters
        ----------
        places : iterable of Place
            They may lie anywhere below their roots; what is not there any more is taken out.
        again : bool
            Also what was forgotten: its owner asks for it by name.

        Raises
        ------
        EndpointError
            The embedding server failed. What was written stays, and the rest is found by the next sweep.
        """
        begun = time.monotonic()
        run = _Run(self)
        found = Report()
        for place in places:
            prepared = self._prepare(place, again)
            if isinstance(prepared, Prepared):
                run.take(prepared)
            else:
                found = found.joined(prepared)
        run.finish()
        return found.joined(run.report)._replace(seconds=time.monotonic() - begun)

    def document(self, path: str, document: Document, about: dict[str, str | list[str]]) -> Report:
        """Store a document that is no file of a root."""
        run = _Run(self)
        sha = hashlib.sha256(document.text.encode("utf-8", "replace")).hexdigest()
        run.take(self._cut(Source(path, document.title, NOWHERE, sha, "", about, time.time()), document))
        run.finish()
        return run.report

    def _prepare(self, place: Place, again: bool) -> Prepared | Report:
        for left in reversed(range(TRIES)):
            try:
                return self._read(place, again)
            except Torn as torn:
                if left and place.exists():
                    time.sleep(WAIT_S)
                    continue
                if not place.exists():
                    # It may have been a folder that was moved away with all that was in it.
                    gone = self.store.manifest.sources(place.path)
                    self.store.drop(gone)
                    return Report(removed=len(gone))
                return self._refuse(place, torn.reason, NOWHERE, "")
            except Refused as refused:
                return self._refuse(place, refused.reason, place.state() or NOWHERE, "")
        raise AssertionError("unreachable")

    def _read(self, place: Place, again: bool) -> Prepared | Report:
        data, state = safety.read(place.folder, place.name, self.reader.limits)
        sha = hashlib.sha256(data).hexdigest()
        known = self.store.manifest.sources(place.path).get(place.path)
        if known and known.sha256 == sha and not (known.refused and again):
            self.store.manifest.touch(place.path, state)
            return Report(unchanged=1)
        if again:
            self.store.manifest.recall(hashed(place.path))
        elif (hashed(place.path), sha) in self.store.manifest.forgotten():
            return Report(unchanged=1)
        try:
            document = self.reader.read(data, place.name)
        except Torn:
            raise
        except Refused as refused:
            return self._refuse(place, refused.reason, state, sha)
        about: dict[str, str | list[str]] = {"tags": list(document.tags), "links": list(document.links)}
        return self._cut(Source(place.path, document.title, state, sha, "", about, time.time()), document)

    def _cut(self, source: Source, document: Document) -> Prepared:
        cut = chunking.chunks(document, self.limit)
        digests = {chunk.digest for chunk in cut}
        return Prepared(source, cut, frozenset(digests - self.store.vectors.known(self.store.space.key, digests)))

    def _refuse(self, place: Place, reason: str, state: State, sha: str) -> Report:
        title = PurePosixPath(place.name).name
        self.store.put([(Source(place.path, title, state, sha, reason, {}, time.time()), [])], [])
        return Report(refused=((place.path, reason),))


class _Run:
    """One pass: prepared files wait until the server has embedded their new chunks, then are written in order."""

    def __init__(self, ingest: Ingest) -> None:
        self.store, self.embedder = ingest.store, ingest.embedder
        self.report = Report()
        self._pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="embed")
        self._waiting: deque[Prepared] = deque()
        self._unsent: dict[str, str] = {}
        self._flight: dict[Future[Vectors], list[str]] = {}
        self._asked: set[str] = set()
        self._ready: dict[str, Vectors] = {}

    def take(self, prepared: Prepared) -> None:
        self._waiting.append(prepared)
        for chunk in prepared.chunks:
            digest = chunk.digest
            if digest in prepared.needs and digest not in self._asked:
                self._asked.add(digest)
                self._unsent[digest] = chunk.embedded
        while len(self._unsent) >= BATCH:
            self._send()
        self._write(COMMIT)

    def finish(self) -> None:
        try:
            while self._unsent:
                self._send()
            while self._flight:
                self._collect()
                self._write(COMMIT)
            self._write(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _send(self) -> None:
        while len(self._flight) >= 2 * REQUESTS:
            self._collect()
        digests = list(self._unsent)[:BATCH]
        texts = [self._unsent.pop(digest) for digest in digests]
        self._flight[self._pool.submit(self.embedder.documents, texts)] = digests

    def _collect(self) -> None:
        done, _ = wait(self._flight, return_when=FIRST_COMPLETED)
        for future in done:
            self._keep(future)

    def _write(self, least: int) -> None:
        """Write files that are ready, once they have so many chunks together."""
        self._gather()
        ready = list(self._first())
        if not ready or sum(len(prepared.chunks) for prepared in ready) < least:
            return
        new = dict.fromkeys(digest for prepared in ready for digest in prepared.needs if digest in self._ready)
        self.store.put(
            [(prepared.source, prepared.chunks) for prepared in ready],
            [(digest, self._ready.pop(digest)) for digest in new],
        )
        for _ in ready:
            self._waiting.popleft()
        cut = sum(len(prepared.chunks) for prepared in ready)
        self.report = self.report.joined(Report(stored=len(ready), chunks=cut, embedded=len(new)))

    def _gather(self) -> None:
        for future in [future for future in self._flight if future.done()]:
            self._keep(future)

    def _keep(self, future: Future[Vectors]) -> None:
        digests = self._flight.pop(future)
        self._ready |= dict(zip(digests, future.result(), strict=True))

    def _first(self) -> Iterator[Prepared]:
        coming = {digest for digests in self._flight.values() for digest in digests} | self._unsent.keys()
        for prepared in self._waiting:
            if prepared.needs & coming:
                return
            yield prepared


def hashed(text: str) -> str:
    """Return the name under which something forgotten is remembered, without saying what it was."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
