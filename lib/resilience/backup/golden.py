"""Golden questions: answered from the copy when it is made, and again from what was restored. They must agree."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.core.errors import RunbookError
from lib.core.sections import Hnsw, Profile
from lib.memory import service
from lib.memory.embed import Embedder, Vectors
from lib.memory.evaluate.corpus import Question
from lib.memory.evaluate.corpus import questions as read
from lib.memory.retrieve import Method, Retriever
from lib.memory.store.store import Store
from lib.resilience.backup.copy import Answer, Contents, target
from lib.resilience.backup.items import items, resolved


def questions(profile: Profile) -> list[Question]:
    """Return the owner's golden questions: those of the backup, or else those of the memory."""
    named = profile.backup.questions or profile.memory.questions
    return read(resolved(named)) if named else []


def embedder(profile: Profile) -> Embedder | None:
    """Return the profile's embedding server, if it answers; without it questions are asked by their words."""
    if not profile.memory.model or not profile.memory.endpoint:
        return None
    served = service.embedder(profile)
    try:
        served.query("golden")
    except RunbookError:
        served.close()
        return None
    return served


def ask(profile: Profile, folder: Path, asked: Sequence[Question], served: Embedder | None) -> list[Answer]:
    """Ask the memory in a copy, by the exact index: the same vectors give the same answer on any machine."""
    if not asked or not (folder / "manifest.sqlite").exists():
        return []
    store = Store(folder, None, profile.memory.hnsw, writable=False)
    try:
        retriever = Retriever(store, None, profile.memory.candidates)
        vectors = [served.query(one.text) if served else None for one in asked]
        return [
            Answer(
                question=one.text,
                path=one.path,
                vector=_packed(vector),
                found=_found(retriever, one.text, vector, profile.backup.golden_top),
            )
            for one, vector in zip(asked, vectors, strict=True)
        ]
    finally:
        store.close()


def again(store: Store, known: Sequence[Answer], candidates: int) -> list[Answer]:
    """Ask a restored memory what was asked before, with the vectors of then."""
    retriever = Retriever(store, None, candidates)
    return [
        one.model_copy(update={"found": _found(retriever, one.question, vector(one), max(1, len(one.found)))})
        for one in known
    ]


def exactly(folder: Path, known: Sequence[Answer], candidates: int) -> list[Answer]:
    """Ask the exact index of a restored memory, which needs no index on disk."""
    store = Store(folder, None, Hnsw(), writable=False)
    try:
        return again(store, known, candidates)
    finally:
        store.close()


def different(known: Sequence[Answer], now: Sequence[Answer]) -> list[str]:
    """Return the questions whose answer is another than before."""
    return [old.question for old, new in zip(known, now, strict=True) if old.found != new.found]


def right(answers: Sequence[Answer]) -> int:
    """Return how many questions have the file that answers them among what was found."""
    return sum(any(path == one.path for path, _, _ in one.found) for one in answers)


def memory_folder(profile: Profile, copy: Path) -> Path | None:
    """Return where the memory lies in a copy that was made here."""
    return next(
        (target(copy, item.name, place) for item in items(profile) if item.kind == "memory" for place in item.places),
        None,
    )


def restored_folder(contents: Contents, folder: Path) -> Path | None:
    """Return where the memory lies in what was restored, wherever it was made."""
    manifests = [folder / name for name in contents.files if name.endswith("/manifest.sqlite")]
    return manifests[0].parent if manifests else None


def vector(answer: Answer) -> Vectors | None:
    """Return a question's vector, where it has one."""
    return np.frombuffer(base64.b64decode(answer.vector), "<f4") if answer.vector else None


def _packed(told: Vectors | None) -> str:
    return "" if told is None else base64.b64encode(told.astype("<f4").tobytes()).decode()


def _found(retriever: Retriever, question: str, told: Vectors | None, count: int) -> list[tuple[str, int, int]]:
    method: Method = "fused" if told is not None else "lexical"
    hits = retriever.joined(question, told, count, method).hits
    return [(hit.path, hit.start, hit.end) for hit in hits]
