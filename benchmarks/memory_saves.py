"""How soon a saved file is found, 200 times over, with the embedded profile's real embedding model.

    python -m benchmarks.memory_saves [SAVES]

vLLM serves the model, the watcher waits for the kernel's word of a save, and a search that finds the file ends the
clock: it includes the embedding of the note and of the question. The result is beside this file.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lib.chapters.memory_servers import embedding
from lib.core import fingerprint
from lib.core import profile as profiles
from lib.engine.models import catalogue, fetch
from lib.engine.serve.server import Server
from lib.memory.evaluate import corpus, saves
from lib.memory.service import Memory

RESULT = Path(__file__).parent / "results" / "memory_saves.json"
SAVES = 200


def main(count: int) -> None:
    """Measure, and write the result."""
    profile = profiles.load("embedded")
    model = catalogue.get(profile.memory.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "engine.log"
        with Server(embedding(profile), model, fetch.folder(model.name, profile.models.store), log) as server:
            own = profiles.load("embedded", {"memory.folder": str(folder / "store")})
            with Memory.open(own, endpoint=server.url) as memory:
                corpus.load(profile.memory.pages).write(folder / "corpus")
                memory.add(folder / "corpus")
                seconds = list(saves.seconds(memory, folder / "notes", count))
    facts = fingerprint.facts()
    told = {
        "model": model.name,
        "engine": fingerprint.engine_version(),
        "machine": {name: facts[name] for name in ("cpu", "memory")},
        "date": time.strftime("%Y-%m-%d"),
        "saves": len(seconds),
        "seconds_p50": round(statistics.median(seconds), 3),
        "seconds_p95": round(float(np.percentile(seconds, 95)), 3),
        "seconds_slowest": round(max(seconds), 3),
        "seconds": [round(each, 3) for each in seconds],
    }
    RESULT.write_text(json.dumps(told) + "\n")
    sys.stdout.write(f"{ {name: value for name, value in told.items() if name != 'seconds'} }\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SAVES)
