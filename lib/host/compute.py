"""What the engine's torch can compute here: the architectures it was built for, and products that are really run."""

import math
from collections.abc import Iterable
from statistics import mean, stdev

from scipy.special import stdtrit

from lib.core.evidence import Check, Measurement
from lib.core.sections import Profile
from lib.host import origin, torch_probe
from lib.host.probe import Host
from lib.host.torch_probe import BOUND_SOURCE, Facts, Kernel

ARCH_SOURCE = "https://docs.nvidia.com/cuda/blackwell-compatibility-guide"
REINSTALL = "make setup HARDWARE=cuda  (the packages of runbook/locks/cuda.txt: torch built for CUDA 13)"


def device(profile: Profile) -> torch_probe.Device:
    """Return torch's name of what the profile computes on."""
    return "cuda" if profile.hardware == "cuda" else "cpu"


def checks(host: Host, profile: Profile) -> list[Check]:
    """Check torch and run real products on the profile's device, in a process of their own."""
    facts = torch_probe.look(host, device(profile))
    if profile.hardware == "cpu":
        return origin.marked(host, [_cpu_kernel(facts)])
    return origin.marked(host, [_arch(facts, profile), _capability(facts, profile), _kernel(facts)])


def measurements(host: Host, profile: Profile) -> list[Measurement]:
    """Return the rates of the products as measurements; none where the device cannot compute."""
    facts = torch_probe.look(host, device(profile))
    name = facts.device or f"CPU, {facts.isa}"
    return origin.marked(host, [_rate(kernel, name, facts.torch) for kernel in facts.kernels if kernel.gflops])


def _rate(kernel: Kernel, name: str, torch: str) -> Measurement:
    return Measurement(
        name="driver.matmul_rate",
        title="Rate of square matrix products",
        value=round(mean(kernel.gflops), 1),
        unit="GFLOP/s",
        n=len(kernel.gflops),
        interval=_interval(kernel.gflops),
        method="2·n³ / wall time, after two uncounted products; Student's t",
        conditions={"device": name, "dtype": kernel.dtype, "n": kernel.rate_size, "torch": torch},
    )


def _interval(values: list[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return round(mean(values) - half, 1), round(mean(values) + half, 1)


def _arch(facts: Facts, profile: Profile) -> Check:
    wanted, has = profile.driver.arch, facts.archs
    built = f"torch {facts.torch or 'missing'}, CUDA {facts.cuda or 'none'}: {', '.join(has) or 'no CUDA architecture'}"
    return Check(
        name="driver.torch_arch",
        title="Architectures that torch is built for",
        status="pass" if has and (not wanted or wanted in has) else "fail",
        expected=wanted or "any CUDA architecture",
        observed=built if facts.torch else facts.failure,
        fix=REINSTALL,
        source=ARCH_SOURCE,
    )


def _capability(facts: Facts, profile: Profile) -> Check:
    wanted = next((gpu.compute_capability for gpu in profile.host.gpus if gpu.compute_capability), "")
    seen = f"{facts.capability} ({facts.device})" if facts.capability else f"torch sees no card: {facts.failure}"
    return Check(
        name="driver.compute_capability",
        title="Compute capability of the card that torch sees",
        status="pass" if facts.capability and facts.capability == (wanted or facts.capability) else "fail",
        expected=wanted or "any",
        observed=seen,
        fix="first make driver.loaded green; then see which card comes first: nvidia-smi -L; echo "
        '"$CUDA_VISIBLE_DEVICES"',
        source=ARCH_SOURCE,
    )


def _kernel(facts: Facts) -> Check:
    missing = "no kernel image" in facts.failure
    fix = (
        f"torch has no code for this card: {REINSTALL}"
        if missing
        else "first make driver.loaded green; then repeat it by hand: python -m lib.host.torch_probe cuda; and look: "
        "sudo dmesg | grep -E 'NVRM|Xid'. Wrong numbers without an error mean a bad card or overclocked memory."
    )
    return _products("driver.kernel", "Products really computed on the card", facts, fix)


def _cpu_kernel(facts: Facts) -> Check:
    fix = "repeat it by hand: python -m lib.host.torch_probe cpu; then set torch up again: make setup HARDWARE=cpu"
    return _products("driver.cpu_kernel", "Products really computed on the processor", facts, fix)


def _products(name: str, title: str, facts: Facts, fix: str) -> Check:
    right = bool(facts.kernels) and all(kernel.ratio <= 1 for kernel in facts.kernels)
    on = f"torch {facts.torch}, {facts.device or facts.isa}: "
    return Check(
        name=name,
        title=title,
        status="pass" if right and not facts.failure else "fail",
        expected="bfloat16 and float32 within the rounding error bound of a float64 reference",
        observed=on + _errors(facts.kernels) if facts.kernels else facts.failure or "no product was computed",
        fix=fix,
        source=BOUND_SOURCE,
    )


def _errors(kernels: Iterable[Kernel]) -> str:
    return ", ".join(f"{kernel.dtype} error {kernel.ratio:.2g} of its bound" for kernel in kernels)
