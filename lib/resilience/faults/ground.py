"""Where drills are played: a real gateway, an engine's stand-in behind it that the watchdog holds, and a client."""

import contextlib
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from lib.core import paths
from lib.core.sections import Watchdog
from lib.engine.serve import command
from lib.gateway import keys
from lib.gateway.process import Gateway
from lib.resilience.faults.witness import Witness
from lib.resilience.watchdog.card import Card
from lib.resilience.watchdog.engines import Owned
from lib.resilience.watchdog.journal import Journal
from lib.resilience.watchdog.watch import Watch

MODEL = "stand-in"
ROLE = "main"
PROFILE = "embedded"
# The watchdog's times for a stand-in, which starts within half a second.
QUICK = Watchdog(
    every_s=0.1, answer_s=0.4, bad_after=2, good_after=1, ready_s=5, pause_s=0.2, pause_max_s=5, loop_after=3, rest_s=1,
    cap_c=80, shed_c=85, stop_c=90, cool_c=70, hot_s=0.3, calm_s=0.3,
)  # fmt: skip
ASK_S = 2.0
START_S = 15.0


class Ground:
    """One gateway with one engine behind it, on ports of this machine. A context manager.

    Parameters
    ----------
    folder : Path
        Logs and states; each drill has a folder of its own in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine_port = free_port()
        self._secrets = tempfile.TemporaryDirectory(prefix="runbook-drill-", dir=_scratch())
        # In memory, and gone with the ground: keys and holds.
        self.keys = Path(self._secrets.name) / "keys.json"
        self.holds = Path(self._secrets.name) / "holds"
        self.key_id, self.key = "", ""
        self.gateway: Gateway
        self.client = httpx.Client(trust_env=False, timeout=ASK_S)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        made, self.key = keys.create(self.keys, "drill", [keys.ALL_ROLES])
        self.key_id = made.id
        self.gateway = Gateway(PROFILE, self.settings(), self.folder / "gateway.log")
        with self.engine("first").running():
            self.gateway.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.gateway.stop()
        self.client.close()
        self._secrets.cleanup()

    @property
    def engine_url(self) -> str:
        """Where the engine answers."""
        return f"http://127.0.0.1:{self.engine_port}"

    def settings(self) -> dict[str, object]:
        """Return what differs from the profile for a gateway of this ground."""
        return {
            "gateway.host": "127.0.0.1",
            "gateway.port": 0,
            "gateway.memory": False,
            "gateway.probe_s": 0.2,
            "gateway.silent_s": 5,
            "gateway.keys": str(self.keys),
            "gateway.holds": str(self.holds),
            "gateway.engines": {ROLE: {"model": MODEL, "url": self.engine_url}},
            "gateway.roles": {ROLE: {"engine": ROLE}},
        }

    def place(self, name: str) -> Path:
        """Return a new folder for one play of a drill."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def engine(self, name: str, argv: Sequence[str] = (), before: Sequence[str] = ()) -> "Held":
        """Return the engine, not yet started; by default the stand-in."""
        own = argv or stand_in(self.engine_port)
        return Held(name, self.engine_url, MODEL, own, self.folder / f"engine-{name}.log", environment(), before)

    @contextlib.contextmanager
    def watched(
        self,
        place: Path,
        engine: "Held",
        card: Card | None = None,
        settings: Watchdog = QUICK,
        on: bool = True,
        **more: Any,
    ) -> Iterator[Watch]:
        """Give a watchdog at work over a running engine; with `on` False there is none."""
        watch = Watch(settings, [engine], Journal(place, say=lambda _: None), self.holds, card, **more)
        thread = threading.Thread(target=watch.run, name="watch", daemon=True)
        with engine.running():
            self.until_served()
            if on:
                thread.start()
            try:
                yield watch
            finally:
                watch.ended.set()
                if on:
                    thread.join(20)

    def ask(self, key: str = "", url: str = "", **fields: Any) -> str:
        """Ask once, as a client does, and return what went wrong."""
        return asked(self.client, url or self.gateway.url, key or self.key, **fields)

    def witness(self, **fields: Any) -> Witness:
        """Return a client that asks all the time."""
        return Witness(lambda: self.ask(**fields))

    def until_served(self, wait_s: float = START_S) -> None:
        """Wait until the gateway answers through the engine."""
        until(lambda: not self.ask(), wait_s, "the gateway does not answer")


class Held(Owned):
    """The engine of a ground."""

    @contextlib.contextmanager
    def running(self, wait_s: float = START_S) -> Iterator[Self]:
        """Start it, give it when it answers, and end it."""
        self.start()
        try:
            until(self.answers, wait_s, f"{self.name} does not start: {self.said}")
            yield self
        finally:
            self.stop()

    def answers(self) -> bool:
        """Tell whether it is there."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health", trust_env=False, timeout=1).status_code == httpx.codes.OK
        return False

    def pid(self) -> int:
        """Return the process that answers, and not the guard around it."""
        return self.pids()[0]


def asked(client: httpx.Client, url: str, key: str, **fields: Any) -> str:
    """Send one completion and return what went wrong: the status with its code, or the broken connection."""
    body = {"model": ROLE, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, **fields}
    try:
        told = client.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    except httpx.TransportError as error:
        return type(error).__name__
    return "" if told.status_code == httpx.codes.OK else str(told.status_code)


def stand_in(port: int) -> list[str]:
    """Return the command of the engine's stand-in."""
    return [sys.executable, "-m", "lib.gateway.fake_upstream", str(port)]


def environment() -> dict[str, str]:
    """Return the environment of what a drill starts."""
    return {**command.inherited(), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(paths.ROOT)}


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something holds.

    Raises
    ------
    TimeoutError
        It did not within the time.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _scratch() -> str | None:
    shared = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    return str(shared) if os.access(shared, os.W_OK) else None
