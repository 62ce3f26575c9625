"""All drills in one go: everything is started, broken, mended, and ended again; one Prometheus watches it all."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from lib.core.errors import RunbookError
from lib.deploy.monitor import deadman
from lib.deploy.monitor.targets import Job
from lib.resilience.monitor import drill as drills
from lib.resilience.monitor.drill import Drill, Outcome, Scene
from lib.resilience.monitor.program import Program, free_port
from lib.resilience.monitor.receiver import HERE, Receiver, opened
from lib.resilience.monitor.scenes.exporter import job
from lib.resilience.monitor.scenes.host import Disk, Host
from lib.resilience.monitor.stack import Stack

# Signs of life come every second; Alertmanager holds an alert that Prometheus no longer sends for four more.
SILENCE_S = 4.0
SETTLE_S = 3.0
SIGNS_S = 30.0


class Show:
    """A running watching with everything that it watches."""

    def __init__(self, folder: Path, stack: Stack, receiver: Receiver, scenes: Sequence[Scene], wait_s: float) -> None:
        self.folder, self.stack, self.receiver, self.scenes, self.wait_s = folder, stack, receiver, scenes, wait_s

    def play(self) -> list[Outcome]:
        """Do every drill: scenes and broken messages side by side, the dead man's switch when they are done."""
        found = drills.play([*self.scenes, Messages(self.receiver)], self.receiver, self.wait_s)
        return [*found, self._dead_man()]

    def _dead_man(self) -> Outcome:
        """Let Prometheus hang: nothing at home can tell that, so the switch must."""
        fault = "Prometheus hangs; the dead man's switch tells"
        # Without signs it has been telling of silence all the while, and what it tells now proves nothing.
        if any("silent" in text for _, text in self.receiver.lines):
            return Outcome("Watchdog", "own", fault, "real", None, None)
        began = time.monotonic()
        self.stack.prometheus.halt()
        fired = self.receiver.line("silent", began, self.wait_s)
        ended = time.monotonic()
        self.stack.prometheus.go_on()
        cleared = self.receiver.line("back", ended, self.wait_s) if fired is not None else None
        return Outcome("Watchdog", "own", fault, "real", fired, cleared)


class Messages:
    """One way to the owner is broken for one message: the others tell."""

    name = "own"

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def open(self, folder: Path) -> None:
        """Nothing is to be started."""

    def close(self) -> None:
        """Let it work again."""
        self.receiver.refused = ""

    def jobs(self) -> Sequence[Job]:
        """Return nobody: Alertmanager is asked anyway."""
        return []

    def drills(self) -> Sequence[Drill]:
        """Let Telegram answer 500 to the message of a host that is gone; that is in another scene."""
        return [Drill(("MessagesNotDelivered",), "Telegram answers 500", self._refuse, self.close)]

    def _refuse(self) -> None:
        self.receiver.refused = f"{Host.name} does not answer"


def possible(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes that can be played here: a file system is mounted by root only."""
    return [scene for scene in scenes if os.geteuid() == 0 or not isinstance(scene, Disk)]


def _nobody() -> Sequence[Scene]:
    return ()


@contextmanager
def opened_show(
    folder: Path,
    scenes: Sequence[Scene],
    wait_s: float,
    without_rules: bool = False,
    late: Callable[[], Sequence[Scene]] = _nobody,
) -> Iterator[Show]:
    """Start everything; it ends with the block, whatever happens.

    Parameters
    ----------
    late : callable
        Returns scenes that are open already, such as an engine that was starting meanwhile.

    Raises
    ------
    RunbookError
        Something did not start, or a target does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_things:
        receiver = open_things.enter_context(opened())
        open_things.callback(_together, [scene.close for scene in scenes])
        _together([partial(scene.open, folder) for scene in scenes])
        everybody = [*scenes, *late()]
        port = free_port()
        switch = _switch(folder, port, receiver)
        open_things.callback(switch.stop)
        jobs = [*(item for scene in everybody for item in scene.jobs()), job("deadman", port, "own")]
        switch.start()
        switch.answers(f"http://{HERE}:{port}/metrics")
        stack = open_things.enter_context(Stack(folder, jobs, receiver, f"http://{HERE}:{port}/", without_rules))
        if not without_rules:
            _await_signs(stack)
            receiver.lines.clear()
        yield Show(folder, stack, receiver, everybody, wait_s)


def _together(acts: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()


def _await_signs(stack: Stack) -> None:
    """Wait until signs of life have come for a while: the switch has then told the end of the silence of the start."""
    until = time.monotonic() + SIGNS_S
    while not stack.query(f"max_over_time(deadman_silent_seconds[{round(SETTLE_S)}s]) < {SILENCE_S - 1}"):
        if time.monotonic() > until:
            raise RunbookError(f"no sign of life came to the dead man's switch within {SIGNS_S:g} s")
        time.sleep(0.2)


def _switch(folder: Path, port: int, receiver: Receiver) -> Program:
    address = folder / "switch-webhook"
    address.write_text(f"{receiver.url}/hook\n")
    options = ["--port", str(port), "--silence", str(SILENCE_S), "--webhook", str(address)]
    return Program([sys.executable, deadman.__file__, *options], folder / "log" / "deadman.log")


def short_logs(folder: Path, lines: int = 20) -> str:
    """Return the last lines of every log of a show, for a document."""
    told = []
    for path in sorted((folder / "log").glob("*.log")):
        with contextlib.suppress(OSError):
            told.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
    return "\n".join(told)
