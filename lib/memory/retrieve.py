"""Finding: by meaning (dense), by words (lexical), both joined, and put in order by a reranker where there is one."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from lib.memory.embed import Embedder, Vectors
from lib.memory.fuse import fuse
from lib.memory.rerank import Reranker
from lib.memory.store.dense import Dense
from lib.memory.store.manifest import Kept
from lib.memory.store.store import Store

Method = Literal["dense", "lexical", "fused", "reranked"]
# A model is switched once in a long while: a question that meets it is asked again.
TRIES = 5
Near = Callable[[Vectors, int], list[tuple[int, float]]]
METHODS: tuple[Method, ...] = ("dense", "lexical", "fused", "reranked")


class Hit(NamedTuple):
    """One chunk that was found, with its place: bytes of the file, or of the text that was taken out of it."""

    id: int
    path: str
    title: str
    heading: tuple[str, ...]
    start: int
    end: int
    score: float
    text: str
    about: Mapping[str, str | list[str]] = {}


class Timed(NamedTuple):
    """Hits, and seconds: of the whole, and of the embedding server's part in it."""

    hits: list[Hit]
    seconds: float
    embedding_s: float = 0.0


class Retriever:
    """Answers questions from a store.

    Parameters
    ----------
    candidates : int
        How many of each ranking are joined.
    """

    def __init__(
        self, store: Store, embedder: Embedder | None, candidates: int, reranker: Reranker | None = None
    ) -> None:
        self.store, self.embedder, self.candidates, self.reranker = store, embedder, candidates, reranker
        # The embedder that takes over; both can be asked while the index is switched.
        self.coming: Embedder | None = None

    @property
    def best(self) -> Method:
        """The most that can be done here; without an embedding server only words can be looked for."""
        if self.embedder is None:
            return "lexical"
        return "reranked" if self.reranker else "fused"

    def search(self, question: str, count: int, method: Method | None = None) -> Timed:
        """Return the chunks that answer a question best.

        Parameters
        ----------
        question : str
            As it was asked.
        count : int
            How many, at most.
        method : Method, optional
            Default: `best`.
        """
        method = method or self.best
        begun = time.perf_counter()
        if method == "lexical" or not self.embedder:
            return self.joined(question, None, count, method)
        for left in reversed(range(TRIES)):
            asked = self._asked()
            try:
                vector = asked.query(question)
                embedding_s = time.perf_counter() - begun
                found = self.joined(question, vector, count, method, space=asked.space)
            except Exception:
                if left and asked is not self._asked():
                    continue  # the model was switched in between
                raise
            return found._replace(seconds=found.seconds + embedding_s, embedding_s=embedding_s)
        raise AssertionError("unreachable")

    def joined(
        self,
        question: str,
        vector: Vectors | None,
        count: int,
        method: Method = "fused",
        *,
        space: str = "",
        index: Dense | None = None,
    ) -> Timed:
        """Search with a question whose vector is there already; without one, by words.

        Parameters
        ----------
        space : str
            Key of the vector's space, where it may have been switched meanwhile.
        index : Dense, optional
            Asked instead of the store's own: of a model that is on trial.
        """
        begun = time.perf_counter()
        wide = max(count, self.candidates)
        near: Near = index.search if index else partial(self.store.nearest, space=space)
        rankings = [] if vector is None else [near(vector, wide)]
        if method != "dense":
            rankings.append(self.store.lexical.search(question, wide))
        if len(rankings) == 1:
            (ranked,) = rankings
        else:
            ranked = fuse([number for number, _ in ranking] for ranking in rankings)
        # What was taken out while we looked is not in the manifest any more.
        kept = self.store.manifest.chunks([number for number, _ in ranked[:wide]])
        found = [(kept[number], score) for number, score in ranked if number in kept]
        if method == "reranked" and self.reranker:
            order = self.reranker.order(question, [chunk.chunk.text for chunk, _ in found])
            found = [(found[place][0], score) for place, score in order]
        hits = [_hit(chunk, score) for chunk, score in found[:count]]
        return Timed(hits, time.perf_counter() - begun)

    def _asked(self) -> Embedder:
        """Return the embedder whose vectors the index of this moment holds."""
        space = self.store.dense.space
        found = next((each for each in (self.embedder, self.coming) if each and each.space == space), self.embedder)
        assert found is not None
        return found


def _hit(kept: Kept, score: float) -> Hit:
    chunk = kept.chunk
    return Hit(kept.id, kept.path, kept.title, chunk.heading, chunk.start, chunk.end, score, chunk.text, kept.about)
