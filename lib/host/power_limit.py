"""The power limit of a card, borrowed: it may be changed for a while, and is given back whatever happens.

Before the first change the limit that was found is written to a file and forced to disk. It is set again when the
borrower is done, fails or is interrupted; by a guard process when the borrower is killed; and by `restore`, which the
next start of anything calls, when both were (a power cut forgets the limit, and the file is then harmless).
"""

import contextlib
import fcntl
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lib.core import paths
from lib.core.errors import RefusedError
from lib.host import power_guard
from lib.host.power_card import Card, LimitError

STATE = paths.CACHE / "power-limit.json"


class Borrowed:
    """The right to change a card's limit, as a context manager; on leaving it the limit that was found is set again.

    Parameters
    ----------
    card : Card
        Whose limit.
    state : Path
        File that remembers the limit while it is changed.

    Raises
    ------
    RefusedError
        Somebody else is changing the limit.
    LimitError
        The card refuses to be set; nothing was changed.
    """

    def __init__(self, card: Card, state: Path = STATE) -> None:
        self._card, self._state = card, state
        self._stack = contextlib.ExitStack()
        self.original_w = 0.0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            opened.enter_context(_lock(self._state))
            _give_back(self._state, self._card.library)
            limit_mw = round(1000 * self._card.limit_w)
            self.original_w = limit_mw / 1000
            self._card.set(limit_mw)  # what is set already: it changes nothing, and tells whether it may be set
            _remember(self._state, self._card.uuid, limit_mw)
            opened.enter_context(_guard(self._state, self._card.library))
            opened.callback(_give_back, self._state, self._card.library)
            self._stack = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # In turn: the limit is given back, the guard ends, the lock opens.
        self._stack.close()

    def set(self, limit_w: float) -> None:
        """Change the limit and wait until it holds, at most 10 s."""
        self._card.set(round(1000 * limit_w))


def leftover(state: Path = STATE) -> float | None:
    """Return the limit that somebody changed and has not given back, W; None if there is none."""
    told = _told(state)
    return told["limit_mw"] / 1000 if told else None


def restore(state: Path | None = None, library: Any = None) -> float | None:
    """Give back a limit that was left changed, and return it, W; None if there was none.

    Raises
    ------
    RefusedError
        Its borrower is still at work.
    LimitError
        The card refuses, or is not there; the file stays.
    """
    state = state or STATE
    if not state.exists():
        return None
    with _lock(state):
        return _give_back(state, library)


def _give_back(state: Path, library: Any) -> float | None:
    told = _told(state)
    if told is None:
        return None
    library = importlib.import_module("pynvml") if library is None else library
    limit_w = told["limit_mw"] / 1000
    try:
        library.nvmlInit()
        card = library.nvmlDeviceGetHandleByUUID(told["uuid"])
        library.nvmlDeviceSetPowerManagementLimit(card, told["limit_mw"])
    except library.NVMLError as error:
        raise LimitError(
            f"the power limit of {limit_w:g} W could not be set again: {error}",
            where=paths.short(state),
            fix="sudo .venv/bin/python -m lib power restore\n"
            f"or, where that is refused too: sudo nvidia-smi -pl {limit_w:g}, and remove that file",
        ) from error
    state.unlink()
    return float(limit_w)


def _told(state: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(state.read_text())
        return {"uuid": str(told["uuid"]), "limit_mw": int(told["limit_mw"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LimitError(
            "the note of a changed power limit cannot be read",
            where=paths.short(state),
            fix="nvidia-smi -q -d POWER, set the limit that you want (sudo nvidia-smi -pl W), then remove that file",
        ) from error


def _remember(state: Path, uuid: str, limit_mw: int) -> None:
    """Write the note so that it is whole on the disk, or not there at all."""
    fresh = state.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump({"uuid": uuid, "limit_mw": limit_mw, "owner": os.getpid(), "since": time.time()}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(state)
    folder = os.open(state.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _lock(state: Path) -> Iterator[None]:
    """Hold what the kernel takes from a dead process: one at a time may change the limit or give it back."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(state).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                "the power limit is being measured by another run",
                where=paths.short(state),
                fix="wait for it, or stop that run: it gives the limit back",
            ) from error
        yield


def _lock_file(state: Path) -> Path:
    return state.with_suffix(".lock")


@contextlib.contextmanager
def _guard(state: Path, library: Any) -> Iterator[None]:
    """Keep a process that gives the limit back should this one die; it is ready before this returns."""
    words = ("--nvml", library.__file__, "--state", str(state), "--lock", str(_lock_file(state)))
    guard = subprocess.Popen(
        [sys.executable, "-IS", power_guard.__file__, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if not guard.stdin or not guard.stdout or guard.stdout.readline().strip() != "ready":
        guard.kill()
        guard.communicate()
        state.unlink()
        raise LimitError(
            "the guard of the power limit did not start; nothing was changed",
            where="lib/host/power_guard.py",
            fix="read its words on standard error",
        )
    try:
        yield
    except Exception:
        if state.exists():
            guard.kill()  # the card refused to take its limit back, and would refuse the guard as well
        raise
    finally:
        guard.stdout.close()
        guard.stdin.close()
        # With the note gone it ends at once. Else ctrl-C cut giving back short: it does so when the lock opens.
        if not state.exists() or sys.exc_info()[0] is not KeyboardInterrupt:
            guard.wait()
