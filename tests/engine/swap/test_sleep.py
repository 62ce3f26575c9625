"""Sleep mode over its routes, against a stand-in that can refuse, forget and lie."""

import json
from collections.abc import Callable

import httpx
import pytest

from lib.core import profile
from lib.core.errors import RunbookError
from lib.engine.models import catalogue, fetch
from lib.engine.serve import client, command
from lib.engine.swap import sleep


class Engine:
    """Answers vLLM's development routes as 0.26 (empty bodies) does; `lies` never falls asleep."""

    def __init__(self, *, lies: bool = False, closed: bool = False) -> None:
        self.asleep, self.lies, self.closed = False, lies, closed
        self.seen: list[tuple[str, str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.seen.append((request.url.path, request.url.query.decode(), body))
        if self.closed:
            return httpx.Response(404, json={"detail": "Not Found"})
        if request.url.path == "/is_sleeping":
            return httpx.Response(200, json={"is_sleeping": self.asleep})
        if not self.lies:
            self.asleep = {"/sleep": True, "/wake_up": False}.get(request.url.path, self.asleep)
        return httpx.Response(200)


Make = Callable[..., Engine]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(**options: bool) -> Engine:
        engine = Engine(**options)
        http = httpx.Client(transport=httpx.MockTransport(engine))
        monkeypatch.setattr(client, "http", lambda: http)
        return engine

    return made


def test_level_1_sleeps_and_wakes(make: Make) -> None:
    engine = make()
    assert sleep.sleep("http://s", 1) >= 0
    assert sleep.sleeping("http://s")
    sleep.wake("http://s")
    assert [path for path, _, _ in engine.seen if path != "/is_sleeping"] == ["/sleep", "/wake_up"]
    assert engine.seen[0][1] == "level=1"


def test_level_2_reads_the_weights_again_and_forgets_the_prefix_cache(make: Make) -> None:
    engine = make()
    sleep.sleep("http://s", 2)
    sleep.wake("http://s", reload=True)
    assert [(path, body) for path, _, body in engine.seen if path != "/is_sleeping"] == [
        ("/sleep", None),
        ("/wake_up", None),
        ("/collective_rpc", {"method": "reload_weights"}),
        ("/reset_prefix_cache", None),
    ]


def test_an_engine_that_stays_awake_is_caught(make: Make) -> None:
    make(lies=True)
    with pytest.raises(RunbookError, match="says that it is awake"):
        sleep.sleep("http://s", 1)


def test_a_server_without_the_routes_names_what_they_need(make: Make) -> None:
    make(closed=True)
    with pytest.raises(RunbookError, match="HTTP 404") as caught:
        sleep.sleep("http://s", 1)
    assert "VLLM_SERVER_DEV_MODE=1" in caught.value.fix


def test_a_dead_server_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    http = httpx.Client(transport=httpx.MockTransport(refuse))
    monkeypatch.setattr(client, "http", lambda: http)
    with pytest.raises(RunbookError, match="ConnectError: refused"):
        sleep.sleep("http://s", 1)


def test_the_variant_keeps_the_profiles_own_variables() -> None:
    own = profile.load("rtx-pro-6000", {"serving.environment": {"X": "1"}})
    changed = sleep.variant(own, "gpt-oss-20b").of(own)
    assert command.environment(changed)["VLLM_SERVER_DEV_MODE"] == "1"
    assert command.environment(changed)["X"] == "1"
    assert changed.models.served == "gpt-oss-20b"
    assert "--enable-sleep-mode" in command.arguments(
        changed, catalogue.get("gpt-oss-20b"), fetch.folder("gpt-oss-20b"), 8000
    )
    assert "VLLM_SERVER_DEV_MODE" not in command.environment(own)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::"])
def test_development_routes_never_face_the_network(host: str) -> None:
    with pytest.raises(RunbookError, match="to other machines"):
        sleep.variant(profile.load("rtx-pro-6000", {"serving.host": host}), "gpt-oss-20b")
