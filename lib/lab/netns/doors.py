"""Doors of twins: opened in the twin's network, carried by a process of this machine."""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lib.lab.netns import door
from lib.lab.netns.space import Space

CLONE_NEWNET = 0x40000000


@contextmanager
def network_of(space: Space) -> Iterator[None]:
    """Let this thread's new sockets belong to the network of a space; those it already has stay where they are.

    Processes that are started inside belong to it too. Other threads see nothing of it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as here, open(f"/proc/{space.pid}/ns/net") as there:  # noqa: PTH123
        _enter(libc, there.fileno())
        try:
            yield
        finally:
            _enter(libc, here.fileno())


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Door:
    """A port on a twin's own 127.0.0.1 behind which a server of this machine answers.

    Close it before the twin is cut off: its socket would keep the twin's network alive.
    """

    def __init__(self, space: Space, port: int, host: str, host_port: int) -> None:
        # The listener is the twin's; the process that serves it is of this machine, and so are its own connections.
        with network_of(space):
            listener = socket.socket()
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(256)
            self._process = subprocess.Popen(
                [sys.executable, "-IS", door.__file__, str(listener.fileno()), host, str(host_port)],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """Close it. Doing it twice does no harm."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(10)
