"""The gateway, a real one, before a stand-in for an engine that answers, fails and ends as it is told."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from lib.deploy.monitor.targets import Job
from lib.engine.serve import client
from lib.gateway import fake_upstream, keys
from lib.gateway.process import Gateway
from lib.resilience.monitor.drill import Drill, Scene
from lib.resilience.monitor.program import Program, free_port, own, send
from lib.resilience.monitor.scenes.exporter import job

ROLE = "planner"
MODEL = "smollm2-135m"
PAUSE_S = 0.2


def scenes() -> list[Scene]:
    """Return the gateway's scene."""
    return [Served()]


class Served:
    """A gateway and what is behind it."""

    name = "gateway"

    def __init__(self) -> None:
        self.engine_port = free_port()
        self.engine: Program | None = None
        self.gateway: Gateway | None = None
        self._key = ""
        self._asking = threading.Event()

    def open(self, folder: Path) -> None:
        """Start both, with a key of its own."""
        store = folder / "gateway-keys.json"
        _, self._key = keys.create(store, "drill", [ROLE])
        url = f"http://127.0.0.1:{self.engine_port}"
        # By its module's name, as a program: what it imports is the runbook's.
        self.engine = Program(
            [sys.executable, "-m", fake_upstream.__name__, str(self.engine_port)], folder / "log" / "upstream.log"
        )
        self.engine.start()
        self.engine.answers(f"{url}/health")
        settings = {
            "gateway.keys": str(store),
            "gateway.port": 0,
            "gateway.probe_s": 0.5,
            "gateway.engines": {"main": {"model": MODEL, "url": url}},
            "gateway.roles": {ROLE: {"engine": "main"}},
        }
        self.gateway = Gateway("embedded", settings, folder / "log" / "gateway.log")
        self.gateway.start()

    def close(self) -> None:
        """End both."""
        self._asking.clear()
        if self.gateway:
            self.gateway.stop()
        if self.engine:
            self.engine.stop()

    def jobs(self) -> Sequence[Job]:
        """Return the gateway's own metrics."""
        assert self.gateway is not None
        return [job("gateway", int(self.gateway.url.rpartition(":")[2]), self.name)]

    def drills(self) -> Sequence[Drill]:
        """Let answers fail, keys be guessed, the engine end, the gateway hang."""
        assert self.engine is not None
        return [
            Drill(("GatewayErrors",), "the engine answers 500", lambda: self._ask(self._wrong_answer), self._still),
            Drill(("GatewayWrongKeys",), "somebody guesses keys", lambda: self._ask(self._wrong_key), self._still),
            Drill(("GatewayEngineFault",), "the engine ends", self._end_engine, self._engine_back),
            Drill(
                ("GatewayDown",),
                "the gateway hangs",
                lambda: self._signal(signal.SIGSTOP),
                lambda: self._signal(signal.SIGCONT),
            ),
        ]

    def _signal(self, number: signal.Signals) -> None:
        assert self.gateway is not None
        send(own(self.gateway.tree()), number)

    def _ask(self, once: Callable[[], None]) -> None:
        """Ask again and again until `_still`."""
        self._asking.set()

        def again() -> None:
            while self._asking.is_set():
                with contextlib.suppress(httpx.TransportError):
                    once()
                time.sleep(PAUSE_S)

        threading.Thread(target=again, daemon=True).start()

    def _still(self) -> None:
        self._asking.clear()

    def _post(self, key: str, **fields: object) -> None:
        assert self.gateway is not None
        body = {"model": ROLE, "messages": [{"role": "user", "content": "Say x."}], **fields}
        headers = {"Authorization": f"Bearer {key}"}
        client.http().post(f"{self.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=5)

    def _wrong_answer(self) -> None:
        self._post(self._key, fake={"status": 500})

    def _wrong_key(self) -> None:
        self._post(self._key[:-4] + "AAAA")

    def _end_engine(self) -> None:
        """End it while clients ask: their errors are due too, and must not be told."""
        assert self.engine is not None
        self.engine.stop()
        self._ask(lambda: self._post(self._key))

    def _engine_back(self) -> None:
        assert self.engine is not None
        self._still()
        self.engine.start()
