"""Carries frames between two interfaces, each after a delay and no faster than a rate.

Run as a script with one JSON argument: ``{"ends": [a, b], "delay_s": s, "mbit_s": r}`` (standard library only). Ends
when its standard input closes.
"""

import collections
import json
import select
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
# A header before each frame that says which checksum is still open and how large the pieces are (packet(7)): without
# it, frames that never met real hardware would arrive with a wrong checksum.
PACKET_VNET_HDR = 15
SOL_PACKET = 263
VNET_HEADER = 10
# What a home router keeps waiting before it drops: a quarter of a second at the line's rate.
QUEUE_S = 0.25


class Way:
    """One direction: frames wait for the line to be free, then travel for the delay."""

    def __init__(self, target: socket.socket, delay_s: float, mbit_s: float) -> None:
        self.target, self.delay = target, delay_s
        self.byte_s = 8 / (mbit_s * 1e6) if mbit_s else 0.0
        self.free_at = 0.0
        self.waiting: collections.deque[tuple[float, bytes]] = collections.deque()

    def take(self, frame: bytes, now: float) -> None:
        """Queue a frame, or drop it where the queue is full."""
        begin = max(now, self.free_at)
        if begin - now > QUEUE_S:
            return
        self.free_at = begin + (len(frame) - VNET_HEADER) * self.byte_s
        self.waiting.append((self.free_at + self.delay, frame))

    def give(self, now: float) -> None:
        """Send what has arrived."""
        while self.waiting and self.waiting[0][0] <= now:
            self.target.send(self.waiting.popleft()[1])


def _end(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.bind((interface, ETH_P_ALL))
    made.setblocking(False)
    return made


def main(told: str) -> None:
    """Carry frames until standard input closes."""
    asked = json.loads(told)
    ends = [_end(name) for name in asked["ends"]]
    ways = [Way(target, asked["delay_s"], asked["mbit_s"]) for target in reversed(ends)]
    watched: list[int | socket.socket] = [0, *ends]
    sys.stdout.write("up\n")
    sys.stdout.flush()
    while True:
        due = min((way.waiting[0][0] for way in ways if way.waiting), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select(watched, [], [], wait)
        if 0 in ready:
            return
        now = time.monotonic()
        for end, way in zip(ends, ways, strict=True):
            if end in ready:
                _drain(end, way, now)
            way.give(time.monotonic())


def _drain(end: socket.socket, way: Way, now: float) -> None:
    while True:
        try:
            frame, origin = end.recvfrom(1 << 17)
        except BlockingIOError:
            return
        if origin[2] != PACKET_OUTGOING:
            way.take(frame, now)


if __name__ == "__main__":
    main(sys.argv[1])
