"""A gateway as a process of its own, for a chapter and for tests that want it as it is deployed."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.engine.serve import client, command
from lib.engine.serve.process import Guarded, Identity

POLL_S = 0.1
LISTENING = "listening on "


class Gateway(Lifetime):
    """`python -m lib gateway serve` under guard. A context manager; or call `start` and `stop`.

    Parameters
    ----------
    profile : str
        Name of the profile.
    settings : mapping of str to object
        Fields of the profile that differ: `{"gateway.port": 0}`.
    log : Path
        Receives what it prints.
    ready_s : float
        Longest wait until it answers; its own engines start first.
    """

    def __init__(self, profile: str, settings: Mapping[str, object], log: Path, ready_s: float = 60) -> None:
        words = [word for field, value in settings.items() for word in ("--set", f"{field}={json.dumps(value)}")]
        self.argv = [sys.executable, "-m", "lib", "gateway", "serve", "--profile", profile, *words]
        self.log, self.url, self._ready_s = log, "", ready_s
        self._process: Guarded | None = None

    def start(self) -> None:
        """Start it and return when it answers.

        Raises
        ------
        RunbookError
            It ended, or did not answer in time; with its last words.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = Guarded(self.argv, self.log, command.inherited() | {"PYTHONUNBUFFERED": "1"})
        end = time.monotonic() + self._ready_s
        while not self._answers():
            ended = self._process.wait(POLL_S) is not None
            if ended or time.monotonic() > end:
                said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
                self.stop()
                raise RunbookError(
                    f"the gateway {'ended' if ended else f'did not answer within {self._ready_s:g} s'}: "
                    f"{said[-1] if said else 'it said nothing'}",
                    where=paths.short(self.log),
                )

    def tree(self) -> list[Identity]:
        """Return every live process of it."""
        return self._process.tree() if self._process else []

    def stop(self) -> float:
        """Stop it and return how long that took, s. Stopping twice does no harm."""
        return self._process.stop() if self._process else 0.0

    def _answers(self) -> bool:
        told = self.log.read_text(errors="replace") if self.log.exists() else ""
        line = next((line for line in told.splitlines() if line.startswith(LISTENING)), "")
        if not line:
            return False
        self.url = line.removeprefix(LISTENING)
        try:
            return client.http().get(f"{self.url}/health", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
