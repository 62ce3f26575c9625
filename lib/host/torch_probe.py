"""What this Python's torch can really do on a device: matrix products, held against a reference with an error bound.

The probe is a process of its own (``python -m lib.host.torch_probe cuda``): a wrong driver can hang or kill it, and
then only the check fails. A recorded host replays what it printed.
"""

import json
import sys
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.host.probe import Host, Output

Device = Literal["cpu", "cuda"]
SIZE = 1024  # inner dimension of the products that are checked
RATE_SIZE = {"cpu": 1024, "cuda": 8192}
SMALLEST_RATE_SIZE = 256
# Seconds that one product may take. A processor that only emulates a type is some hundred times slower at it.
PATIENCE_S = 0.25
REPEATS = 7
TIMEOUT_S = 180
BOUND_SOURCE = "N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.5"


class Kernel(BaseModel):
    """One kind of product: the largest error against a float64 reference as a share of its bound, and the rate."""

    model_config = ConfigDict(frozen=True)

    dtype: str
    ratio: float
    size: int
    rate_size: int
    gflops: list[float]


class Facts(BaseModel):
    """What the probe found; `failure` is why it has no kernels to show."""

    model_config = ConfigDict(frozen=True)

    torch: str = ""
    cuda: str | None = None
    archs: list[str] = []
    isa: str = ""
    device: str = ""
    capability: str = ""
    kernels: list[Kernel] = []
    failure: str = ""


def look(host: Host, device: Device) -> Facts:
    """Run the probe on a machine; never raises: a crash, a hang or nonsense becomes `Facts.failure`."""
    output = host.run("python", "-m", "lib.host.torch_probe", device, timeout=TIMEOUT_S)
    lines = output.out.strip().splitlines()
    try:
        return Facts.model_validate_json(lines[-1] if lines else "")
    except ValidationError:
        return Facts(failure=_failure(output))


def _failure(output: Output) -> str:
    if output.reason == "timeout":
        return f"no answer within {TIMEOUT_S} s"
    if output.reason:
        return "the probe could not be started" + (" (not recorded)" if output.reason == "missing" else "")
    if output.code is not None and output.code < 0:
        return f"the process was killed by signal {-output.code}"
    said = (output.err or output.out).strip().splitlines()
    return said[-1].strip() if said else f"no answer, exit code {output.code}"


def probe(device: Device) -> Facts:
    """Compute on a device and compare with the reference."""
    try:
        import torch
    except ImportError as error:
        return Facts(failure=f"torch cannot be imported: {error}")
    known: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "archs": torch.cuda.get_arch_list(),
        "isa": torch.backends.cpu.get_cpu_capability(),
    }
    try:
        if device == "cuda":
            known["device"] = torch.cuda.get_device_name(0)
            known["capability"] = ".".join(map(str, torch.cuda.get_device_capability(0)))
        return Facts(**known, kernels=[_kernel(device, dtype) for dtype in ("bfloat16", "float32")])
    except Exception as error:  # whatever torch raises is the finding
        return Facts(**known, failure=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")


def _kernel(device: Device, dtype: str) -> Kernel:
    import torch

    # Both switches trade accuracy for speed; the bound below holds only without them.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_tf32 = False
    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(12)
    left, right = (torch.randn(SIZE, SIZE, generator=generator).to(kind) for _ in range(2))
    product = (left.to(device) @ right.to(device)).cpu().double()
    exact = left.double() @ right.double()
    # The inputs are exact in float64. A float32 sum of k products errs by at most k·u·|A||B|; tensor cores cut
    # instead of rounding: a factor of two; another covers sums by blocks. Then the result is rounded once.
    bound = SIZE * 2**-22 * (left.double().abs() @ right.double().abs()) + torch.finfo(kind).eps / 2 * exact.abs()
    ratio = float(((product - exact).abs() / bound).max())
    rate_size, gflops = _rates(device, kind)
    return Kernel(dtype=dtype, ratio=round(ratio, 4), size=SIZE, rate_size=rate_size, gflops=gflops)


def _rates(device: Device, kind: Any) -> tuple[int, list[float]]:
    """Time products of square matrices, after two uncounted ones.

    Returns
    -------
    tuple of int and list of float
        Rows of the squares, and 10⁹ floating-point operations per second of each product.
    """
    size = RATE_SIZE[device]
    if device == "cpu":
        smallest = _times(device, kind, SMALLEST_RATE_SIZE, 2)[-1]
        while size > SMALLEST_RATE_SIZE and smallest * (size / SMALLEST_RATE_SIZE) ** 3 > PATIENCE_S:
            size //= 2
    times = _times(device, kind, size, REPEATS + 2)[2:]
    return size, [round(2 * size**3 / seconds / 1e9, 1) for seconds in times]


def _times(device: Device, kind: Any, size: int, count: int) -> list[float]:
    import torch

    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    times = []
    for _ in range(count):
        started = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe("cuda" if sys.argv[1:] == ["cuda"] else "cpu").model_dump()) + "\n")
