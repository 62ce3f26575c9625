"""`lib.gateway.fake_upstream` as a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lib.core import paths


@contextmanager
def stand_in(sleep_s: float = 0.3) -> Iterator[str]:
    """Give the address of a stand-in that takes so long to sleep and to wake."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "-m", "lib.gateway.fake_upstream", str(port), str(sleep_s)]
    process = subprocess.Popen(argv, cwd=paths.ROOT)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
