"""The machine's limits as evidence: the probe is run on the engine's own CPUs or card, and its repeats summarised."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from pydantic import ValidationError

from lib.core import paths
from lib.core.evidence import Check, Measurement, Scalar
from lib.core.sections import Profile
from lib.engine.bench import stats
from lib.engine.models.catalogue import Model
from lib.engine.roofline.probe import Facts, Series
from lib.engine.serve import command
from lib.host import compute

IMPORT_S = 120.0
QUIET = 1.2
TIMES = 4
SYSTEM = Path("/sys/devices/system")
BANDWIDTH = (
    "bytes of a buffer {times:.0f} times the last-level cache / time, warmed up; the fastest {kind}: {name}{twice}"
)
UNITS = {"bandwidth": ("GB/s", 1e9), "matmul": ("TFLOP/s", 1e12)}


def measure(profile: Profile) -> Facts:
    """Run the probe in a process of its own; never raises: a crash, a hang or nonsense becomes `Facts.failure`."""
    seconds = profile.roofline.seconds
    argv = [sys.executable, "-m", "lib.engine.roofline.probe", *argument(profile).split()]
    limit = IMPORT_S + 10 * seconds
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=limit, cwd=paths.ROOT, env=command.inherited(), check=False
        )
    except subprocess.TimeoutExpired:
        return Facts(failure=f"no answer within {limit:g} s")
    lines = done.stdout.strip().splitlines()
    try:
        return Facts.model_validate_json(lines[-1] if lines else "")
    except ValidationError:
        said = (done.stderr or done.stdout).strip().splitlines()
        killed = f"the process was killed by signal {-done.returncode}" if done.returncode < 0 else ""
        return Facts(failure=killed or (said[-1] if said else f"no answer, exit code {done.returncode}"))


def argument(profile: Profile) -> str:
    """Return the probe's arguments: the device, the seconds, and on a CPU the engine's CPUs."""
    device, seconds = compute.device(profile), f"{profile.roofline.seconds:g}"
    if device == "cuda":
        return f"{device} {seconds}"
    bound = command.environment(profile).get("VLLM_CPU_OMP_THREADS_BIND", "auto")
    return f"{device} {seconds} {','.join(map(str, engine_cpus(bound, os.sched_getaffinity(0))))}"


def engine_cpus(bound: str, allowed: Iterable[int], root: Path = SYSTEM) -> list[int]:
    """Return the CPUs that vLLM's worker computes on.

    Parameters
    ----------
    bound : str
        VLLM_CPU_OMP_THREADS_BIND: a list such as ``0-3,8``, ``nobind``, or ``auto``, which vLLM reads as one CPU of
        each core of the first memory node, but for the last.
    allowed : iterable of int
        CPUs that this process may use.
    """
    mine = sorted(allowed)
    if bound == "nobind":
        return mine
    if bound != "auto":
        return sorted(cpu for part in bound.split("|")[0].split(",") for cpu in _range(part))
    nodes = {cpu: _node(cpu, root) for cpu in mine}
    first = min(nodes.values())
    # Of the siblings of one core the last is taken.
    cores = {_siblings(cpu, root): cpu for cpu in mine if nodes[cpu] == first}
    chosen = sorted(cores.values())
    return chosen[:-1] if len(chosen) > 1 else chosen


def _range(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _node(cpu: int, root: Path) -> int:
    return min((int(link.name[4:]) for link in root.glob(f"cpu/cpu{cpu}/node[0-9]*")), default=0)


def _siblings(cpu: int, root: Path) -> str:
    file = root / f"cpu/cpu{cpu}/topology/thread_siblings_list"
    return file.read_text().strip() if file.is_file() else str(cpu)


def check(facts: Facts) -> Check:
    """Check that there are limits to hold operating points against, and that no cache was measured instead."""
    found = bool(facts.best("read") and facts.matmul("bfloat16")) and not facts.failure
    times = facts.buffer_bytes / max(facts.cache_bytes, 1)
    told = f"{facts.device}, torch {facts.torch}; a buffer {times:.1f} times the last-level cache"
    notes = "".join(f"; not measured: {note}" for note in facts.notes)
    by_hand = (
        "repeat it by hand: python -m lib.engine.roofline.probe cpu 4 (or: cuda 4); chapter 02 says whether torch "
    )
    return Check(
        name="roofline.probe",
        title="The machine's own limits are measured",
        status="fail" if not found else "pass" if times >= TIMES else "warn",
        expected=f"memory bandwidth over {TIMES} times the cache or more, and matrix rate, on the engine's device",
        observed=facts.failure or told + notes,
        fix="free memory, then measure again" if found else by_hand + "computes on this device",
    )


def emulated(facts: Facts) -> Check | None:
    """Check on a CPU that bfloat16 is computed and not emulated; None where there is nothing to compare."""
    narrow, wide = facts.matmul("bfloat16"), facts.matmul("float32")
    if not narrow or not wide:
        return None
    ratio = median(narrow.rates) / median(wide.rates)
    return Check(
        name="roofline.bfloat16",
        title="The processor computes bfloat16 itself",
        status="pass" if ratio > 1 else "warn",
        expected="products in bfloat16 are faster than in float32",
        observed=f"{ratio:.1f} times the rate of float32",
        fix="this processor emulates bfloat16 (no AVX512_BF16 or AMX); serving.dtype: float32 computes faster, but "
        "reads twice the bytes a token",
    )


def quiet(facts: Facts) -> Check:
    """Check that the bandwidth stayed the same over the repeats: on a shared machine it is what others leave."""
    series = facts.best("read")
    rates = series.rates if series else [0.0]
    swing = max(rates) / median(rates) if median(rates) else 1.0
    return Check(
        name="roofline.quiet",
        title="The machine was quiet while its limits were measured",
        status="skip" if not series else "pass" if swing <= QUIET else "warn",
        expected=f"the fastest repeat reads at most {QUIET} times as fast as the median one",
        observed=f"{swing:.2f} times; {min(rates) / 1e9:.3g} … {max(rates) / 1e9:.3g} GB/s over {len(rates)} repeats",
        fix="stop what else runs here, or read the shares of the limit as lower bounds: the machine allows the fastest "
        "repeat, but not all the time",
    )


def measurements(facts: Facts) -> list[Measurement]:
    """Return bandwidth of reading and copying, the rate of products by type, and the roofs that follow from them."""
    times = facts.buffer_bytes / max(facts.cache_bytes, 1)
    found = []
    for kind in ("read", "copy"):
        if series := facts.best(kind):
            twice = "; bytes read and bytes written both count" if kind == "copy" else ""
            method = BANDWIDTH.format(times=times, kind=kind, name=f"torch {series.name}", twice=twice)
            found.append(_repeated("bandwidth", f"Memory bandwidth, {kind}", series, method, facts, kind=kind))
    for series in (s for s in facts.series if s.kind == "matmul" and s.rates):
        method = (
            f"2·n³ / time of torch products of random n × n matrices, n = {series.square or facts.square}, warmed up"
        )
        title = f"Matrix rate, {series.name}"
        found.append(_repeated("matmul", title, series, method, facts, dtype=series.name))
    return [*found, *_roofs(facts)]


def _repeated(name: str, title: str, series: Series, method: str, facts: Facts, **varies: Scalar) -> Measurement:
    unit, scale = UNITS[name]
    estimate = stats.estimate([rate / scale for rate in series.rates])
    return Measurement(
        name=f"roofline.{name}",
        title=title,
        value=_digits(estimate.mean),
        unit=unit,
        n=estimate.n,
        interval=(_digits(estimate.low), _digits(estimate.high)),
        method=f"{method}; {stats.METHOD.format(n=estimate.n)}",
        conditions={**varies, "device": facts.device},
    )


def _roofs(facts: Facts) -> list[Measurement]:
    """Return what operating points are held against: the fastest repeat, as for STREAM, not the mean."""
    read = facts.best("read")
    parts = [("read", "bandwidth", read)] + [(s.name, "matmul", s) for s in facts.series if s.kind == "matmul"]
    return [
        Measurement(
            name="roofline.roof",
            title=f"Roof, {of}",
            value=_digits(max(series.rates) / UNITS[kind][1]),
            unit=UNITS[kind][0],
            n=len(series.rates),
            method=f"fastest repeat of roofline.{kind}: a limit is what the machine can do at best",
            conditions={"of": of, "device": facts.device},
        )
        for of, kind, series in parts
        if series and series.rates
    ]


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def bandwidth(facts: Facts) -> float:
    """Return the roof of reading memory, bytes per second; 0 where there is none."""
    series = facts.best("read")
    return max(series.rates) if series else 0.0


def computes_in(model: Model, facts: Facts) -> str:
    """Return the type that a model's products are computed in; weights of 4 bits are widened to bfloat16 first."""
    if model.format == "float32":
        return "float32"
    return "float8_e4m3fn" if model.format == "fp8_block" and facts.matmul("float8_e4m3fn") else "bfloat16"


def rate(model: Model, facts: Facts) -> float:
    """Return the roof of a model's products, operations per second; 0 where there is none."""
    series = facts.matmul(computes_in(model, facts))
    return max(series.rates) if series else 0.0
