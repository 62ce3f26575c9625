"""The same memory over a real `chroma run` on the loopback: killed, started again, and once with everything lost."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from embedding_server import Server

from lib.core.errors import RunbookError
from lib.core.sections import Hnsw
from lib.memory.service import Memory
from lib.memory.store.dense import Chroma
from lib.memory.watch import Watcher

Open = Callable[..., Memory]


class ChromaRun:
    """A process of `chroma run`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        # What the command `chroma` calls, without the seconds that its imports take.
        program = [sys.executable, "-c", "import chromadb_rust_bindings as c, sys; c.cli(['chroma', *sys.argv[1:]])"]
        line = [*program, "run", "--host", "127.0.0.1", "--port", str(self.port), "--path", str(self.folder)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(line, stdout=quiet, stderr=quiet, cwd=self.folder.parent)
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{self.url}/api/v2/heartbeat", trust_env=False).raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def chroma(tmp_path: Path) -> Iterator[ChromaRun]:
    server = ChromaRun(tmp_path / "chroma")
    server.start()
    yield server
    server.kill()


def found(memory: Memory, question: str) -> str:
    return memory.search(question, method="dense").hits[0].path


def test_a_server_is_told_all_that_an_embedded_one_is(open_memory: Open, chroma: ChromaRun, notes: Path) -> None:
    memory = open_memory(chroma=chroma.url)
    memory.add(notes)
    assert found(memory, "zebra grass") == "notes/zebra.md"
    assert memory.store.disagreements() == []
    assert not list((memory.folder / "index").glob("*")), "nothing of Chroma in the memory's own folder"
    memory.forget("notes/hedgehog.md")
    assert memory.store.disagreements() == []
    memory.renew()
    assert found(memory, "zebra grass") == "notes/zebra.md"


def test_killed_and_started_again(open_memory: Open, chroma: ChromaRun, notes: Path, server: Server) -> None:
    memory = open_memory(chroma=chroma.url)
    memory.add(notes)
    chroma.kill()
    with pytest.raises(RunbookError, match="does not answer") as refused:
        memory.search("zebra grass")
    assert "chroma run" in refused.value.fix
    assert memory.search("zebra grass", method="lexical").hits[0].path == "notes/zebra.md"
    (notes / "late.md").write_text("The late okapi sleeps.")
    with pytest.raises(RunbookError, match="does not answer"):
        memory.sweep()
    chroma.start()
    asked = len(server.texts)
    memory.sweep()
    assert found(memory, "late okapi") == "notes/late.md"
    assert memory.store.disagreements() == []
    assert [text for text in server.texts[asked:] if "late okapi sleeps" in text] in (
        [],
        ["late\n\nThe late okapi sleeps."],
    )


def test_a_watcher_outlives_its_server(open_memory: Open, chroma: ChromaRun, notes: Path) -> None:
    memory = open_memory(chroma=chroma.url, sweep_seconds=0.2)
    memory.add(notes)
    with Watcher(memory) as watcher:
        time.sleep(0.3)
        chroma.kill()
        (notes / "late.md").write_text("The late okapi sleeps.")
        deadline = time.monotonic() + 20
        while not watcher.errors:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        chroma.start()
        while memory.store.manifest.counts()["journal"] or "notes/late.md" not in memory.store.manifest.sources():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert found(memory, "late okapi") == "notes/late.md"


def test_a_server_that_lost_everything_is_filled_again(
    open_memory: Open, chroma: ChromaRun, notes: Path, server: Server
) -> None:
    memory = open_memory(chroma=chroma.url)
    memory.add(notes)
    memory.close()
    chroma.kill()
    shutil.rmtree(chroma.folder)
    chroma.start()
    asked = len(server.texts)
    again = open_memory(chroma=chroma.url)
    assert again.store.disagreements() == []
    assert found(again, "zebra grass") == "notes/zebra.md"
    assert len(server.texts) - asked <= 2, "nothing is embedded again"


def test_what_a_killed_renewal_left_behind_is_no_hindrance(open_memory: Open, chroma: ChromaRun, notes: Path) -> None:
    left = Chroma(chroma.url, "another/7", Hnsw(), "memory-1")
    left.close()
    memory = open_memory(chroma=chroma.url)
    memory.add(notes)
    memory.renew()
    assert memory.store.disagreements() == []


def test_no_server_is_an_error_that_says_what_to_do(open_memory: Open, chroma: ChromaRun) -> None:
    chroma.kill()
    with pytest.raises(RunbookError, match="does not answer") as refused:
        open_memory(chroma=chroma.url)
    assert refused.value.where == "memory.chroma"
    with pytest.raises(RunbookError, match="does not answer"):
        open_memory(chroma="nowhere")
