"""A gateway with stand-ins behind it, in threads of the test's own process, on ports of this machine."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from lib.core import profile as profiles
from lib.gateway import keys, serve
from lib.gateway.fake_upstream import Fake
from lib.gateway.front import Front
from lib.gateway.memory import Memory
from lib.gateway.serve import way
from lib.gateway.upstream import engine

T = TypeVar("T")
CHAT = "/v1/chat/completions"
LIMIT_S = 20


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT_S)
        self.loop.close()


class StandIn:
    """One stand-in on a port of its own; it can be ended and started again on the same port."""

    def __init__(self, loop: Loop, sleep_s: float = 0.0, asleep: bool = False) -> None:
        self.loop, self.fake, self.port = loop, Fake(sleep_s), 0
        self.fake.sleeping = asleep
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seen(self) -> dict[str, Any]:
        return self.fake.seen

    def start(self) -> None:
        self.server = self.loop.run(self._serve())
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self.fake.client, "127.0.0.1", self.port, backlog=2048, limit=1 << 26)

    def end(self) -> None:
        async def close() -> None:
            self.server.close()
            self.fake.cut()
            while self.fake.connections:
                await asyncio.sleep(0.005)

        self.loop.run(close())


class Town(NamedTuple):
    """A running gateway."""

    url: str
    front: Front
    loop: Loop
    fakes: dict[str, StandIn]
    client: httpx.Client

    def ask(self, model: str | None = "a", path: str = CHAT, **fields: Any) -> httpx.Response:
        return self.client.post(f"{self.url}{path}", json=body(model, **fields))

    def counted(self, name: str, **labels: str) -> float:
        """Return one sample of the gateway's own metrics."""
        return self.front.metrics.registry.get_sample_value(name, labels) or 0.0


def body(model: str | None = "a", **fields: Any) -> dict[str, Any]:
    named = {} if model is None else {"model": model}
    return {**named, "messages": [{"role": "user", "content": "Say x."}], **fields}


@contextlib.contextmanager
def town(
    folder: Path,
    *,
    fakes: dict[str, StandIn],
    loop: Loop,
    engines: dict[str, dict[str, Any]] | None = None,
    store: Memory | None = None,
    servers: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Town]:
    """Run a gateway in front of stand-ins: engine and role of each have its name; `servers` are started by it."""
    own = servers or {}
    urls = {name: "" if name in own else fake.url for name, fake in fakes.items()}
    given = {
        "keys": str(folder / "keys.json"),
        "open_on_loopback": True,
        "engines": {name: {"model": f"m-{name}", "url": url} for name, url in urls.items()},
        "roles": {name: {"engine": name} for name in fakes},
        **settings,
    }
    for name, more in (engines or {}).items():
        given["engines"][name] |= more
    profile = profiles.load("embedded", {f"gateway.{key}": value for key, value in given.items()})
    told = profile.gateway
    front = Front(
        told,
        {name: engine(name, one, fakes[name].url) for name, one in told.engines.items()},
        {name: way(one, own.get(name)) for name, one in told.engines.items()},
        store,
    )
    with serve.listen(told) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = serve.server(front)
        running = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listener]), loop.loop)
        until(lambda: server.started or running.done())
        try:
            with httpx.Client(trust_env=False, timeout=LIMIT_S) as client:
                yield Town(url, front, loop, fakes, client)
        finally:
            server.config.timeout_graceful_shutdown = 1
            server.should_exit = True
            running.result(LIMIT_S)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def secret(folder: Path, *roles: str, **more: Any) -> tuple[str, str]:
    """Make a key and return its id and itself."""
    key, text = keys.create(folder / "keys.json", f"k{time.monotonic_ns()}", roles or ("*",), **more)
    return key.id, text


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


MakeTown = Callable[..., Town]
