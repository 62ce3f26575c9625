"""How the memory behaves as it grows: search time, Chroma's recall against FAISS exact, bytes on disk.

    python -m benchmarks.memory_growth build ENDPOINT MODEL [CHUNKS ...]
    python -m benchmarks.memory_growth measure

`build` takes in texts that this machine has, manual pages and the sources of Python's libraries, and keeps the memory
at each size (10,000, 30,000 and 100,000 chunks if none is named) with the vectors of the questions: the manual pages'
one-line descriptions. `measure` opens what was kept, needs no server and is quick, so that it can have the machine to
itself; its result is beside this file. The search is timed without the embedding call, on the real path: Chroma, BM25,
fusion and the chunks' texts.

Model `words` is `python tests/memory/embedding_server.py PORT 384`: vectors from the words of a text, 384 numbers, as
many as MiniLM's, where a real model would take hours on a CPU.
"""

import json
import shutil
import statistics
import sys
import sysconfig
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lib.core import fingerprint, paths
from lib.core import profile as profiles
from lib.core.sections import Profile
from lib.memory.evaluate import corpus, metrics
from lib.memory.files import Place
from lib.memory.service import Memory

FOLDER = paths.CACHE / "benchmarks" / "memory"
RESULT = Path(__file__).parent / "results" / "memory_growth.json"
SIZES = (10_000, 30_000, 100_000)
QUESTIONS = 200
WARM = 20
# Files are taken in so many at a time, so that a size is met closely.
STEP = 50


def build(endpoint: str, model: str, sizes: list[int]) -> None:
    """Fill a memory to each size in turn and keep a copy of it there; an interrupted build is gone on with."""
    growing, source = FOLDER / "growing", _texts()
    for size in sizes:
        if (FOLDER / f"{size}.npy").exists():
            continue
        with Memory.open(_profile(growing, endpoint, model)) as memory:
            while memory.store.manifest.counts()["chunks"] < size and (batch := list(islice(source, STEP))):
                memory.take([Place("texts", Path("/"), str(path.resolve()).lstrip("/")) for path in batch])
            memory.store.tend()
            asked = memory.embedder
            questions = corpus.load(QUESTIONS).pages
            vectors = np.stack([asked.query(page.question) for page in questions]) if asked else np.empty((0, 0))
        shutil.rmtree(FOLDER / str(size), ignore_errors=True)
        shutil.copytree(growing, FOLDER / str(size))
        np.save(FOLDER / f"{size}.npy", vectors)
        _say({"kept": size})


def measure() -> None:
    """Measure each memory that was kept, and write the result."""
    sizes = sorted(int(path.stem) for path in FOLDER.glob("*.npy"))
    points = [_point(size) for size in sizes]
    models, dimensions = ({point.pop(key) for point in points} for key in ("model", "dimension"))
    told = {
        "model": models.pop(),
        "dimension": dimensions.pop(),
        "machine": {name: value for name, value in fingerprint.facts().items() if name in ("cpu", "memory")},
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULT.write_text(json.dumps(told | {"points": points}, indent=1) + "\n")


def _point(size: int) -> dict[str, object]:
    folder = FOLDER / str(size)
    vectors = np.load(FOLDER / f"{size}.npy")
    questions = corpus.load(QUESTIONS).pages
    with Memory(_profile(folder, "", "").memory, None) as memory:
        chunks = memory.store.manifest.counts()["chunks"]
        look = memory.retriever.joined
        for page, vector in zip(questions[:WARM], vectors, strict=False):
            look(page.question, vector, 10)
        taken = [look(page.question, v, 10).seconds * 1000 for page, v in zip(questions, vectors, strict=True)]
        found = metrics.estimate(metrics.nearest_found(memory.store.dense, memory.store.exact(), list(vectors)))
        space = memory.store.space
        bytes_kept = sum(path.stat().st_size for path in memory.folder.rglob("*") if path.is_file())
    return _say(
        {
            "model": space.model,
            "dimension": space.dimension,
            "chunks": chunks,
            "questions": len(taken),
            "search_ms_p50": round(statistics.median(taken), 3),
            "search_ms_p95": round(float(np.percentile(taken, 95)), 3),
            "recall_at_10": round(found.mean, 4),
            "recall_low": round(found.low, 4),
            "bytes_per_chunk": round(bytes_kept / chunks),
        }
    )


def _texts() -> Iterator[Path]:
    """Yield readable files of this machine, in a fixed order."""
    corpus.load(3000).write(FOLDER / "pages")
    yield from sorted((FOLDER / "pages").glob("*.md"))
    yield from sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))


def _profile(folder: Path, endpoint: str, model: str) -> Profile:
    fields = {"model": model, "endpoint": endpoint, "folder": str(folder), "ignore": []}
    return profiles.load("embedded", {f"memory.{key}": value for key, value in fields.items()})


def _say(told: dict[str, object]) -> dict[str, object]:
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
    return told


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["build", endpoint, model, *sizes]:
            build(endpoint, model, [int(size) for size in sizes] or list(SIZES))
        case ["measure"]:
            measure()
        case _:
            sys.exit(__doc__)
