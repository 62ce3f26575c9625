"""All that is kept, as one: manifest, Chroma and lexical index agree, whatever happened to the process before."""

import shutil
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lib.core import paths
from lib.core.errors import RefusedError, RunbookError
from lib.core.sections import Hnsw
from lib.memory.chunk import Chunk
from lib.memory.embed import Vectors
from lib.memory.lexical import Lexical
from lib.memory.store.dense import AT_ONCE, Chroma, Dense, Entry, Exact, discard
from lib.memory.store.hold import hold
from lib.memory.store.manifest import Change, Kept, Manifest, Source
from lib.memory.store.space import Space, SwitchedError
from lib.memory.store.vectors import VectorTable


class Store:
    """The memory's folder, opened by one process for writing, or by any for reading.

    Parameters
    ----------
    folder : Path
        Holds the manifest, `index/<generation>` of Chroma, and the lexical index.
    space : Space or None
        What the profile's model gives. None: what is there is taken, for looking and forgetting only.
    chroma : str
        Address of `chroma run`; empty: Chroma is embedded.
    writable : bool
        False: nothing is locked or changed, and the exact index takes Chroma's place.
    """

    def __init__(
        self, folder: Path, space: Space | None, hnsw: Hnsw, chroma: str = "", *, writable: bool = True
    ) -> None:
        self.folder, self.hnsw, self.chroma, self.writable = folder, hnsw, chroma, writable
        self._lock = threading.RLock()
        self._held = hold(folder) if writable else None
        try:
            self.manifest = Manifest(_manifest(folder, writable), writable=writable)
            self.vectors = VectorTable(self.manifest)
            self.space = self._space(space)
            self.lexical = Lexical()
            self.lexical.load(self.folder / "lexical")
            self.dense: Dense = self._recover() if writable else self.exact()
            self._agree_lexical()
        except BaseException:
            self._let_go()
            raise

    def put(
        self, changes: Sequence[tuple[Source, Sequence[Chunk]]], new: Sequence[tuple[str, Vectors]]
    ) -> list[Change]:
        """Write sources with their chunks and the vectors that were made for them, all or nothing, then tell the index.

        Parameters
        ----------
        changes : sequence
            Sources with all of their chunks.
        new : sequence
            Digest and vector of chunks that were embedded now.
        """
        with self._lock:
            with self.manifest.changing():
                for digest, vector in new:
                    self.vectors.put(self.space.key, [digest], vector[None, :])
                done = [self.manifest.put(source, chunks) for source, chunks in changes]
            for change in done:
                self.lexical.change(change.added, change.removed)
            self.flush()
        return done

    def drop(self, source_paths: Iterable[str]) -> Change:
        """Take sources out."""
        with self._lock:
            change = self.manifest.drop(source_paths)
            self.lexical.change({}, change.removed)
            self.flush()
        return change

    def flush(self) -> None:
        """Tell Chroma what the journal holds; doing it twice does no harm."""
        with self._lock:
            while ids := self.manifest.journal(AT_ONCE):
                self._tell(self._chroma(), ids)
                self.manifest.told(ids)

    def tend(self) -> None:
        """Do what can wait for a quiet moment."""
        while self.lexical.tend():
            pass

    def renew(self, space: Space | None = None) -> None:
        """Build Chroma anew beside the old one and switch at once; the old one answers until then.

        Parameters
        ----------
        space : Space, optional
            Of a new model: every chunk must have its vector. None: the same, without traces of what was deleted.
        """
        new = space or self.space
        generation = str(int(self.manifest.meta("generation", "0")) + 1)
        self._clear(generation)
        fresh = self._open(generation, new)
        # Writers go on meanwhile; the second round, with the lock held, finds only what they wrote during the first.
        told = self._copy(fresh, new, set())
        with self._lock:
            told |= self._copy(fresh, new, told)
            present = self.manifest.ids()
            fresh.drop(sorted(told - present))
            if missing := present - told:
                fresh.close()
                raise RunbookError(
                    f"{len(missing)} chunks have no vector of {new.model}", where=paths.short(self.folder)
                )
            with self.manifest.changing():
                self.manifest.told(sorted(self.manifest.journal(1 << 30)))
                self.manifest.set_meta(generation=generation, space=new.key, purge="")
            old, self.dense, self.space = self.dense, fresh, new
        self._discard(old)
        self.vectors.sweep([self.space.key])
        self.manifest.scrub()

    def disagreements(self) -> list[str]:
        """Return where manifest, Chroma and lexical index say different things; none is what should be."""
        with self._lock:
            self.flush()
            present = self.manifest.ids()
            found = self.manifest.damage()
            for name, ids in (("Chroma", self._chroma().ids()), ("the lexical index", self.lexical.ids)):
                if missing := present - ids:
                    found.append(f"{name} lacks {len(missing)} chunks")
                if extra := ids - present:
                    found.append(f"{name} has {len(extra)} chunks too many")
        return found

    def nearest(self, vector: Vectors, count: int, space: str = "") -> list[tuple[int, float]]:
        """Return ids and cosines of the nearest chunks, best first.

        Parameters
        ----------
        space : str
            Key of the space that the vector lies in; empty: the caller knows that it is the present one.

        Raises
        ------
        SwitchedError
            The index holds vectors of another model by now.
        """
        while True:
            index = self.dense
            if space and index.space != space:
                raise SwitchedError(f"the vector lies in {space}, the index in {index.space}")
            try:
                return index.search(vector, count)
            except Exception:
                if index is self.dense:
                    raise  # otherwise it was renewed in between

    def exact(self, space: Space | None = None) -> Exact:
        """Return the exact index over all vectors of now, or over those of a space that is not in use yet."""
        wanted = space or self.space
        index = Exact(wanted.dimension, wanted.key)
        for ids, vectors in self.vectors.of(wanted.key, self.manifest.ids()):
            index.put(ids, vectors)
        return index

    def close(self) -> None:
        """Write the lexical index, note that all is well, let go."""
        if self.writable:
            with self._lock:
                self.lexical.save(self.folder / "lexical")
                self.manifest.set_meta(clean="yes")
        self._let_go()

    def _space(self, wanted: Space | None) -> Space:
        kept = self.manifest.meta("space")
        if not kept:
            if wanted is None or not self.writable:
                raise RunbookError(
                    "the memory is empty", where=paths.short(self.folder), fix="python -m lib memory add FOLDER"
                )
            self.manifest.set_meta(space=wanted.key)
            return wanted
        if wanted is not None and kept != wanted.key:
            raise RunbookError(
                f"the memory was embedded with {kept}, and the profile's model gives {wanted.key}: they do not mix",
                where=paths.short(self.folder),
                fix="python -m lib memory rebuild  (embeds everything with the new model, beside the old one)",
            )
        return Space.read(kept)

    def _recover(self) -> Dense:
        """Open Chroma and bring it to what the manifest says; one that is damaged is built anew from the vectors."""
        clean = self.manifest.meta("clean", "yes") == "yes"
        self.manifest.set_meta(clean="no")
        self.dense = Exact(self.space.dimension, self.space.key)
        generation = self.manifest.meta("generation", "0")
        if self.manifest.meta("purge"):  # a process was killed while it forgot something
            shutil.rmtree(self.folder / "lexical", ignore_errors=True)
            self.lexical = Lexical()
            self.renew()
            return self.dense
        try:
            index = self._open(generation, self.space)
            self.dense = index
            self.flush()
            present = self.manifest.ids()
            agree = index.count() == len(present) if clean else index.ids() == present
            if agree:
                self._sweep_folders(generation)
                return index
        except RunbookError:
            raise
        except Exception:  # noqa: S110 - Chroma raises what its layers raise; the vectors are all in the manifest
            pass
        self.renew()
        return self.dense

    def _agree_lexical(self) -> None:
        present, known = self.manifest.ids(), self.lexical.ids
        missing = sorted(present - known)
        added = {kept.id: kept.chunk.embedded for kept in self.manifest.chunks(missing).values()}
        self.lexical.change(added, known - present)

    def _chroma(self) -> Chroma:
        if not isinstance(self.dense, Chroma):
            raise RefusedError("the memory was opened for reading", where=paths.short(self.folder))
        return self.dense

    def _open(self, generation: str, space: Space) -> Chroma:
        if self.chroma:
            return Chroma(self.chroma, space.key, self.hnsw, _collection(generation))
        return Chroma(self.folder / "index" / generation, space.key, self.hnsw)

    def _copy(self, index: Chroma, space: Space, told: set[int]) -> set[int]:
        done: set[int] = set()
        for ids, vectors in self.vectors.of(space.key, self.manifest.ids() - told):
            kept = self.manifest.chunks(ids)
            places = [place for place, number in enumerate(ids) if number in kept]
            index.put([_entry(kept[ids[place]]) for place in places], vectors[places])
            done |= {ids[place] for place in places}
        return done

    def _tell(self, index: Chroma, ids: Sequence[int]) -> None:
        told = self._of(index, ids)
        index.drop([number for number in ids if number not in told])

    def _of(self, index: Chroma, ids: Sequence[int]) -> set[int]:
        kept = self.manifest.chunks(ids)
        told: set[int] = set()
        for present, vectors in self.vectors.of(self.space.key, kept):
            index.put([_entry(kept[number]) for number in present], vectors)
            told |= set(present)
        return told

    def _clear(self, generation: str) -> None:
        """Delete what a renewal that was killed left behind."""
        if self.chroma:
            discard(self.chroma, _collection(generation))
        else:
            shutil.rmtree(self.folder / "index" / generation, ignore_errors=True)

    def _discard(self, old: Dense | None) -> None:
        if isinstance(old, Chroma):
            with suppress(Exception):  # a damaged one may not even close
                if self.chroma:
                    old.erase()
                old.close()
        self._sweep_folders(self.manifest.meta("generation", "0"))

    def _sweep_folders(self, generation: str) -> None:
        for folder in (self.folder / "index").glob("*"):
            if folder.name != generation and not self.chroma:
                shutil.rmtree(folder, ignore_errors=True)

    def _let_go(self) -> None:
        for part in ("dense", "manifest"):
            if hasattr(self, part):
                getattr(self, part).close()
        if self._held:
            self._held.close()


def _entry(kept: Kept) -> Entry:
    about: dict[str, str | int] = {"source": kept.path, "title": kept.title, "heading": " > ".join(kept.chunk.heading)}
    return Entry(kept.id, kept.chunk.text, about)


def _collection(generation: str) -> str:
    return f"memory-{generation}"


def _manifest(folder: Path, writable: bool) -> Path:
    path = folder / "manifest.sqlite"
    if not writable and not path.exists():
        raise RunbookError("there is no memory yet", where=paths.short(folder), fix="python -m lib memory add FOLDER")
    return path
