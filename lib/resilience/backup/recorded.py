"""An owner's memory in small, with vectors that the real embedding model gave: a drill needs no engine to be true.

`runbook/golden/memory.json` holds notes, golden questions with the note that answers each, and for every text that the
memory embeds the vector of the model that it names, as `benchmarks/golden_vectors.py` got it from vLLM. A text without
a recorded vector is an error, never a guess.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.core import paths
from lib.core.errors import RunbookError
from lib.memory.embed import Embedder, EndpointError, Vectors
from lib.memory.evaluate.corpus import Question

FILE = paths.RUNBOOK / "golden" / "memory.json"
REMAKE = "python -m benchmarks.golden_vectors"


class Golden(NamedTuple):
    """The recorded memory.

    Parameters
    ----------
    notes : mapping of str to str
        File name to text.
    vectors : mapping of str to str
        SHA-256 of a text to its vector, little-endian float32 in base64.
    """

    model: str
    dimension: int
    engine: str
    notes: Mapping[str, str]
    questions: Sequence[Question]
    vectors: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write the notes, and beside the folder its questions as the profile's `backup.questions` wants them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.notes.items():
            (folder / name).write_text(text, encoding="utf-8")
        lines = [{"question": one.text, "path": f"{folder.name}/{one.path}"} for one in self.questions]
        told = "".join(json.dumps(line) + "\n" for line in lines)
        folder.with_suffix(".jsonl").write_text(told, encoding="utf-8")


class Recorded(Embedder):
    """Gives the vectors of the record."""

    def __init__(self, golden: Golden) -> None:
        super().__init__("http://recorded.invalid", golden.model)
        self.golden = golden
        self._dimension = golden.dimension

    def _ask(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        told = self.golden.vectors.get(digest(text))
        if told is None:
            raise EndpointError(
                f"no vector is recorded for {text[:60]!r}", where=paths.short(FILE), fix=f"{REMAKE}  (asks the model)"
            )
        return np.frombuffer(base64.b64decode(told), "<f4")


def load(path: Path = FILE) -> Golden:
    """Read the record.

    Raises
    ------
    RunbookError
        It is not there, or damaged.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        asked = [Question(str(one["question"]), str(one["path"])) for one in told["questions"]]
        return Golden(told["model"], told["dimension"], told["engine"], told["notes"], asked, told.get("vectors", {}))
    except (OSError, ValueError, KeyError) as error:
        raise RunbookError(
            f"the recorded memory cannot be read: {error}", where=paths.short(path), fix=REMAKE
        ) from error


def digest(text: str) -> str:
    """Return what a text is recorded by."""
    return hashlib.sha256(text.encode()).hexdigest()
