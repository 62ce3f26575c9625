"""The limits of this machine, measured with the engine's own torch: memory bandwidth and matrix rate.

A process of its own (``python -m lib.engine.roofline.probe cpu 4 0,1``): it binds itself to the CPUs that the engine
gets before torch is loaded, and a driver that hangs or kills it takes nothing else along. The last line that it
prints is JSON, `Facts`.
"""

import contextlib
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda"]
Timer = Callable[[Callable[[], object]], float]
Product = Callable[[Device, str, int], Callable[[], object]]
MIB = 1 << 20
REPEATS = 40  # of each measurement, where its time lasts so long
FEWEST = 5
SQUARE = {"cpu": 2048, "cuda": 8192}
SMALLEST_SQUARE = 256
PATIENCE_S = 0.5  # of one product
# A buffer that is not many times the cache would measure the cache; one pass shall also not take seconds.
CACHES = 8
SMALLEST, LARGEST = {"cpu": 256 * MIB, "cuda": 2048 * MIB}, {"cpu": 1024 * MIB, "cuda": 4096 * MIB}
CACHE_UNKNOWN = 64 * MIB


class Series(BaseModel):
    """Repeats of one measurement: bytes per second, or operations per second."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["read", "copy", "matmul"]
    name: str
    rates: list[float]
    square: int = 0  # rows and columns of a product


class Facts(BaseModel):
    """What the probe measured; `failure` is why there is nothing, `notes` what could not be measured besides."""

    model_config = ConfigDict(frozen=True)

    torch: str = ""
    device: str = ""
    threads: int = 0
    cache_bytes: int = 0
    buffer_bytes: int = 0
    square: int = 0
    series: list[Series] = []
    notes: list[str] = []
    failure: str = ""

    def best(self, kind: str) -> Series | None:
        """Return the fastest of a kind, by the median of its repeats: slower ways show no limit."""
        found = [series for series in self.series if series.kind == kind and series.rates]
        return max(found, key=lambda series: statistics.median(series.rates), default=None)

    def matmul(self, dtype: str) -> Series | None:
        """Return the repeats of products of one type, such as ``bfloat16``."""
        return next((s for s in self.series if s.kind == "matmul" and s.name == dtype and s.rates), None)


def probe(device: Device, seconds: float, threads: int = 1) -> Facts:
    """Measure a device.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda`` (the first card).
    seconds : float
        Time for bandwidth, and again for products; each gives `FEWEST` repeats at least.
    threads : int
        Threads of torch on a CPU.
    """
    known: dict[str, Any] = {}
    try:
        import torch

        known["torch"] = torch.__version__
        known |= _cuda_facts() if device == "cuda" else _cpu_facts(threads)
        timer = _cuda_timer if device == "cuda" else _cpu_timer
        series = _bandwidth(device, known["buffer_bytes"], seconds, timer)
        products, notes = _products(device, seconds, timer)
        return Facts(**known, square=SQUARE[device], series=[*series, *products], notes=notes)
    except Exception as error:  # whatever torch raises is the finding
        return Facts(**known, failure=_first_line(error))


def _cpu_facts(threads: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    cache = last_level_cache(os.sched_getaffinity(0)) or CACHE_UNKNOWN
    return {
        "device": f"{threads} CPUs, {torch.backends.cpu.get_cpu_capability()}",
        "threads": threads,
        "cache_bytes": cache,
        "buffer_bytes": _size("cpu", cache, psutil.virtual_memory().available),
    }


def _cuda_facts() -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(0)
    cache = int(getattr(properties, "L2_cache_size", CACHE_UNKNOWN))
    return {
        "device": properties.name,
        "cache_bytes": cache,
        "buffer_bytes": _size("cuda", cache, torch.cuda.mem_get_info(0)[0]),
    }


def _size(device: Device, cache: int, free: int) -> int:
    """Return the bytes of the buffer: many times the cache, at most a third of what is free, whole MiB."""
    wanted = min(max(CACHES * cache, SMALLEST[device]), LARGEST[device])
    return max(min(wanted, free // 3) // MIB, 1) * MIB


def last_level_cache(cpus: set[int], root: Path = Path("/sys/devices/system/cpu")) -> int:
    """Return the bytes of the last-level caches of these CPUs, each counted once; 0 where the kernel does not say."""
    found: dict[str, tuple[int, int]] = {}
    for cpu in cpus:
        for folder in root.glob(f"cpu{cpu}/cache/index*"):
            with contextlib.suppress(OSError, ValueError):
                level, shared = int((folder / "level").read_text()), (folder / "shared_cpu_list").read_text().strip()
                size = re.fullmatch(r"(\d+)K", (folder / "size").read_text().strip())
                if size and (folder / "type").read_text().strip() != "Instruction":
                    found[f"{level} {shared}"] = (level, int(size[1]) << 10)
    last = max((level for level, _ in found.values()), default=0)
    return sum(size for level, size in found.values() if level == last)


def _bandwidth(device: Device, size: int, seconds: float, timer: Timer) -> list[Series]:
    """Read and copy one large buffer of random bytes."""
    import torch

    # Random, as a card may compress what repeats; from 64 MiB of random words, as drawing them all takes seconds.
    words = torch.randint(-(2**31), 2**31 - 1, (min(size, 64 * MIB) // 4,), dtype=torch.int32, device=device)
    buffer = words.repeat(-(-size // 4 // words.numel()))[: size // 4]
    # No bit pattern may be slow or stop a comparison: sign and exponent of numbers between 1 and 2.
    floats = buffer.bitwise_and_(0x007FFFFF).bitwise_or_(0x3F800000).view(torch.float32)
    half = floats.numel() // 2
    readers: list[tuple[Literal["read", "copy"], str, float, Callable[[], object]]] = [
        ("read", "amax", 4 * floats.numel(), floats.amax),
        ("read", "sum", 4 * floats.numel(), floats.sum),
        ("read", "dot", 4 * floats.numel(), lambda: torch.dot(floats, floats)),
        ("copy", "copy", 2 * 4 * half, lambda: floats[half : 2 * half].copy_(floats[:half])),
    ]
    rates = _in_turn([(work, call) for _, _, work, call in readers], seconds, timer)
    return [Series(kind=reader[0], name=reader[1], rates=found) for reader, found in zip(readers, rates, strict=True)]


def _products(device: Device, seconds: float, timer: Timer) -> tuple[list[Series], list[str]]:
    """Multiply square matrices in every type that matters here; return what could not be tried as notes."""
    sizes: dict[str, int] = {}
    tries = {"bfloat16": _plain} | ({"float32": _plain} if device == "cpu" else {"float8_e4m3fn": _float8})
    calls: dict[str, Callable[[], object]] = {}
    notes = []
    for dtype, make in tries.items():
        try:
            sizes[dtype] = _fitting(device, dtype, make, timer)
            calls[dtype] = make(device, dtype, sizes[dtype])
            calls[dtype]()
        except Exception as error:  # this card has no such product: the others are still measured
            calls.pop(dtype, None)
            notes.append(f"{dtype}: {_first_line(error)}")
    rates = _in_turn([(2.0 * sizes[dtype] ** 3, call) for dtype, call in calls.items()], seconds, timer)
    found = zip(calls, rates, strict=True)
    return [Series(kind="matmul", name=dtype, rates=told, square=sizes[dtype]) for dtype, told in found], notes


def _fitting(device: Device, dtype: str, make: Product, timer: Timer) -> int:
    """Return the size of a product: half as large, and again, where one would take longer than `PATIENCE_S`.

    A processor that only emulates a type is some hundred times slower at it.
    """
    size = SQUARE[device]
    if device == "cpu":
        small = make(device, dtype, SMALLEST_SQUARE)
        small()
        seconds = timer(small)
        while size > SMALLEST_SQUARE and seconds * (size / SMALLEST_SQUARE) ** 3 > PATIENCE_S:
            size //= 2
    return size


def _plain(device: Device, dtype: str, size: int) -> Callable[[], object]:
    left, right = _pair(device, dtype, size)
    return lambda: left @ right


def _float8(device: Device, dtype: str, size: int) -> Callable[[], object]:
    import torch

    left, right = _pair(device, dtype, size)
    one = torch.ones((), device=device)
    # The second factor lies by columns: the only layout that the hardware multiplies.
    return lambda: torch._scaled_mm(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def _pair(device: Device, dtype: str, size: int) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    return left, right


def _in_turn(calls: Sequence[tuple[float, Callable[[], object]]], seconds: float, timer: Timer) -> list[list[float]]:
    """Time calls in turn, so that a disturbance meets all alike; return work per second of every repeat."""
    for _, call in calls:
        timer(call)
    rates: list[list[float]] = [[] for _ in calls]
    begun = time.monotonic()
    for repeat in range(REPEATS):
        if repeat >= FEWEST and time.monotonic() - begun > seconds:
            break
        for (work, call), found in zip(calls, rates, strict=True):
            found.append(work / timer(call))
    return rates


def _cpu_timer(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _cuda_timer(call: Callable[[], object]) -> float:
    """Time a call by events on the card: launching it from the processor does not count."""
    import torch

    event: Any = torch.cuda.Event
    first, last = event(enable_timing=True), event(enable_timing=True)
    first.record()
    for _ in range(3):
        call()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 3 / 1000


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def main(words: Sequence[str]) -> None:
    """Bind to the CPUs, measure, print."""
    device: Device = "cuda" if words[0] == "cuda" else "cpu"
    cpus = {int(cpu) for cpu in words[2].split(",")} if len(words) > 2 and words[2] else os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    os.environ["OMP_NUM_THREADS"] = str(len(cpus))
    sys.stdout.write(probe(device, float(words[1]), len(cpus)).model_dump_json() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
