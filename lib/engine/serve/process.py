"""A process under guard: it and all that it starts end with their owner, however the owner ends."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.engine.serve import guard

# Unix sockets allow 107 characters (sun_path); vLLM adds "/" and a UUID of 36 to the folder of temporary files.
_LONGEST_SCRATCH = 107 - 37
# After the grace of SIGTERM the guard needs up to 1 + 1 + 5 s for what is left, and as long again for the watcher.
_GUARD_MARGIN_S = 20


class Identity(NamedTuple):
    """A process, told apart from a later one with the same number by its start time (clock ticks since boot)."""

    pid: int
    started: int


class Guarded:
    """A command that runs under `lib.engine.serve.guard`, with its output in a file.

    Parameters
    ----------
    argv : sequence of str
        Program and arguments.
    log : Path
        Receives stdout and stderr.
    environment : mapping
        The whole environment; `TMPDIR` is added: a folder of its own that is removed when all has ended.
    grace : float
        Seconds between SIGTERM and SIGKILL when it is stopped.
    """

    def __init__(self, argv: Sequence[str], log: Path, environment: Mapping[str, str], grace: float = 10) -> None:
        self.grace = grace
        self._scratch = _scratch()
        read_end, write_end = os.pipe()
        try:
            with log.open("wb") as output:
                self._guard = subprocess.Popen(
                    [
                        *(sys.executable, "-IS", guard.__file__),
                        *("--pipe", str(read_end), "--scratch", str(self._scratch), "--"),
                        *argv,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**environment, "TMPDIR": str(self._scratch)},
                    cwd=paths.ROOT,
                    pass_fds=(read_end,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        self._pipe = write_end
        # Closing the pipe is what ends the tree. The finalizer does it also for an owner that was forgotten.
        self._release = weakref.finalize(self, os.close, write_end)

    @property
    def pid(self) -> int:
        """Process number of the guard, the root of the tree."""
        return self._guard.pid

    def poll(self) -> int | None:
        """Return the exit status of the command (128 + signal if it was killed), or None while it runs."""
        return self._guard.poll()

    def wait(self, seconds: float) -> int | None:
        """Wait for the command to end by itself and return its exit status, or None if it still runs."""
        try:
            return self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def tree(self) -> list[Identity]:
        """Return every live process of the tree, the guard's own two included."""
        pids = [self.pid, *guard.descendants(self.pid)]
        return [Identity(pid, started) for pid in pids if (started := _start_time(pid)) is not None]

    def stop(self, grace: float | None = None) -> float:
        """End the tree and return how long that took, in seconds. Stopping twice does no harm.

        Parameters
        ----------
        grace : float, optional
            Seconds between SIGTERM and SIGKILL, instead of the process's own.
        """
        begun = time.monotonic()
        granted = self.grace if grace is None else grace
        if self._release.alive:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                os.write(self._pipe, str(granted).encode())
            self._release()
        try:
            self._guard.wait(granted + _GUARD_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # its keeper is told by the kernel and ends the tree
            self._guard.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)  # the guard's business, unless it never came to run
        return time.monotonic() - begun


def alive(process: Identity) -> bool:
    """Tell whether exactly this process still runs. A zombie is dead: only its parent has not looked yet."""
    return _start_time(process.pid) == process.started


def _start_time(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])  # proc(5): field 22


def _scratch() -> Path:
    """Make a folder for sockets and temporary files, below the project's cache unless that path is too long."""
    base = paths.CACHE / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    inside = len(str(base)) + len("/rb-12345678") <= _LONGEST_SCRATCH
    return Path(tempfile.mkdtemp(prefix="rb-", dir=base if inside else None))
