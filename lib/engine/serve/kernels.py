"""Which kernels the engine chose, held against what the catalogue expects here. A silent fallback becomes a verdict."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.core.evidence import Check
from lib.core.profile import Profile
from lib.engine.models.catalogue import Kernels, Model
from lib.engine.serve.log import Readback
from lib.host import nvml

# Which of vLLM's libraries carries the CPU kernels, by what the processor can do.
CPU_LIBRARIES: tuple[tuple[set[str], str, str], ...] = (
    ({"avx512f", "avx512_bf16"}, "_C.abi3.so", "AVX-512 with bfloat16"),
    ({"avx512f"}, "_C_AVX512.abi3.so", "AVX-512"),
    (set(), "_C_AVX2.abi3.so", "AVX2"),
)
SOURCES = {
    "attention": "vllm/platforms/cuda.py, get_attn_backend_cls (vLLM 0.33)",
    "moe": "vllm/model_executor/layers/fused_moe/oracle (vLLM 0.33)",
    "cpu": "vllm/platforms/cpu.py, import_kernels (vLLM 0.32)",
}


def capability(profile: Profile) -> str:
    """Return ``cpu`` for a CPU profile, else the compute capability of the first NVIDIA card, such as ``12.0``."""
    if profile.hardware == "cpu":
        return "cpu"
    cards = (nvml.snapshot() or {}).get("cards") or [{}]
    return str(cards[0].get("compute_capability") or "unknown")


def checks(model: Model, seen: Readback, libraries: Sequence[str], where: str) -> list[Check]:
    """Return `serving.kernel.attention` and, for a mixture of experts, `serving.kernel.moe`.

    Parameters
    ----------
    model : Model
        Its `kernels` hold the names that are expected.
    seen : Readback
        What the engine's log says.
    libraries : sequence of str
        Compiled libraries of vLLM that the engine's processes have loaded.
    where : str
        Compute capability, or ``cpu``.
    """
    if where == "cpu":
        return [_cpu_attention(libraries, cpu_flags()), *_moe_if_any(model, seen, model.kernels.get("cpu"), where)]
    expected = model.kernels.get(where)
    candidates = f"; possible here: {', '.join(seen.attention_candidates)}" if seen.attention_candidates else ""
    version = f" {seen.flash_attention}" if seen.flash_attention else ""
    attention = _compare(
        "attention",
        "Attention kernel",
        expected.attention if expected else [],
        seen.attention,
        f"{seen.attention}{version}{candidates}",
        where,
    )
    return [attention, *_moe_if_any(model, seen, expected, where)]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the instruction sets of this machine's first processor."""
    match = re.search(r"^flags\s*:\s*(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return set(match[1].split()) if match else set()


def same(left: str, right: str) -> bool:
    """Compare kernel names as vLLM writes them in different places: `FlashInfer CUTLASS` is `FLASHINFER_CUTLASS`."""
    return _plain(left) == _plain(right)


def _cpu_attention(libraries: Sequence[str], flags: set[str]) -> Check:
    library, name = next((library, name) for needed, library, name in CPU_LIBRARIES if needed <= flags)
    return Check(
        name="serving.kernel.attention",
        title="Attention kernel",
        status="pass" if library in libraries else "fail",
        expected=f"CPU_ATTN, the only one there is on a CPU, built for {name}: {library}",
        observed=f"loaded: {', '.join(libraries) or 'none of vLLM'}",
        fix="make setup HARDWARE=cpu  (installs the wheel again; the log says which library could not be imported)",
        source=SOURCES["cpu"],
    )


def _moe_if_any(model: Model, seen: Readback, expected: Kernels | None, where: str) -> list[Check]:
    if not model.architecture.experts:
        return []
    return [_compare("moe", "Kernel of the experts", expected.moe if expected else [], seen.moe, seen.moe, where)]


def _compare(kind: str, title: str, expected: Sequence[str], seen: str, observed: str, where: str) -> Check:
    base: Mapping[str, str] = {"name": f"serving.kernel.{kind}", "title": title, "source": SOURCES[kind]}
    wanted = " or ".join(expected)
    if not expected:
        return Check(
            **base,
            status="warn",
            expected=f"nothing known for compute capability {where}",
            observed=observed or "the log names none",
            fix="measure it, then add the name to `kernels` in runbook/models.yml",
        )
    if not seen:
        return Check(
            **base,
            status="warn",
            expected=wanted,
            observed="the log names none",
            fix="look for 'backend' in the log; the wording may have changed with this version of vLLM",
        )
    right = any(same(seen, name) for name in expected)
    return Check(
        **base,
        status="pass" if right else "fail",
        expected=f"{wanted} at compute capability {where}",
        observed=observed,
        fix=f"put --{kind}-backend {_flag(expected[0])} into serving.extra_args, and the engine either uses "
        "it or says why it cannot; or, if this one is as fast and as right, add it to runbook/models.yml",
    )


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def _flag(name: str) -> str:
    """Write a kernel's name as its flag takes it."""
    plain = _plain(name)
    return plain if plain in ("FLASH_ATTN", "FLASHINFER", "TRITON_ATTN") else plain.lower()
