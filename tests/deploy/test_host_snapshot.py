"""What a snapshot of a host counts, and what is left out because it changes at every boot."""

import subprocess

import pytest

from lib.deploy.rehearsal import snapshot


def filtered(line: str) -> str:
    return subprocess.run(["sh", "-c", snapshot.BUFFERS], input=line, text=True, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("net.ipv4.tcp_rmem = 4096\t131072\t3047616\n", "net.ipv4.tcp_rmem = 4096\t131072\t3047584\n"),
        ("net.ipv4.tcp_wmem = 4096\t16384\t3047616\n", "net.ipv4.tcp_wmem = 4096\t16384\t3047584\n"),
    ],
)
def test_a_buffer_computed_from_free_memory_is_no_difference(first: str, second: str) -> None:
    assert filtered(first) == filtered(second)


@pytest.mark.parametrize(
    "line",
    [
        "net.ipv4.tcp_rmem = 4096\t131072\t6291456\n",  # the kernel's cap: the same after every boot
        "net.ipv4.tcp_wmem = 4096\t16384\t16777216\n",  # somebody's setting
        "vm.swappiness = 10\n",
    ],
)
def test_a_setting_counts(line: str) -> None:
    assert filtered(line) == line


def test_the_smallest_buffer_of_a_small_host_counts() -> None:
    first, second = (f"net.ipv4.tcp_rmem = {low}\t131072\t3047616\n" for low in (4096, 8192))
    assert filtered(first) != filtered(second)


def test_a_difference_names_what_came_and_what_went() -> None:
    assert snapshot.difference(["file /a", "unit b enabled"], ["file /a", "unit b disabled"]) == [
        "+unit b disabled",
        "-unit b enabled",
    ]
