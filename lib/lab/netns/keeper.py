"""The first process of a twin: collects what ends, and ends itself when its owner's pipe closes.

Run as a script (standard library only). The kernel kills every process of a namespace with its first one, so a twin
ends with its owner, however the owner ends.
"""

import os
import select
import sys


def main() -> None:
    """Say that the namespace is there, then wait for the pipe on standard input to close."""
    sys.stdout.write("up\n")
    sys.stdout.flush()

    while True:
        ready, _, _ = select.select([0], [], [], 0.5)
        _collect()
        if ready and not os.read(0, 1024):
            return


def _collect() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
