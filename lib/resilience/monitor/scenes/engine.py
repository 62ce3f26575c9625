"""The engine, the real one of the profile: too many long answers at a time, and then it hangs."""

import contextlib
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from lib.core.sections import Profile
from lib.deploy.monitor.targets import Job
from lib.engine.serve import client
from lib.engine.serve.server import Server
from lib.engine.serve.variant import Variant
from lib.resilience.monitor.drill import Drill
from lib.resilience.monitor.program import own, send
from lib.resilience.monitor.scenes.exporter import job

CLIENTS = 24
TOKENS = 120
# So little KV cache that the load cannot fit: vLLM then preempts. A block holds 128 tokens on a CPU, 16 on a card.
KV_TOKENS, CONTEXT = 1536, 512
BLOCK = {"cpu": 128, "cuda": 16}
OVERLOAD = ("EngineWaiting", "EngineKvCacheFull", "EnginePreempting", "EngineSlowFirstToken", "EngineSlowTokens")


def small(profile: Profile) -> Profile:
    """Return the profile with an engine that is easily overloaded."""
    flags = ("--num-gpu-blocks-override", str(KV_TOKENS // BLOCK[profile.hardware]))
    changed = {"max_model_len": CONTEXT, "max_num_seqs": 8, "max_num_batched_tokens": CONTEXT}
    return Variant("watched", changed, flags).of(profile)


class Engine:
    """A running engine; it is started and stopped by who owns it."""

    name = "engine"

    def __init__(self, server: Server) -> None:
        self.server = server
        self._loaded = threading.Event()

    def open(self, folder: Path) -> None:
        """Take it as it is."""

    def close(self) -> None:
        """Let it go on, without load."""
        self._loaded.clear()
        self._signal(signal.SIGCONT)

    def jobs(self) -> Sequence[Job]:
        """Return its metrics."""
        return [job("vllm", self.server.port, self.name)]

    def drills(self) -> Sequence[Drill]:
        """Overload it; let it hang."""
        return [
            Drill(OVERLOAD, f"{CLIENTS} clients want long answers", self._load, self._loaded.clear),
            Drill(
                ("EngineDown",),
                "the engine hangs",
                lambda: self._signal(signal.SIGSTOP),
                lambda: self._signal(signal.SIGCONT),
            ),
        ]

    def _signal(self, number: signal.Signals) -> None:
        send(own(self.server.tree()), number)

    def _load(self) -> None:
        self._loaded.set()
        for number in range(CLIENTS):
            threading.Thread(target=self._ask, args=(number,), daemon=True).start()

    def _ask(self, number: int) -> None:
        body = {
            "model": self.server.model.name,
            "prompt": f"Client {number} counts: " + " ".join(str(one) for one in range(60)),
            "max_tokens": TOKENS,
            "ignore_eos": True,
            "stream": True,
        }
        while self._loaded.is_set():
            with contextlib.suppress(httpx.TransportError):
                self._listen(body)

    def _listen(self, body: Mapping[str, object]) -> None:
        """Take an answer; when the load ends, hang up: the engine then drops what it was at."""
        with client.http().stream("POST", f"{self.server.url}/v1/completions", json=body, timeout=60) as answer:
            for _ in answer.iter_lines():
                if not self._loaded.is_set():
                    return
