"""What this machine's processor can do, as the kernel tells it, and what becomes of its time."""

import re
from pathlib import Path
from typing import NamedTuple

import psutil

CPUINFO = Path("/proc/cpuinfo")


def flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """Return the instruction sets of the first processor."""
    match = re.search(r"^flags\s*:\s*(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return set(match[1].split()) if match else set()


def computes_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Tell whether products in bfloat16 are worth it: oneDNN has fast ones from AVX-512 on, and a slow one below.

    Measured with AVX2 alone (2 CPUs, torch 2.13): 1,024 × 1,024 takes 2.2 s in bfloat16 and 0.012 s in float32.
    """
    return "avx512f" in flags(cpuinfo)


class Spent(NamedTuple):
    """Processor time since boot, summed over the processors, s: what a virtual machine's host took away, and all."""

    stolen: float
    total: float


def spent() -> Spent:
    """Return how the processors' time was spent so far. A guest's time is within that of its user."""
    told = psutil.cpu_times()
    return Spent(told.steal, sum(told) - told.guest - told.guest_nice)


def taken(before: Spent, after: Spent) -> float:
    """Return the share of the time between two readings that the host took away, 0 to 1; 0 on a machine of its own."""
    passed = after.total - before.total
    return (after.stolen - before.stolen) / passed if passed > 0 else 0.0
