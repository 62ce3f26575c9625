"""Xid events in the kernel log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import MISSING, Changed, fuzz, owner

from lib.host import xid
from lib.host.probe import Output
from lib.host.xid import Xid

FALLEN = "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"
FAULT = "NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=python, Ch 00000008, intr 00000000. MMU Fault: ENGINE\n"
LOADED = "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n"


def host(journal: Output | str | None, dmesg: Output | str | None = None) -> Changed:
    return Changed(owner(), commands={"journalctl": journal, "dmesg": dmesg})


def test_events_are_read_with_their_card() -> None:
    assert xid.parse(LOADED + FALLEN + FAULT) == [
        Xid(79, "0000:01:00", "pid='<unknown>', name=<unknown>, GPU has fallen off the bus."),
        Xid(31, "0000:01:00", "pid=4711, name=python, Ch 00000008, intr 00000000. MMU Fault: ENGINE"),
    ]
    assert str(xid.parse(FALLEN)[0]) == "Xid 79 (the GPU has fallen off the bus)"


def test_the_kernel_ring_is_asked_when_the_journal_has_nothing() -> None:
    assert xid.look(host("-- No entries --\n", LOADED + FAULT)) == xid.parse(FAULT)
    assert xid.look(host(MISSING, Output(1, "", "dmesg: read kernel buffer failed: Operation not permitted"))) is None


def test_a_log_without_a_word_of_the_driver_is_no_log() -> None:
    check = xid.check("hardware.gpu0.xid", xid.look(host("", "[0.0] Linux version 6.17\n")), "0000:01:00.0")
    assert check.status == "skip"
    assert 'sudo usermod -aG adm "$USER"' in check.fix


@pytest.mark.parametrize(
    ("log", "status", "observed"),
    [
        (LOADED, "pass", "none"),
        (LOADED + FAULT * 2, "warn", "2 × Xid 31 (memory page fault)"),
        (
            LOADED + FAULT + FALLEN,
            "fail",
            "1 × Xid 31 (memory page fault), 1 × Xid 79 (the GPU has fallen off the bus)",
        ),
        (LOADED + FALLEN.replace("01:00", "41:00"), "pass", "none"),
        (LOADED + "NVRM: Xid (PCI:0000:01:00): 999, something new\n", "fail", "1 × Xid 999 (something new)"),
    ],
)
def test_programs_warn_and_cards_fail(log: str, status: str, observed: str) -> None:
    check = xid.check("hardware.gpu0.xid", xid.look(host(log)), "0000:01:00.0")
    assert (check.status, check.observed) == (status, observed)
    assert check.fix


def test_a_card_off_the_bus_is_reseated() -> None:
    check = xid.check("hardware.gpu0.xid", xid.parse(FALLEN), "0000:01:00.0")
    assert "12V-2x6" in check.fix
    assert "sudo nvidia-bug-report.sh" in check.fix


@given(st.text())
@fuzz
def test_any_text_is_read(text: str) -> None:
    assert all(isinstance(event.code, int) for event in xid.parse(text))


@given(
    code=st.integers(0, 9999),
    bus=st.integers(0, 255),
    rest=st.text(st.characters(codec="ascii", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e")),
)
@fuzz
def test_what_the_driver_writes_is_read_back(code: int, bus: int, rest: str) -> None:
    (event,) = xid.parse(f"[ 12.3] NVRM: Xid (PCI:0000:{bus:02x}:00): {code}, {rest}\nnext line\n")
    assert (event.code, event.address) == (code, f"0000:{bus:02x}:00")
    assert event.text == rest.strip()
