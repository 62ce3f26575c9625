"""A memory in a folder of the test, with a small embedding server of words."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from embedding_server import Server, serving

from lib.core import profile as profiles
from lib.core.sections import Profile
from lib.memory.service import Memory


@pytest.fixture(scope="session")
def words_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(words_server: Server) -> Server:
    words_server.texts.clear()
    words_server.requests = words_server.failures = 0
    words_server.delay_s = 0
    return words_server


@pytest.fixture
def profile(server: Server, tmp_path: Path) -> Profile:
    fields = {"model": "words", "folder": str(tmp_path / "memory"), "endpoint": server.url, "sweep_seconds": 1}
    return profiles.load("embedded", {f"memory.{key}": value for key, value in fields.items()})


@pytest.fixture
def open_memory(profile: Profile) -> Iterator[Callable[..., Memory]]:
    """Return a function that opens the test's memory; whatever is still open is closed at the end."""
    opened: list[Memory] = []

    def make(**more: object) -> Memory:
        fields = {f"memory.{key}": value for key, value in more.items()}
        kept = {f"memory.{key}": value for key, value in profile.memory.model_dump().items()}
        memory = Memory.open(profiles.load("embedded", kept | fields))
        opened.append(memory)
        return memory

    yield make
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Callable[..., Memory]) -> Memory:
    return open_memory()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "zebra.md").write_text(
        "# Zebra\n\nIt lives in Africa.\n\n## Food\n\nIt eats grass. See [[Grass]] #animal\n"
    )
    (folder / "hedgehog.md").write_text("# Ёжик\n\nЁжики ходят по лесным дорогам.\n")
    return folder
