"""Xid events: what the NVIDIA driver wrote into the kernel log since boot when something went wrong with a card."""

import re
from dataclasses import dataclass

from lib.core.evidence import Check
from lib.host.probe import Host

SOURCE = "https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"
# Only the driver's own lines are asked for: a kernel log holds serial numbers and addresses that concern nobody.
COMMANDS = (("journalctl", "-k", "-b", "--no-pager", "-o", "cat", "--grep=NVRM"), ("dmesg",))
# Names as in NVIDIA's catalogue above and in open-gpu-kernel-modules, src/common/sdk/nvidia/inc/nverror.h.
# Raised by what a program did (catalogue: restart the application); everything else means card, slot, power or driver.
OF_PROGRAMS = {
    8: "the GPU stopped processing",
    13: "graphics engine exception",
    31: "memory page fault",
    43: "the GPU stopped processing a program's work",
    45: "a program was cleaned up early",
}
OF_THE_CARD = {
    48: "uncorrectable ECC error",
    54: "auxiliary power is not connected to the card",
    62: "internal micro-controller halt",
    63: "row remapping recorded",
    64: "row remapping failed",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit ECC errors",
    94: "contained memory error",
    95: "uncontained memory error",
    109: "context switch timeout",
    119: "the card's GSP firmware did not answer",
    120: "error in the card's GSP firmware",
}


@dataclass(frozen=True)
class Xid:
    """One event: its number, the card's bus address (``0000:01:00``) and what the driver added."""

    code: int
    address: str
    text: str

    def __str__(self) -> str:
        meaning = OF_PROGRAMS.get(self.code) or OF_THE_CARD.get(self.code) or self.text[:80]
        return f"Xid {self.code} ({meaning})"


def parse(text: str) -> list[Xid]:
    """Return the events of a kernel log in their order; lines that are none are passed over."""
    found = re.findall(r"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]{1,20})\): (\d{1,4})(?!\d)(?:, ?(.*))?", text)
    return [Xid(int(code), address.lower(), rest.strip()) for address, code, rest in found]


def log(host: Host) -> str | None:
    """Return what the driver wrote into the kernel log since boot, or None when that may not be read.

    A driver that was ever loaded has written at least its own name there; an answer without it is no log.
    """
    for command in COMMANDS:
        output = host.run(*command)
        if output.ok and "NVRM" in output.out:
            return output.out
    return None


def look(host: Host) -> list[Xid] | None:
    """Return the events since boot, or None when no kernel log may be read."""
    text = log(host)
    return None if text is None else parse(text)


def check(name: str, events: list[Xid] | None, address: str) -> Check:
    """Judge the events of one card, by its bus address (``0000:01:00.0``)."""
    title = "Xid events since boot"
    if events is None:
        return Check(
            name=name,
            title=title,
            status="skip",
            expected="none",
            observed="the kernel log cannot be read, or holds nothing of the driver",
            fix='sudo usermod -aG adm "$USER"  (then log in again), or run as root',
            source=SOURCE,
        )
    slot = address.rsplit(".", 1)[0]
    own = [event for event in events if event.address.rsplit(".", 1)[0] == slot]
    hardware = [event for event in own if event.code not in OF_PROGRAMS]
    counted = {str(event): sum(str(other) == str(event) for other in own) for event in own}
    return Check(
        name=name,
        title=title,
        status="fail" if hardware else "warn" if own else "pass",
        expected="none",
        observed=", ".join(f"{times} × {event}" for event, times in counted.items()) or "none",
        fix=_fix(hardware),
        source=SOURCE,
    )


def _fix(hardware: list[Xid]) -> str:
    if any(event.code == 79 for event in hardware):
        return (
            "Power off; reseat the card and its 12V-2x6 cable, look for a scorched plug; take out risers; set the slot "
            "one PCIe generation lower to see whether the link is the cause. Then: sudo nvidia-bug-report.sh"
        )
    if hardware:
        return "Save the state: sudo nvidia-bug-report.sh; then reboot; if it comes back, the vendor replaces the card."
    return "A program caused it: journalctl -u vllm tells which; restart it, then update the engine if it comes back."
