"""A guard that leaves nothing behind: it runs a command and ends its whole process tree when its owner goes away.

Run as a file (`python guard.py --pipe FD -- COMMAND`), it imports nothing of this project and nothing outside the
standard library. The owner holds the write end of a pipe. To stop, it writes the seconds between SIGTERM and SIGKILL;
when the pipe closes without a word, however the owner ended, the tree is terminated with a short grace. There are two
processes, a watcher and a keeper, and each one's death ends the tree as well.
"""

import argparse
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
TICK_S = 0.1
KILL_WAIT_S = 5.0
REST_GRACE_S = 1.0
# Nobody waits for the requests of an owner that died.
LOST_GRACE_S = 3.0
# Python's helper that unlinks shared memory once its users are gone: killed early, it would leave /dev/shm full.
CLEANER = b"multiprocessing.resource_tracker"


def main(argv: list[str]) -> NoReturn:
    """Run the command under guard and exit with its status (128 + signal if it was killed)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipe", type=int, required=True, help="read end of the owner's pipe")
    parser.add_argument("--scratch", type=Path, help="folder to remove when everything has ended")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the owner's business
    adopt_orphans()
    watcher = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        end = _Flag()
        signal.signal(signal.SIGTERM, end)
        die_with_parent(signal.SIGTERM, watcher, end)
        code = keep(args.command, args.pipe, end)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(keeper, signal.SIGTERM))
        os.close(args.pipe)
        code = watch(keeper)
    if args.scratch:
        shutil.rmtree(args.scratch, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)


class _Flag:
    """Set by a signal handler."""

    raised = False

    def __call__(self, *_: object) -> None:
        self.raised = True


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes the tree."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: signal.Signals, parent: int, end: _Flag) -> None:
    """Ask the kernel for a signal when the parent dies; raise the flag if it is dead already."""
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        end()


def keep(command: list[str], pipe: int, end: _Flag) -> int:
    """Start the command, wait until it ends or must end, terminate what is left of its tree; return its status."""
    adopt_orphans()
    keeper, never = os.getpid(), _Flag()
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.close(pipe)
        die_with_parent(signal.SIGKILL, keeper, never)
        try:
            os.execvp(command[0], command)  # noqa: S606
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
            os._exit(127)
    status, grace = None, None
    while status is None and not end.raised and grace is None:
        grace = _told(pipe)
        status = _reap(child)
    if status is None:
        os.kill(child, signal.SIGTERM)
        status = _await_end(child, LOST_GRACE_S if grace is None else grace)
    terminate_rest()
    return status if status is not None else 128 + signal.SIGKILL


def watch(keeper: int) -> int:
    """Wait for the keeper; should it have been killed, its tree has become ours and is terminated here."""
    _, raw = os.waitpid(keeper, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the keeper's number is free again
    terminate_rest()
    return _status(raw)


def terminate_rest() -> None:
    """End every descendant of this process: SIGTERM, then SIGKILL, the cleaners of shared memory last."""
    _signal_all(descendants(), signal.SIGTERM)
    _await_empty(REST_GRACE_S)
    _signal_all([pid for pid in descendants() if CLEANER not in _cmdline(pid)], signal.SIGKILL)
    _await_empty(1.0)
    deadline = time.monotonic() + KILL_WAIT_S
    while descendants() and time.monotonic() < deadline:
        _signal_all(descendants(), signal.SIGKILL)
        _await_empty(TICK_S)


def descendants(root: int | None = None) -> list[int]:
    """Return the live descendants of a process (default: this one), parents first. Zombies count as dead."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _stat(entry)
            children.setdefault(parent, []).append((int(entry.name), state))
    found, queue = [], [os.getpid() if root is None else root]
    while queue:
        for pid, state in children.get(queue.pop(0), []):
            queue.append(pid)
            if state not in "ZX":
                found.append(pid)
    return found


def _stat(entry: Path) -> tuple[str, int]:
    """Return state and parent of a process; the name in parentheses may hold spaces and parentheses itself."""
    try:
        fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[1])
    except (OSError, IndexError):
        return "X", 0


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _await_empty(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while descendants() and time.monotonic() < deadline:
        time.sleep(TICK_S)
        _reap(0)


def _await_end(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    status = _reap(child)
    while status is None and time.monotonic() < deadline:
        time.sleep(TICK_S)
        status = _reap(child)
    return status


def _reap(child: int) -> int | None:
    """Collect every dead child; return the status of `child` if it was among them."""
    found = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = _status(raw)


def _told(pipe: int) -> float | None:
    """Wait one tick; return the grace in seconds that the owner grants once it stops or is gone, else None."""
    try:
        readable, _, _ = select.select([pipe], [], [], TICK_S)
    except InterruptedError:
        return None
    if not readable:
        return None
    said = os.read(pipe, 64).decode()
    return float(said) if said else LOST_GRACE_S


def _status(raw: int) -> int:
    code = os.waitstatus_to_exitcode(raw)
    return code if code >= 0 else 128 - code


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    main(sys.argv[1:])
