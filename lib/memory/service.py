"""The memory as others use it: opened from a profile, asked for context, told of chats, told to forget."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.sections import MemorySearch, Profile
from lib.memory import chats, files, forget
from lib.memory.chats import Chat
from lib.memory.chunk import tokens as estimated
from lib.memory.context import Context, Source, compose
from lib.memory.embed import Embedder
from lib.memory.files import Place
from lib.memory.ingest import Ingest, Report
from lib.memory.read.document import Limits
from lib.memory.read.worker import Reader
from lib.memory.rerank import Reranker
from lib.memory.retrieve import Method, Retriever, Timed
from lib.memory.store.space import Space
from lib.memory.store.store import Store

__all__ = ["Chat", "Context", "Memory", "Source"]
T = TypeVar("T")


class Memory:
    """One opened memory. Methods that say `async` are for a server; all others wait.

    Parameters
    ----------
    settings : MemorySearch
        The profile's `memory` section.
    embedder : Embedder or None
        Of the served model. None: nothing is embedded, so only words are searched, and nothing is added.
    writable : bool
        False: look only; another process may write meanwhile.
    """

    def __init__(
        self,
        settings: MemorySearch,
        embedder: Embedder | None,
        reranker: Reranker | None = None,
        *,
        writable: bool = True,
    ) -> None:
        self.settings, self.embedder = settings, embedder
        self.folder = folder(settings)
        space = Space(embedder.model, embedder.dimension) if embedder else None
        self.store = Store(self.folder, space, settings.hnsw, settings.chroma, writable=writable)
        self.reader = Reader(Limits(settings.file_mib << 20, settings.text_mib << 20, seconds=settings.read_seconds))
        self.retriever = Retriever(self.store, embedder, settings.candidates, reranker)
        self._writing = threading.RLock()
        if writable:
            self._set_roots()
            forget.apply(self.store, self.folder)

    @classmethod
    def open(cls, profile: Profile, *, endpoint: str = "", writable: bool = True) -> Self:
        """Open the memory of a profile.

        Parameters
        ----------
        endpoint : str
            Address of the embedding server; empty: the profile's.

        Raises
        ------
        RunbookError
            No model or no address is named, the server is gone, another process writes, or the models do not fit.
        """
        served = embedder(profile, endpoint)
        try:
            return cls(profile.memory, served, reranker(profile), writable=writable)
        except BaseException:
            served.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def roots(self) -> dict[str, Path]:
        """Folders whose files are remembered."""
        return {name: there for name, there in self.store.manifest.roots().items() if name != chats.ROOT}

    def add(self, path: Path) -> Report:
        """Remember a file or all of a folder. A folder becomes one of the roots that are watched."""
        root, there, below = files.locate(path, self._all_roots())
        target = there / below if below else there
        if target.is_dir() and not target.is_symlink():
            self.store.manifest.set_root(root, there)
            places: Iterable[Place] = files.walk(root, there, self.settings.ignore, below)
        else:
            places = [Place(root, there, below)]
        return self.take(places, again=True)

    def take(self, places: Iterable[Place], *, again: bool = False) -> Report:
        """Read files that may have changed, and store what did."""
        with self._writing:
            return self._ingest().files(places, again=again)

    def sweep(self) -> Report:
        """Look at all roots and take in what changed, out what is gone."""
        known = {
            path: source.state
            for path, source in self.store.manifest.sources().items()
            if path.partition("/")[0] in self._all_roots()
        }
        self.store.flush()  # what a Chroma that did not answer has still to be told
        changes = files.compare(self._all_roots(), known, self.settings.ignore)
        report = self.take(changes.places) if changes.places else Report()
        with self._writing:
            removed = self.store.drop(changes.gone) if changes.gone else None
        self.store.tend()
        return report._replace(removed=report.removed + (len(changes.gone) if removed else 0))

    def search(self, question: str, count: int = 0, method: Method | None = None) -> Timed:
        """Return what answers a question best; without an embedding server, by words."""
        return self.retriever.search(question, count or self.settings.top, method)

    def forget(self, target: str) -> forget.Forgotten:
        """Delete a source, or all below a path, from store, index and disk; see `forget.forget`."""
        with self._writing:
            return forget.forget(self.store, self.folder, target)

    def store_chat(self, chat: Chat) -> Report:
        """Keep a chat as a Markdown file of the memory's own, and make it findable."""
        if chat.client in self.settings.opt_out or not chat.messages:
            return Report()
        with self._writing:
            place = chats.write(self.folder, chat)
            return self.take([place])

    async def context(self, question: str, *, tokens: int = 0, count: Callable[[str], int] = estimated) -> Context:
        """Return excerpts for a prompt, with their sources, within a budget of tokens.

        Parameters
        ----------
        tokens : int
            Budget; 0: the profile's `context_tokens`.
        count : callable
            Tokens of a text, where the caller knows the model's own count.
        """
        budget = tokens or self.settings.context_tokens
        found = await _aside(partial(self.search, question))
        return compose(found.hits, budget, count)

    async def remember(self, chat: Chat) -> None:
        """Store a chat that ended, or one that has been silent for long; the same chat again replaces itself."""
        await _aside(partial(self.store_chat, chat))

    def renew(self, new: Embedder | None = None) -> int:
        """Embed everything with another model, beside what is in use, and switch at once; return how many chunks.

        Without a model the index is built again from the vectors that are kept.
        """
        if new is None:
            self.store.renew()
            return 0
        embedded = self.prepare(new)
        with self._writing:
            embedded += self.prepare(new)  # what was written meanwhile
            self.retriever.coming = new
            self.store.renew(Space(new.model, new.dimension))
            old, self.embedder = self.embedder, new
            self.retriever.embedder, self.retriever.coming = new, None
        if old:
            old.close()
        return embedded

    def prepare(self, new: Embedder) -> int:
        """Embed everything with another model, beside what is in use, which stays; return how many chunks."""
        embedded = 0
        while missing := self.store.vectors.missing(new.space, 256):
            digests, texts = zip(*missing, strict=True)
            self.store.vectors.put(new.space, digests, new.documents(texts))
            embedded += len(digests)
        return embedded

    def close(self) -> None:
        """Write what is not written yet and let go of everything."""
        self.reader.close()
        self.store.close()
        if self.embedder:
            self.embedder.close()
        if self.retriever.reranker:
            self.retriever.reranker.close()

    def _all_roots(self) -> dict[str, Path]:
        return self.store.manifest.roots()

    def _set_roots(self) -> None:
        own = self.folder / chats.FOLDER
        own.mkdir(exist_ok=True, mode=0o700)
        for name, there in {chats.ROOT: own.resolve(), **files.given(self.settings.roots)}.items():
            self.store.manifest.set_root(name, there)

    def _ingest(self) -> Ingest:
        if self.embedder is None:
            raise RunbookError(
                "nothing can be added without an embedding server",
                where="memory.endpoint",
                fix="start it, and name its address in the profile's memory.endpoint or with --endpoint",
            )
        return Ingest(self.store, self.embedder, self.reader, self.settings.chunk_tokens)


def folder(settings: MemorySearch) -> Path:
    """Return where a memory is kept; `.cache` follows the runbook's own."""
    given = Path(settings.folder).expanduser()
    if given.parts[:1] == (".cache",):
        return paths.CACHE.joinpath(*given.parts[1:])
    return paths.ROOT / given


def embedder(profile: Profile, endpoint: str = "") -> Embedder:
    """Return the embedder of a profile."""
    settings = profile.memory
    if not settings.model:
        raise RunbookError(
            "the profile names no embedding model",
            where=f"runbook/profiles/{profile.name}.yml, memory.model",
            fix="--set memory.model=minilm-l6, or another of `python -m lib models list` whose task is embedding",
        )
    address = endpoint or settings.endpoint
    if not address:
        raise RunbookError(
            "the profile does not say where the embedding model is served",
            where=f"runbook/profiles/{profile.name}.yml, memory.endpoint",
            fix="--endpoint http://127.0.0.1:PORT of a vLLM that was started with --runner pooling",
        )
    return Embedder(address, settings.model, settings.instruction, _key(settings), cut=settings.dimension)


def candidate(profile: Profile, endpoint: str) -> Embedder:
    """Return the embedder of the model that is on trial, told the same about questions as the one in use."""
    settings, on_trial = profile.memory, profile.memory.candidate
    return Embedder(endpoint, on_trial.model, settings.instruction, _key(settings), cut=on_trial.dimension)


def reranker(profile: Profile) -> Reranker | None:
    """Return the reranker of a profile, if it names one."""
    settings = profile.memory
    if not settings.reranker:
        return None
    return Reranker(settings.reranker_endpoint, settings.reranker, _key(settings))


def _key(settings: MemorySearch) -> str:
    return (paths.ROOT / Path(settings.key_file).expanduser()).read_text().strip() if settings.key_file else ""


async def _aside(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)
