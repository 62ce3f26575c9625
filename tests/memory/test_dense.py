"""Chroma beside the exact index: what the profile says of it holds for an index that is there already."""

from pathlib import Path

import numpy as np
import pytest

from lib.core.sections import Hnsw
from lib.memory.evaluate import metrics
from lib.memory.store.dense import Chroma, Entry, Exact

COUNT, DIMENSION = 2000, 64


@pytest.fixture
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal((COUNT, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def recall(folder: Path, vectors: np.ndarray, candidates: int) -> float:
    exact = Exact(DIMENSION)
    exact.put(range(COUNT), vectors)
    index = Chroma(folder, "x/64", Hnsw(ef_search=candidates, ef_construction=10, max_neighbors=4))
    if not index.count():
        index.put([Entry(number, "text", {"source": "a"}) for number in range(COUNT)], vectors)
    found = metrics.estimate(metrics.nearest_found(index, exact, list(vectors[:40])))
    index.close()
    return found.mean


def test_more_candidates_find_more_without_building_anew(tmp_path: Path, vectors: np.ndarray) -> None:
    few = recall(tmp_path / "index", vectors, 10)
    many = recall(tmp_path / "index", vectors, 1000)
    assert few < 0.5 < 0.85 < many
    assert recall(tmp_path / "index", vectors, 1000) == many, "it is kept"
