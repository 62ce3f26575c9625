"""One real vLLM for all tests that need one (marked `engine`), and a quick stand-in for those that test the starter."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import MODEL, STAND_IN, MakeServer

from lib.core import profile as profiles
from lib.core.sections import Profile
from lib.engine.models import catalogue, fetch
from lib.engine.serve import command
from lib.engine.serve.server import Server


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running engine with the embedded profile. Requests may bring a chat template, so that a broken one is tried."""
    profile = profiles.load("embedded", {"serving.extra_args": ["--trust-request-chat-template"]})
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    with Server(profile, catalogue.get(MODEL), fetch.ensure(MODEL), log) as server:
        yield server


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder that looks like a model, for the stand-in."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_folder: Path) -> Iterator[MakeServer]:
    """Return a function that makes a server whose engine is the stand-in, told by words what to do."""
    made: list[Server] = []

    def make(*words: str, **fields: object) -> Server:
        monkeypatch.setattr(command, "launcher", lambda: [sys.executable, str(STAND_IN), *words])
        profile: Profile = profiles.load("embedded", {f"serving.{key}": value for key, value in fields.items()})
        server = Server(profile, catalogue.get(MODEL), model_folder, tmp_path / "engine.log")
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()
