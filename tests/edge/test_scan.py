"""The scanner's packets, and what it finds on this machine."""

import os
import socket
import struct
import subprocess
import sys

import pytest

from lib.edge.probes import scan


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("port", [1, 443, 65535])
def test_a_segment_is_a_syn_with_a_right_checksum(port: int) -> None:
    source, target = socket.inet_aton("203.0.113.50"), socket.inet_aton("203.0.113.10")
    made = scan.segment(source, target, 45678, port)
    assert struct.unpack("!HH", made[:4]) == (45678, port)
    assert (len(made), made[13]) == (20, scan.SYN)
    assert checksum(source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(made)) + made) == 0xFFFF


@pytest.mark.skipif(os.geteuid() != 0, reason="raw packets need root")
def test_it_finds_the_ports_that_listen_and_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = sorted(one.getsockname()[1] for one in (first, second))
        closed = next(port for port in range(ports[0] - 50, ports[0]) if port > 1024)
        argv = [
            sys.executable,
            "-IS",
            scan.__file__,
            "127.0.0.1",
            "127.0.0.1",
            str(closed),
            str(ports[1]),
            "20000",
            "3",
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    found = [int(port) for port in done.stdout.split()]
    assert set(ports) <= set(found)
    assert len(found) < ports[1] - closed
