"""A guard that gives a card its power limit back when its owner goes away.

Run as a file (`python power_guard.py --nvml FILE --state FILE --lock FILE`), it imports nothing of this project. It
says `ready` once it could restore, then waits on its standard input: a pipe whose write end the owner holds. When that
closes, however the owner ended, the limit of the state file is set again and the file removed. An owner that restored
by itself has removed the file already, and there is nothing to do.
"""

import argparse
import fcntl
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

# A new owner holds the lock only after it has restored what the last one left behind.
PATIENCE_S = 10.0
TICK_S = 0.1


def main(argv: list[str]) -> int:
    """Wait for the owner's end, then restore; return 0 if the card is as it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvml", type=Path, required=True, help="file of the NVML binding")
    parser.add_argument("--state", type=Path, required=True, help="what to restore; removed when done")
    parser.add_argument("--lock", type=Path, required=True, help="held by whoever may change the limit")
    args = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the owner ends as well, and then there is work to do
    state = args.state.read_text()
    library = load(args.nvml)
    library.nvmlInit()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.read(0, 64):
        continue
    if not mine(args.state, state) or not hold(args.lock):
        return 0
    return restore(library, args.state, state)


def load(file: Path) -> Any:
    """Load the NVML binding from its file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hold(lock: Path) -> bool:
    """Take the lock that the dead owner held; false if a new owner has it, who restored the limit first."""
    descriptor, deadline = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(TICK_S)


def mine(state: Path, told: str) -> bool:
    """Tell whether the state file is still that of this guard's owner."""
    try:
        return state.read_text() == told
    except FileNotFoundError:
        return False


def restore(library: Any, state: Path, text: str) -> int:
    """Set the limit that the state file names, if it is still this owner's file, and remove it."""
    if not mine(state, text):
        return 0
    told = json.loads(text)
    card = library.nvmlDeviceGetHandleByUUID(told["uuid"])
    library.nvmlDeviceSetPowerManagementLimit(card, told["limit_mw"])
    state.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
