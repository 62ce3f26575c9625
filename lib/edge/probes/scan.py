"""Which TCP ports of a host answer: every port gets a SYN in every round, in another order each time.

Run as a script inside a twin (standard library only): ``scan.py SOURCE TARGET FIRST LAST RATE ROUNDS``; prints the open
ones. It knows nothing of losses: a scanner that guesses at them takes a dropped packet for a closed port.
"""

import contextlib
import random
import socket
import struct
import sys
import threading
import time

SYN, SYN_ACK = 0x02, 0x12
LAST_WAIT_S = 0.7


def segment(source: bytes, target: bytes, source_port: int, port: int) -> bytes:
    """Return a TCP segment with SYN set and its checksum right."""
    head = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, SYN, 1024, 0, 0)
    whole = source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head)) + head
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~(total + (total >> 16)) & 0xFFFF
    return head[:16] + struct.pack("!H", total) + head[18:]


class Scan:
    """One scan of one host."""

    def __init__(self, source: str, target: str) -> None:
        self.target, self._ends = target, (socket.inet_aton(source), socket.inet_aton(target))
        self.port = random.randrange(40000, 60000)  # noqa: S311 - a port number, no secret
        self.open: set[int] = set()
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._wire.bind((source, 0))
        self._wire.settimeout(0.2)
        self._ended = False

    def run(self, ports: list[int], rate: int, rounds: int) -> list[int]:
        """Ask every port in every round, so many a second, and return those that accepted."""
        listening = threading.Thread(target=self._listen)
        listening.start()
        packets = {port: segment(*self._ends, self.port, port) for port in ports}
        for _ in range(rounds):
            random.shuffle(ports)
            begun = time.monotonic()
            for count, port in enumerate(ports):
                with contextlib.suppress(OSError):
                    self._wire.sendto(packets[port], (self.target, 0))
                if count % 100 == 0:
                    time.sleep(max(0.0, begun + count / rate - time.monotonic()))
        time.sleep(LAST_WAIT_S)
        self._ended = True
        listening.join()
        self._wire.close()
        return sorted(self.open)

    def _listen(self) -> None:
        while not self._ended:
            try:
                raw, (origin, _) = self._wire.recvfrom(256)
            except TimeoutError:
                continue
            tcp = raw[(raw[0] & 15) * 4 :]
            port, ours = struct.unpack("!HH", tcp[:4])
            if origin == self.target and ours == self.port and tcp[13] & SYN_ACK == SYN_ACK:
                self.open.add(port)


if __name__ == "__main__":
    _, our, their, first, last, per_second, times = sys.argv
    found = Scan(our, their).run(list(range(int(first), int(last) + 1)), int(per_second), int(times))
    sys.stdout.write(" ".join(map(str, found)) + "\n")
