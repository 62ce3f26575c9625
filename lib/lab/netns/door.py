"""A door: a port inside a twin that leads to a port of this machine.

Run as a script (standard library only) with the listening socket as an inherited descriptor:
``door.py FD HOST PORT``. Ends when its standard input closes.
"""

import contextlib
import select
import socket
import sys
import threading

PIECE = 1 << 16


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until it ends, then tell the other side."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


def _serve(caller: socket.socket, place: tuple[str, int]) -> None:
    with caller:
        try:
            callee = socket.create_connection(place, timeout=5)
        except OSError:
            return
        with callee:
            callee.settimeout(None)
            for end in (caller, callee):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_carry, args=(callee, caller), daemon=True)
            back.start()
            _carry(caller, callee)
            back.join()


def main(descriptor: int, host: str, port: int) -> None:
    """Serve until standard input closes."""
    listener = socket.socket(fileno=descriptor)
    watched: list[int | socket.socket] = [0, listener]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready:
            return
        caller, _ = listener.accept()
        threading.Thread(target=_serve, args=(caller, (host, port)), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
