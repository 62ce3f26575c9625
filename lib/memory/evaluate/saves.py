"""How soon a saved file is found: saved, and searched for until a search finds it, again and again."""

import time
from collections.abc import Iterator
from pathlib import Path

from lib.memory.service import Memory
from lib.memory.watch import Watcher, visible

LIMIT_S = 2.0
# Until the kernel watches the folder.
SETTLE_S = 0.5


def seconds(memory: Memory, folder: Path, count: int) -> Iterator[float]:
    """Save notes into a folder, one after the other while a watcher runs, and yield how soon each was found.

    Parameters
    ----------
    folder : Path
        It becomes one of the memory's roots under its own name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    memory.add(folder)
    with Watcher(memory):
        time.sleep(SETTLE_S)
        for number in range(count):
            word = f"marker{number:04d}"
            begun = time.monotonic()
            (folder / f"save-{number}.md").write_text(f"# Note {number}\n\nThe word of this note is {word}.\n")
            yield visible(memory, word, f"{folder.name}/save-{number}.md", begun)
