"""nDCG@10, recall@10 and MRR (ir-measures), with intervals over questions, and verdicts between two methods."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ir_measures
import numpy as np
from ir_measures import RR, Qrel, R, ScoredDoc, nDCG

from lib.memory.embed import Vectors
from lib.memory.evaluate.corpus import Question
from lib.memory.retrieve import Method, Retriever
from lib.memory.store.dense import Dense, Exact

MEASURES = {"ndcg_at_10": nDCG @ 10, "recall_at_10": R @ 10, "mrr": RR}
RESAMPLES = 4000
SEED = 20_261_124
METHOD = f"mean over questions, 95 % interval by bootstrap, {RESAMPLES} resamples"
# Chunks looked at for a question: ten files are surely among them.
DEPTH = 50
Ranking = list[str]


class Estimate(NamedTuple):
    """A mean over questions with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def rankings(
    retriever: Retriever,
    questions: Sequence[Question],
    vectors: Sequence[Vectors],
    method: Method,
    index: Dense | None = None,
) -> list[Ranking]:
    """Ask every question, whose vectors are there already, and return the files found, best first, each once.

    Parameters
    ----------
    index : Dense, optional
        Asked instead of the store's own.
    """
    found = []
    for question, vector in zip(questions, vectors, strict=True):
        known = None if method == "lexical" else vector
        hits = retriever.joined(question.text, known, DEPTH, method, index=index).hits
        found.append(list(dict.fromkeys(hit.path for hit in hits)))
    return found


def scores(questions: Sequence[Question], ranked: Sequence[Ranking]) -> dict[str, list[float]]:
    """Return each measure's value for every question, in order."""
    wanted = [Qrel(str(n), question.path, 1) for n, question in enumerate(questions)]
    # A file that is ranked higher has a higher score; nothing else is told.
    told = [ScoredDoc(str(n), path, float(-rank)) for n, paths in enumerate(ranked) for rank, path in enumerate(paths)]
    values = {name: [0.0] * len(questions) for name in MEASURES}
    names = {measure: name for name, measure in MEASURES.items()}
    for metric in ir_measures.iter_calc(list(MEASURES.values()), wanted, told):
        values[names[metric.measure]][int(metric.query_id)] = float(metric.value)
    return values


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean over questions and its interval."""
    data = np.asarray(values, float)
    drawn = np.random.default_rng(SEED).integers(0, data.size, (RESAMPLES, data.size))
    low, high = np.percentile(data[drawn].mean(axis=1), [2.5, 97.5])
    return Estimate(float(data.mean()), float(low), float(high), data.size)


def difference(new: Sequence[float], old: Sequence[float]) -> Estimate:
    """Return how much better `new` does on the same questions, with the interval of the paired difference."""
    return estimate(np.asarray(new, float) - np.asarray(old, float))


def verdict(new: Mapping[str, Sequence[float]], old: Mapping[str, Sequence[float]]) -> str:
    """Say what nDCG@10 shows: ``better``, ``worse``, or ``no difference shown``."""
    found = difference(new["ndcg_at_10"], old["ndcg_at_10"])
    if found.low > 0:
        return "better"
    return "worse" if found.high < 0 else "no difference shown"


def nearest_found(index: Dense, exact: Exact, vectors: Sequence[Vectors], count: int = 10) -> list[float]:
    """Return for each question the share of the truly nearest chunks that the index finds."""
    shares = []
    for vector, truth in zip(vectors, exact.search_all(np.stack(list(vectors)), count), strict=True):
        wanted = {number for number, _ in truth}
        found = {number for number, _ in index.search(vector, count)}
        shares.append(len(wanted & found) / len(wanted) if wanted else 1.0)
    return shares
