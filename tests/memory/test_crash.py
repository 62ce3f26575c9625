"""Killed at any point, the memory agrees with itself when it is opened again. A real process, killed 50 times."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from embedding_server import Server

from lib.core import paths
from lib.core.sections import Profile
from lib.memory.service import Memory

WORKER = Path(__file__).with_name("crash_worker.py")
KILLS = 50


class Killer:
    """Lets a process work on the memory for so long, and kills it with a signal that nobody can catch."""

    def __init__(self, profile: Profile, files: Path, server: Server) -> None:
        self.told = Path(f"{profile.memory.folder}-told")
        self._zygote = subprocess.Popen(
            [sys.executable, str(WORKER), profile.memory.folder, str(files), server.url],
            cwd=paths.ROOT,
            env={"PYTHONPATH": str(paths.ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill_after(self, seed: int, seconds: float) -> list[str]:
        """Return what the process had answered for."""
        self.told.unlink(missing_ok=True)
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(f"{seed}\n")
        self._zygote.stdin.flush()
        child = int(self._line())
        deadline = time.monotonic() + 30
        while not self.told.exists() or not self.told.read_text().startswith("open"):
            assert time.monotonic() < deadline, "it did not open the memory"
            time.sleep(0.005)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        assert self._line() == "ended"
        return self.told.read_text().splitlines()[1:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zygote.communicate()

    def _line(self) -> str:
        assert self._zygote.stdout is not None
        return self._zygote.stdout.readline().strip()


@pytest.mark.timeout(600)
def test_kill_at_any_point(profile: Profile, open_memory: Callable[[], Memory], server: Server, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    chance = random.Random(20261124)
    answered = 0
    with Killer(profile, files, server) as killer:
        for seed in range(KILLS):
            # The next process opens what this one left behind; every fifth time all of it is looked at.
            told = killer.kill_after(seed, chance.uniform(0.0, 0.5))
            answered += len(told)
            if seed % 5 == 4:
                look(open_memory(), files, told)
    assert answered > KILLS // 5, "too little work was under way when it was killed"


def look(memory: Memory, files: Path, told: list[str]) -> None:
    assert memory.store.disagreements() == []
    if told and told[-1] != "forget":
        # The last save that was answered for is there, before any sweep could have found it again.
        _, name, word = told[-1].split()
        if (files / name).exists() and word in (files / name).read_text():
            assert memory.search(word, 3, "lexical").hits[0].path == f"files/{name}"
            # Joined, it may share the first place: a text that is nearer in 64 places has the same score, 1/61.
            assert f"files/{name}" in {hit.path for hit in memory.search(word, 3).hits}
    memory.sweep()
    assert memory.store.disagreements() == []
    present = {f"files/{path.name}" for path in files.glob("*.md")}
    assert set(memory.store.manifest.sources("files")) <= present
    memory.close()


@pytest.mark.parametrize("damage", ["chroma.sqlite3", "hnsw", "all"])
def test_damaged_chroma_is_built_again_from_the_vectors(
    open_memory: Callable[[], Memory], notes: Path, server: Server, damage: str
) -> None:
    memory = open_memory()
    memory.add(notes)
    memory.close()
    index = memory.folder / "index"
    if damage == "all":
        shutil.rmtree(index)
    else:
        victims = index.rglob("chroma.sqlite3") if damage == "chroma.sqlite3" else index.rglob("*.bin")
        for path in victims:
            path.write_bytes(b"\0" * 4096 + b"damaged" * 100)
    asked = len(server.texts)
    again = open_memory()
    assert again.store.disagreements() == []
    assert again.search("what does a zebra eat").hits[0].path == "notes/zebra.md"
    assert len(server.texts) - asked <= 2, "nothing is embedded again"


@pytest.mark.parametrize("name", ["segment.json", "chunks.npz", "bm25/data.csc.index.npy"])
def test_damaged_lexical_index_is_built_again(open_memory: Callable[[], Memory], notes: Path, name: str) -> None:
    memory = open_memory()
    memory.add(notes)
    memory.close()
    (memory.folder / "lexical" / name).write_bytes(b"damaged")
    again = open_memory()
    assert again.store.disagreements() == []
    assert again.search("grass", method="lexical").hits[0].path == "notes/zebra.md"
