"""The gateway over the real memory: a chat that ended is found by the next question, with its place."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from town import MakeTown, body, until

from lib.core import paths
from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.engine.serve.server import _free_port
from lib.gateway import memory
from lib.memory.service import Memory

SERVER = paths.ROOT / "tests" / "memory" / "embedding_server.py"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Return the address of the tests' embedding server of words."""
    port = _free_port("127.0.0.1")
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)], env={"PYTHONPATH": str(paths.ROOT)})
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.post(f"{url}/v1/embeddings", json={"model": "words", "input": ["x"]}, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def store(endpoint: str, tmp_path: Path) -> Iterator[Memory]:
    fields = {"model": "words", "folder": str(tmp_path / "memory"), "endpoint": endpoint}
    kept = Memory.open(profiles.load("embedded", {f"memory.{key}": value for key, value in fields.items()}))
    yield kept
    kept.close()


def test_what_was_said_is_found_in_the_next_chat(make_town: MakeTown, store: Memory) -> None:
    town = make_town(store=store, memory=True, chat_idle_s=0.05)
    said = {"role": "user", "content": "The cellar key hangs behind the green barometer."}
    assert town.client.post(f"{town.url}/v1/chat/completions", json=body(messages=[said])).status_code == 200
    until(lambda: list((store.folder / "chats").rglob("*.md")))
    asked = {"role": "user", "content": "Where does the cellar key hang?"}

    def recalled() -> list[dict[str, object]]:
        answer = town.client.post(f"{town.url}/v1/chat/completions", json=body("memory/a", messages=[asked]))
        assert answer.status_code == 200
        return list(json.loads(answer.headers.get("x-runbook-sources", "[]")))

    until(recalled)
    sent = town.fakes["a"].seen["body"]["messages"][-1]["content"]
    assert "behind the green barometer" in sent
    assert sent.endswith(asked["content"])


def test_a_profile_that_asks_for_memory_without_an_address_is_told_what_is_missing() -> None:
    asking = profiles.load("embedded", {"gateway.memory": True, "memory.endpoint": ""})
    with pytest.raises(RunbookError, match=r"embedding|endpoint|address"):
        memory.of(asking)
