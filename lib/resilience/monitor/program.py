"""Programs of a drill: started on free ports, stopped, halted and let go on, with all that they started."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from lib.core.errors import RunbookError
from lib.engine.serve import client, command
from lib.engine.serve.process import Guarded, Identity
from lib.lab.tools import find

READY_S = 30.0
POLL_S = 0.1


class Program:
    """One program under guard; it may be started again on the same port.

    Parameters
    ----------
    argv : sequence of str
        Program and arguments.
    log : Path
        Receives what it prints.
    path : str, optional
        Folder that is looked in first for the programs that it runs.
    """

    def __init__(self, argv: Sequence[str], log: Path, path: str = "") -> None:
        self.argv, self.log, self._path = [find(argv[0]) or argv[0], *argv[1:]], log, path
        self._process: Guarded | None = None

    def start(self) -> None:
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = command.inherited()
        if self._path:
            environment["PATH"] = f"{self._path}:{environment.get('PATH', '')}"
        self._process = Guarded(self.argv, self.log, environment, grace=3)

    def stop(self) -> None:
        """End it. Doing it twice does no harm."""
        if self._process:
            self._process.stop()

    def pids(self) -> list[int]:
        """Return the processes of the program itself: not those of its guard."""
        return own(self._process.tree() if self._process else [])

    def halt(self) -> None:
        """Let it hang: it is there, and does nothing."""
        send(self.pids(), signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        send(self.pids(), signal.SIGCONT)

    def answers(self, url: str, seconds: float = READY_S) -> None:
        """Return when an address of it answers.

        Raises
        ------
        RunbookError
            It ended, or did not answer in time; with its last words.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._process and self._process.poll() is None:
            try:
                if client.http().get(url, timeout=1).status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return
            except httpx.TransportError:
                time.sleep(POLL_S)
        said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        raise RunbookError(f"{Path(self.argv[0]).name} does not answer: {said[-1] if said else 'it said nothing'}")


def own(tree: Sequence[Identity]) -> list[int]:
    """Return the processes of a guarded tree that are not the guard's."""
    return [item.pid for item in tree if b"guard.py" not in Path(f"/proc/{item.pid}/cmdline").read_bytes()]


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to processes; one that has ended needs none."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


_GIVEN: set[int] = set()


def free_port() -> int:
    """Return a port of this machine that nobody listens on; none is given twice, as it is used only later."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port
