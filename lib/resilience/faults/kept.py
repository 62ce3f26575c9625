"""A service as systemd keeps one: started again when it ends, and nothing of the old one left before that."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lib.lab import process


class Kept:
    """A command with `Restart=always`. A context manager.

    Parameters
    ----------
    argv : sequence of str
        The command.
    log : Path
        Receives what it prints.
    environment : mapping
        Its whole environment.
    restarts : bool
        With False nobody starts it again.
    pause_s : float
        `RestartSec`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        restarts: bool = True,
        pause_s: float = 0.2,
    ) -> None:
        self.argv, self.log, self.environment = list(argv), log, dict(environment)
        self.restarts, self.pause_s = restarts, pause_s
        self.starts = 0
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._start()
        self._thread = threading.Thread(target=self._keep, name="kept", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(10)
        self._clear()

    def kill(self) -> None:
        """End its first process with SIGKILL; what else belongs to it is left to whoever keeps it."""
        self._process.kill()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*process.WITH_PARENT, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        self.starts += 1

    def _keep(self) -> None:
        while not self._end.wait(0.02):
            if self._process.poll() is None:
                continue
            self._clear()
            if not self.restarts:
                return
            time.sleep(self.pause_s)
            self._start()

    def _clear(self) -> None:
        """End the whole group, as `KillMode=control-group` does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
