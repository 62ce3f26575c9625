"""A new embedding model on trial: the same chunks and questions, and a verdict before anything is switched."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

from lib.core.errors import RunbookError
from lib.memory.embed import Embedder, Vectors
from lib.memory.evaluate import metrics
from lib.memory.evaluate.corpus import Question
from lib.memory.evaluate.metrics import Estimate
from lib.memory.retrieve import Method
from lib.memory.service import Memory
from lib.memory.store.space import Space

METHODS: tuple[Method, ...] = ("dense", "fused")
Values = dict[Method, dict[str, list[float]]]


class Trial(NamedTuple):
    """Two models side by side.

    Parameters
    ----------
    new, old : str
        Their spaces: name and length of a vector.
    embedded : int
        Chunks that the new one had to embed.
    values_new, values_old : Values
        Each method's measures, question by question.
    """

    new: str
    old: str
    embedded: int
    values_new: Values
    values_old: Values

    def difference(self, method: Method) -> Estimate:
        """Return how much nDCG@10 the new model gains on the same questions, with its interval (paired bootstrap)."""
        return metrics.difference(self.values_new[method]["ndcg_at_10"], self.values_old[method]["ndcg_at_10"])

    def verdict(self, method: Method) -> str:
        """Say ``better``, ``worse`` or ``no difference shown``."""
        return metrics.verdict(self.values_new[method], self.values_old[method])


def run(memory: Memory, new: Embedder, questions: Sequence[Question], vectors: Sequence[Vectors]) -> Trial:
    """Embed everything with a new model beside the old one, and ask both the same; nothing is switched.

    Both are searched exactly (FAISS flat), so that no index stands between the models.

    Parameters
    ----------
    vectors : sequence
        Of the questions, by the model in use.
    """
    old = memory.store.space
    embedded = memory.prepare(new)
    asked = [new.query(question.text) for question in questions]
    return Trial(
        new.space,
        old.key,
        embedded,
        _values(memory, Space(new.model, new.dimension), questions, asked),
        _values(memory, old, questions, vectors),
    )


def _values(memory: Memory, space: Space, questions: Sequence[Question], vectors: Sequence[Vectors]) -> Values:
    index = memory.store.exact(space)
    return {
        method: metrics.scores(questions, metrics.rankings(memory.retriever, questions, vectors, method, index=index))
        for method in METHODS
    }


class Switch(NamedTuple):
    """What searches saw while the model was switched: how many were answered by each space, and what failed."""

    old: str
    new: str
    answered: int
    wrong: int
    failed: list[str]


def switch(memory: Memory, new: Embedder, question: Question) -> Switch:
    """Switch to a new model while a question is asked without a pause, each answer looked at.

    An answer is wrong if it does not name the question's file: vectors of two models that met would give any file.
    """
    old = memory.store.space.key
    stop, answers, failed = threading.Event(), list[bool](), list[str]()

    def ask() -> None:
        while not stop.is_set():
            try:
                hits = memory.search(question.text, 10).hits
            except (RunbookError, RuntimeError, ValueError) as error:
                failed.append(f"{type(error).__name__}: {error}")
            else:
                answers.append(any(hit.path == question.path for hit in hits))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        memory.renew(new)
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    return Switch(old, memory.store.space.key, len(answers), answers.count(False), failed)
