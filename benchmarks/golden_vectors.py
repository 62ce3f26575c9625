"""Ask the embedding model for the vectors of `runbook/golden/memory.json`.

Its notes are asked as the memory cuts them, its questions as they are. `python -m benchmarks.golden_vectors` starts
vLLM with the model that the profile `embedded` names. Run it when a note or a question was changed, or when the memory
cuts texts in another way.
"""

import base64
import json
import shutil
import sys
from collections.abc import Sequence

from lib.chapters.memory_servers import Servers
from lib.core import fingerprint, paths
from lib.core.chapter import open_chapter
from lib.core.errors import RunbookError
from lib.core.profile import change
from lib.memory.embed import Embedder, Vectors
from lib.memory.service import Memory
from lib.resilience.backup import recorded

PLACE = paths.CACHE / "golden"
OVERRIDES = {"memory.facts": 0, "models.store": str(paths.CACHE / "models")}


class Recorder(Embedder):
    """Asks the server, and keeps what it says."""

    def __init__(self, url: str, model: str) -> None:
        super().__init__(url, model)
        self.kept: dict[str, str] = {}

    def _ask(self, texts: Sequence[str]) -> Vectors:
        found = super()._ask(texts)
        for text, vector in zip(texts, found, strict=True):
            self.kept[recorded.digest(text)] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return found


def main() -> None:
    """Record the vectors."""
    shutil.rmtree(PLACE, ignore_errors=True)
    golden = recorded.load()
    chapter = open_chapter("09", "embedded", run=str(PLACE / "run"), overrides=OVERRIDES)
    servers = Servers(chapter)
    servers.start()
    try:
        if not servers.embedding_url:
            raise RunbookError("the embedding server did not start", fix="python -m lib run --only 09")
        recorder = Recorder(servers.embedding_url, chapter.profile.memory.model)
        golden.write(PLACE / "notes")
        settings = change(chapter.profile, "memory", folder=str(PLACE / "store"), roots={}).memory
        with Memory(settings, recorder) as memory:
            memory.add(PLACE / "notes")
            for one in golden.questions:
                recorder.query(one.text)
    finally:
        servers.stop()
    recorder.kept.pop(recorded.digest("dimension"), None)
    told = json.loads(recorded.FILE.read_text(encoding="utf-8"))
    told |= {"model": settings.model, "dimension": recorder.dimension, "engine": fingerprint.engine_version()}
    recorded.FILE.write_text(json.dumps(told | {"vectors": recorder.kept}, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(PLACE, ignore_errors=True)
    sys.stdout.write(f"{len(recorder.kept)} vectors of {settings.model}\n")


if __name__ == "__main__":
    main()
