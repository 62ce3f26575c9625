"""Processes of the lab on record: found again after a crash, and never mistaken for another with the same number."""

import contextlib
import ctypes
import json
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
# The same as `die_with_parent`, as the beginning of a command: for owners with threads, where `preexec_fn` may hang.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")


class Identity(NamedTuple):
    """A process, told apart from a later one with the same number by its start time (clock ticks since boot)."""

    pid: int
    started: int


def identity(pid: int) -> Identity | None:
    """Return a running process's identity; a zombie has ended, whatever its parent thinks.

    Its first thread may be a zombie while others still end, and hold files until they have: that is not ended yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" and threads <= 1 else Identity(pid, int(fields[19]))


def alive(known: Identity) -> bool:
    """Tell whether exactly this process still runs."""
    return identity(known.pid) == known


def end(known: Identity, grace: float = 0) -> None:
    """End exactly this process: SIGTERM and a grace, or at once."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not patience:
            continue
        if not alive(known):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(known.pid, number)
        limit = time.monotonic() + patience
        while alive(known) and time.monotonic() < limit:
            _reap(known.pid)
            time.sleep(0.02)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, however it ends. For `preexec_fn`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def write(path: Path, known: dict[str, Identity]) -> None:
    """Put the identities on record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({name: list(item) for name, item in known.items()}))
    fresh.replace(path)


def read(path: Path) -> dict[str, Identity]:
    """Return the identities on record; a damaged record counts as empty, for it is written whole."""
    try:
        return {name: Identity(*item) for name, item in json.loads(path.read_text()).items()}
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return {}
