"""The lexical index: BM25 (bm25s) in segments, so that a saved file is found at once and the whole is built rarely.

A segment never changes. New chunks become a small one; when those have grown, neighbours are merged, as log-structured
stores do. Removed chunks are struck out until their segment is merged. The rarity of a word is taken over all segments
when a question comes, so that scores of a small segment and a large one mean the same.
"""

import json
import logging
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
import numpy as np
from numpy.typing import NDArray

from lib.memory import words

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
# A young segment up to this size is built again with every change: some milliseconds.
YOUNG = 256
# Neighbours are merged when the younger has reached this share of the older.
MERGE_SHARE = 0.5
# More chunks than this are merged by `tend`, in quiet moments, and not while somebody waits for a saved file.
HEAVY = 4096
SAVED = "segment.json"
logging.getLogger("bm25s").setLevel(logging.WARNING)


class Segment(NamedTuple):
    """Some chunks, indexed. `tokens` are places in `vocabulary`, chunk after chunk; `offsets` say where each begins."""

    ids: Integers
    vocabulary: dict[str, int]
    tokens: NDArray[np.int32]
    offsets: Integers
    index: Any

    @property
    def size(self) -> int:
        """How many chunks."""
        return len(self.ids)

    def postings(self, term: str) -> tuple[NDArray[np.int32], Floats]:
        """Return the chunks that have a term, as places in `ids`, and their scores."""
        place = self.vocabulary.get(term)
        scores = self.index.scores
        if place is None:
            return scores["indices"][:0], scores["data"][:0]
        start, end = scores["indptr"][place : place + 2]
        return scores["indices"][start:end], scores["data"][start:end]


class Lexical:
    """All segments. Searching needs no lock: it works on the tuple of segments that it finds."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._segments: tuple[Segment, ...] = ()
        self._gone: frozenset[int] = frozenset()

    @property
    def ids(self) -> set[int]:
        """Chunks that can be found."""
        return {int(i) for segment in self._segments for i in segment.ids} - self._gone

    def change(self, added: Mapping[int, str], removed: Iterable[int] = ()) -> None:
        """Take chunks in, by id and text, and strike others out."""
        with self._lock:
            self._gone = self._gone | frozenset(removed)
            if added:
                self._grow(build(list(added), [words.terms(text) for text in added.values()]))

    def search(self, question: str, count: int) -> list[tuple[int, float]]:
        """Return ids and BM25 scores, best first; what shares no word with the question is not there."""
        segments, gone = self._segments, self._gone
        asked = list(dict.fromkeys(words.terms(question)))
        total = sum(segment.size for segment in segments)
        found: list[tuple[int, float]] = []
        if not asked or not total:
            return found
        each = [[segment.postings(term) for term in asked] for segment in segments]
        rarity = [_rarity(total, sum(len(postings[n][0]) for postings in each)) for n in range(len(asked))]
        for segment, postings in zip(segments, each, strict=True):
            scores = np.zeros(segment.size, np.float32)
            for (places, values), wide in zip(postings, rarity, strict=True):
                if len(places):
                    scores[places] += values * (wide / _rarity(segment.size, len(places)))
            found += _best(segment, scores, count, gone)
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]

    def tend(self) -> bool:
        """Merge neighbours that have grown too many for `change`; return whether anything was merged.

        The work is done beside the index in use; chunks may come and go meanwhile.
        """
        before = self._segments
        heavy = [segment for segment in before if segment.size > HEAVY // 2]
        if len(heavy) < 2 or heavy[-1].size < MERGE_SHARE * heavy[-2].size:
            return False
        merged = _merge(heavy[-2:], self._gone)
        with self._lock:
            left = [segment for segment in self._segments if segment is not heavy[-1] and segment is not heavy[-2]]
            if len(left) != len(self._segments) - 2:
                return False  # `settle` was quicker
            self._segments = tuple(sorted([*left, merged], key=lambda segment: -segment.size))
        return True

    def settle(self) -> None:
        """Merge everything into one segment without what was struck out."""
        with self._lock:
            if len(self._segments) > 1 or self._gone:
                self._segments = (_merge(self._segments, self._gone),) if self._segments else ()
                self._gone = frozenset()

    def save(self, folder: Path) -> None:
        """Write the settled index; a reader of a torn copy finds no `segment.json` and builds anew."""
        with self._lock:
            self.settle()
            shutil.rmtree(folder, ignore_errors=True)
            if not self._segments or not self._segments[0].size:
                return
            (segment,) = self._segments
            folder.mkdir(parents=True)
            segment.index.save(str(folder / "bm25"), show_progress=False)
            np.savez(folder / "chunks.npz", ids=segment.ids, tokens=segment.tokens, offsets=segment.offsets)
            aside = folder / f"{SAVED}.new"
            aside.write_text(json.dumps({"vocabulary": list(segment.vocabulary)}))
            aside.replace(folder / SAVED)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; what is missing or damaged counts as empty, and is built anew by the caller."""
        try:
            vocabulary = json.loads((folder / SAVED).read_text())["vocabulary"]
            with np.load(folder / "chunks.npz") as kept:
                ids, tokens, offsets = kept["ids"], kept["tokens"], kept["offsets"]
            index = bm25s.BM25.load(str(folder / "bm25"), load_vocab=False)
            scores = index.scores
            if len(scores["indptr"]) != len(vocabulary) + 1 or len(offsets) != len(ids) + 1:
                return
            self._segments = (Segment(ids, {t: n for n, t in enumerate(vocabulary)}, tokens, offsets, index),)
        except (OSError, ValueError, KeyError, EOFError):
            self._segments = ()

    def _grow(self, young: Segment) -> None:
        # Built before it is published: a search never sees a half-made index.
        segments = list(self._segments)
        while segments and _light(segments[-1].size, young.size):
            young = _merge((segments.pop(), young), self._gone)
        self._segments = (*segments, young)
        self._gone &= frozenset(int(i) for segment in self._segments for i in segment.ids)


def _light(older: int, young: int) -> bool:
    return older + young <= HEAVY and (older + young <= YOUNG or young >= MERGE_SHARE * older)


def build(ids: Sequence[int], texts: Sequence[Sequence[str]]) -> Segment:
    """Index chunks by their terms."""
    vocabulary: dict[str, int] = {}
    tokens = [[vocabulary.setdefault(term, len(vocabulary)) for term in text] for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in tokens])]).astype(np.int64)
    flat = np.fromiter((token for text in tokens for token in text), np.int32, count=int(offsets[-1]))
    return _indexed(np.asarray(ids, np.int64), vocabulary, flat, offsets)


def _merge(segments: Sequence[Segment], gone: frozenset[int]) -> Segment:
    vocabulary: dict[str, int] = {}
    kept: list[NDArray[np.int32]] = []
    ids: list[int] = []
    for segment in segments:
        stays = [place for place, identity in enumerate(segment.ids) if int(identity) not in gone]
        texts = [segment.tokens[segment.offsets[place] : segment.offsets[place + 1]] for place in stays]
        # Words of what was struck out go too: nothing that was forgotten stays in the vocabulary.
        used = np.unique(np.concatenate(texts)) if texts else np.empty(0, np.int32)
        terms = list(segment.vocabulary)
        mapped = np.zeros(len(terms), np.int32)
        mapped[used] = [vocabulary.setdefault(terms[token], len(vocabulary)) for token in used]
        ids += [int(segment.ids[place]) for place in stays]
        kept += [mapped[text] for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in kept])]).astype(np.int64)
    flat = np.concatenate(kept) if kept else np.empty(0, np.int32)
    return _indexed(np.asarray(ids, np.int64), vocabulary, flat, offsets)


def _indexed(ids: Integers, vocabulary: dict[str, int], tokens: NDArray[np.int32], offsets: Integers) -> Segment:
    index = bm25s.BM25(method="lucene", backend="numpy")
    texts = [tokens[start:end].tolist() for start, end in pairwise(offsets)]
    if any(texts):
        tokenized = bm25s.tokenization.Tokenized(ids=texts, vocab=vocabulary)
        index.index(tokenized, create_empty_token=False, show_progress=False)
    else:
        blank = np.zeros(len(vocabulary) + 1, np.int32)
        index.scores = {"data": np.empty(0, np.float32), "indices": np.empty(0, np.int32), "indptr": blank}
    return Segment(ids, vocabulary, tokens, offsets, index)


def _best(segment: Segment, scores: Floats, count: int, gone: frozenset[int]) -> list[tuple[int, float]]:
    # Struck-out chunks may stand among the best: look a little further than asked.
    wanted = min(segment.size, count + min(len(gone), 4 * count))
    places = np.argpartition(-scores, wanted - 1)[:wanted] if wanted < segment.size else np.arange(segment.size)
    places = places[scores[places] > 0]
    ordered = places[np.argsort(-scores[places], kind="stable")]
    pairs = [(int(segment.ids[place]), float(scores[place])) for place in ordered]
    return [pair for pair in pairs if pair[0] not in gone][:count]


def _rarity(total: int, having: int) -> float:
    """Return Lucene's inverse document frequency, as bm25s computes it."""
    return float(np.log(1 + (total - having + 0.5) / (having + 0.5)))
