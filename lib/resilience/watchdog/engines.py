"""What the watchdog may start and stop: a unit of systemd, or in the lab a command of its own."""

import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lib.engine.serve.process import Guarded
from lib.resilience.watchdog.machine import Process

CONTROL_S = 180.0
RUNNING = ("active", "activating", "reloading", "refreshing")


class Engine(Protocol):
    """An engine as the watchdog holds it."""

    name: str
    url: str
    model: str

    def look(self) -> tuple[Process, float]:
        """Return whether its process runs, and for how long, s."""

    def start(self) -> None:
        """Start it; it loads by itself."""

    def stop(self) -> None:
        """End it at once: what hangs does not finish its requests."""


class Unit:
    """An engine that systemd runs.

    Parameters
    ----------
    name : str
        Its unit.
    url, model : str
        Where it answers, and to which name.
    """

    def __init__(self, name: str, url: str, model: str) -> None:
        self.name, self.url, self.model = name, url, model

    def look(self) -> tuple[Process, float]:
        """Ask systemd; a unit that failed has ended, one that is inactive was stopped."""
        told = self._ask("show", "-p", "ActiveState", "-p", "ActiveEnterTimestampMonotonic", self.name)
        values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        state = values.get("ActiveState", "")
        if state in RUNNING:
            since = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
            return "running", max(0.0, time.clock_gettime(time.CLOCK_MONOTONIC) - since) if since else 0.0
        return ("ended" if state == "failed" else "off"), 0.0

    def start(self) -> None:
        """Start it, whatever systemd counted before: the pauses between starts are the watchdog's."""
        self._ask("reset-failed", self.name)
        self._ask("start", "--no-block", self.name)

    def stop(self) -> None:
        """Kill it and keep systemd from starting it again by itself."""
        self._ask("kill", "--signal=SIGKILL", self.name)
        self._ask("stop", self.name)

    def _ask(self, *words: str) -> str:
        argv = ["systemctl", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=CONTROL_S, check=False).stdout


class Owned:
    """An engine that this process runs itself, under guard: it ends with the watchdog.

    Parameters
    ----------
    name, url, model : str
        As of a unit.
    argv : sequence of str
        Its command.
    log : Path
        Receives what it prints.
    environment : mapping
        Its whole environment.
    before : sequence of str
        A command that must succeed before each start, such as a look at the model's checksums.
    """

    def __init__(
        self,
        name: str,
        url: str,
        model: str,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> None:
        self.name, self.url, self.model = name, url, model
        self.argv, self.log, self.environment, self.before = list(argv), log, dict(environment), list(before)
        self.starts: list[float] = []
        self.said = ""
        self._process: Guarded | None = None
        self._refused = False

    def look(self) -> tuple[Process, float]:
        """Look at the process itself."""
        if self._process is None:
            return ("ended" if self._refused else "off"), 0.0
        if self._process.poll() is not None:
            return "ended", 0.0
        return "running", time.monotonic() - self.starts[-1]

    def start(self) -> None:
        """Start it, unless what has to succeed before does not."""
        self.stop()
        self.starts.append(time.monotonic())
        if self.before:
            done = subprocess.run(self.before, capture_output=True, text=True, check=False, env=self.environment)
            self._refused = done.returncode != 0
            if self._refused:
                told = (done.stderr or done.stdout).strip().splitlines()
                self.said = told[-1] if told else f"{shlex.join(self.before)} failed"
                return
        self._process = Guarded(self.argv, self.log, self.environment, grace=1)

    def stop(self) -> None:
        """End it with all that it started."""
        process, self._process, self._refused = self._process, None, False
        if process is not None:
            process.stop(grace=0)

    def pids(self) -> list[int]:
        """Return the command's own processes, parents first, without the two of its guard."""
        return [one.pid for one in self._process.tree()[2:]] if self._process else []
