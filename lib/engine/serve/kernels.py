"""Which kernels the engine chose, held against what the catalogue expects here. A silent fallback becomes a verdict."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from lib.core import processor
from lib.core.evidence import Check, Status
from lib.core.sections import Profile
from lib.engine.models.catalogue import Kernels, Model, Pitfall
from lib.engine.serve import asked, modes
from lib.engine.serve.asked import Asked
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
    "linear": "vllm/model_executor/kernels/linear/__init__.py (vLLM 0.33)",
    "cpu": "vllm/platforms/cpu.py, import_kernels (vLLM 0.32)",
}
TITLES = {"attention": "Attention kernel", "moe": "Kernel of the experts", "linear": "Kernel of quantised products"}
# How `quantization=` of the engine's start line reads for each format of the catalogue.
QUANTIZATIONS = {
    "bfloat16": ("",),
    "float32": ("",),
    "fp8_block": ("fp8",),
    "mxfp4": ("mxfp4", "gpt_oss_mxfp4"),
    "int8": ("compressed-tensors",),
    "int4": ("compressed-tensors",),
}
# They widen the weights and compute in bfloat16: tensor cores for FP8 and FP4 stay unused.
WEIGHT_ONLY = ("MARLIN", "EMULATION", "W4A16")
# A kernel's name as its flag takes it, where that is not the name in lower case (oracle/fp8.py, map_fp8_backend).
FLAGS = {"VLLM_CUTLASS": "cutlass", "DEEPGEMM": "deep_gemm"}
# Beginnings of the classes in kernels/linear/__init__.py, _LINEAR_BACKEND_KERNEL_MAP, and their flag.
LINEAR_FLAGS = (
    ("FlashInferCuteDsl", "flashinfer_cutedsl"),
    ("FlashInferCutedsl", "flashinfer_cutedsl"),
    ("FlashInferTrtllm", "flashinfer_trtllm"),
    ("FlashInferCudnn", "flashinfer_cudnn"),
    ("FlashInferB12x", "flashinfer_b12x"),
    ("FlashInfer", "flashinfer_cutlass"),
    ("DeepGemm", "deep_gemm"),
    ("Cutlass", "cutlass"),
    ("Marlin", "marlin"),
    ("Humming", "humming"),
    ("B12x", "b12x"),
    ("Triton", "triton"),
)
SPEECHLESS = "look for 'backend' in the log; the wording may have changed with this version of vLLM"


class Verdict(NamedTuple):
    """A status with what to do and where that is written."""

    status: Status
    fix: str = ""
    source: str = ""


def capability(profile: Profile) -> str:
    """Return ``cpu`` for a CPU profile, else the compute capability of the first NVIDIA card, such as ``12.0``."""
    if profile.hardware == "cpu":
        return "cpu"
    cards = (nvml.snapshot() or {}).get("cards") or [{}]
    return str(cards[0].get("compute_capability") or "unknown")


def checks(profile: Profile, model: Model, seen: Readback, libraries: Sequence[str], where: str) -> list[Check]:
    """Return `serving.kernel.*`: attention, kv_cache, graphs; and moe, linear, speculation where they apply.

    Parameters
    ----------
    profile : Profile
        Its serving section says what was asked for.
    model : Model
        Its `kernels` hold the names that are expected.
    seen : Readback
        What the engine's log says.
    libraries : sequence of str
        Compiled libraries of vLLM that the engine's processes have loaded.
    where : str
        Compute capability, or ``cpu``.
    """
    wanted, expected = asked.read(profile, model), model.kernels.get(where)
    on_cpu = where == "cpu"
    found = [_cpu_attention(libraries, processor.flags()) if on_cpu else _attention(wanted, seen, expected, where)]
    found += _experts(wanted, model, seen, expected, where)
    found += _linear(wanted, model, seen, expected, where)
    found += modes.kv_cache(wanted, model, seen)
    found.append(modes.graphs(profile, wanted, model, seen, expected))
    found += modes.speculation(wanted, seen)
    return [_with_pitfalls(check, seen, expected) for check in found]


def same(left: str, right: str) -> bool:
    """Compare kernel names as vLLM writes them in different places: `FlashInfer CUTLASS` is `FLASHINFER_CUTLASS`."""
    return _base(left) == _base(right)


def flag(kind: str, name: str) -> str:
    """Return the flag that asks for a kernel, such as ``--moe-backend flashinfer_cutlass``."""
    if kind == "attention":
        return f"--attention-backend {_plain(name)}"
    if kind == "linear":
        return f"--linear-backend {next((value for start, value in LINEAR_FLAGS if name.startswith(start)), 'auto')}"
    base = _base(name)
    return f"--moe-backend {FLAGS.get(base, base.lower())}"


def _attention(wanted: Asked, seen: Readback, expected: Kernels | None, where: str) -> Check:
    candidates = f"; possible here: {', '.join(seen.attention_candidates)}" if seen.attention_candidates else ""
    version = f" {seen.flash_attention}" if seen.flash_attention and seen.attention == "FLASH_ATTN" else ""
    also = f", also {', '.join(seen.attention_also)}" if seen.attention_also else ""
    names = _attention_names(wanted, seen, expected)
    # A draft model brings an attention of its own, so only the first is held against the catalogue.
    verdict = _judge("attention", names, seen.attention, expected, wanted.attention)
    needed = wanted.flash_attention or (expected.flash_attention if expected else "")
    if verdict.status == "pass" and needed and version and seen.flash_attention != needed:
        ask = f"--attention-config '{{\"flash_attn_version\": {needed}}}'"
        verdict = Verdict("fail", f"put {ask} into serving.extra_args, and the engine uses it or says why it cannot")
    shown = [f"{name} {needed}" if name == "FLASH_ATTN" and needed else name for name in names]
    return _check("attention", shown, f"{seen.attention}{version}{also}{candidates}", verdict, where)


def _attention_names(wanted: Asked, seen: Readback, expected: Kernels | None) -> list[str]:
    """Return the kernels that are right for this type of the KV cache."""
    if wanted.attention:
        return [wanted.attention]
    if expected is None:
        return []
    kind = seen.kv_cache_dtype or wanted.kv_cache
    if kind in ("auto", "bfloat16", "float16", "float32"):
        return expected.attention
    return (expected.attention_fp8_kv or expected.attention) if kind.startswith("fp8") else []


def _experts(wanted: Asked, model: Model, seen: Readback, expected: Kernels | None, where: str) -> list[Check]:
    if not model.architecture.experts:
        return []
    names = [wanted.moe] if wanted.moe else expected.moe if expected and _as_stored(model, seen) else []
    used = [seen.moe, *seen.moe_also] if not seen.speculation else [seen.moe]
    verdict = _worst([_judge("moe", names, name, expected, wanted.moe) for name in used])
    observed = ", ".join(name for name in used if name) + (f". {seen.weight_only}" if seen.weight_only else "")
    if verdict.status == "pass" and seen.moe_untuned and "TRITON" in _plain(seen.moe):
        observed += ", with vLLM's default tile sizes: it has none tuned for this card"
        verdict = Verdict(
            "warn",
            "tune them with vLLM's benchmarks/kernels/benchmark_moe.py --tune and set VLLM_TUNED_CONFIG_FOLDER in "
            "serving.environment",
            "https://github.com/vllm-project/vllm/issues/44688",
        )
    return [_check("moe", names, observed, verdict, where)]


def _linear(wanted: Asked, model: Model, seen: Readback, expected: Kernels | None, where: str) -> list[Check]:
    """Check every kernel of quantised products; without quantised products there is none to check."""
    due = expected.linear if expected and model.format not in ("bfloat16", "float32") else []
    if not due and not seen.linear:
        return []
    names = expected.linear if expected and _as_stored(model, seen) else []
    if wanted.linear:
        names = [name for name in seen.linear if flag("linear", name).endswith(f" {wanted.linear}")] or [wanted.linear]
    verdict = _worst([_judge("linear", names, name, expected, wanted.linear) for name in seen.linear or [""]])
    observed = ", ".join(seen.linear) + (f". {seen.weight_only}" if seen.weight_only else "")
    return [_check("linear", names, observed, verdict, where)]


def _judge(kind: str, names: Sequence[str], seen: str, expected: Kernels | None, asked_for: str) -> Verdict:
    """Return the verdict on one kernel: expected, accepted as known and slower, unknown, or wrong."""
    if not seen:
        return Verdict("warn", SPEECHLESS)
    if any(same(seen, name) for name in names):
        return Verdict("pass")
    if asked_for:
        return Verdict("fail", f"the engine did not take {asked_for}: read in its log why, or take the flag away")
    ask = flag(kind, names[0]) if names else f"another --{kind}-backend"
    change = f"put {ask} into serving.extra_args, and the engine either uses it or says why it cannot"
    known = expected.accepted if expected and names else []
    if accepted := next((entry for entry in known if entry.kind == kind and same(entry.name, seen)), None):
        return Verdict("warn", f"{accepted.reason}; for the faster one {change}", accepted.source)
    if any(word in _plain(seen) for word in WEIGHT_ONLY):
        return Verdict("fail", f"it only widens weights and leaves the FP8 and FP4 tensor cores unused: {change}")
    if not names:
        return Verdict("warn", "measure it, then add the name to `kernels` in runbook/models.yml")
    return Verdict("fail", f"{change}; or, if this one is as fast and as right, add it to runbook/models.yml")


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    order: list[Status] = ["fail", "warn", "pass", "skip"]
    return min(verdicts, key=lambda verdict: order.index(verdict.status))


def _check(kind: str, names: Sequence[str], observed: str, verdict: Verdict, where: str) -> Check:
    place = "on this CPU" if where == "cpu" else f"at compute capability {where}"
    return Check(
        name=f"serving.kernel.{kind}",
        title=TITLES[kind],
        status=verdict.status,
        expected=f"{' or '.join(names)} {place}" if names else f"nothing known {place}",
        observed=observed or "the log names none",
        fix=verdict.fix,
        source=verdict.source or SOURCES[kind],
    )


def _with_pitfalls(check: Check, seen: Readback, expected: Kernels | None) -> Check:
    """Return the check as a warning where what was seen has known trouble."""
    for pitfall in expected.pitfalls if expected else []:
        concerned = "moe" if pitfall.moe else "attention"
        if check.name == f"serving.kernel.{concerned}" and check.status in ("pass", "warn") and _meets(pitfall, seen):
            observed = f"{check.observed}; known: {pitfall.trouble}"
            fix = "\n".join(part for part in (pitfall.fix, check.fix) if part)
            told = {"status": "warn", "observed": observed, "fix": fix, "source": pitfall.source}
            check = check.model_copy(update=told)
    return check


def _meets(pitfall: Pitfall, seen: Readback) -> bool:
    return (
        (not pitfall.attention or same(pitfall.attention, seen.attention))
        and (not pitfall.moe or same(pitfall.moe, seen.moe))
        and seen.kv_cache_dtype.startswith(pitfall.kv_cache)
        and not (pitfall.graphs and (seen.eager or seen.graphs == "NONE"))
        and not (pitfall.fixed_in and _version(seen.version) >= _version(pitfall.fixed_in) > (0,))
    )


def _version(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version; an unknown one is the oldest."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", text)[:2]) or (0,)


def _as_stored(model: Model, seen: Readback) -> bool:
    """Tell whether the engine serves the model in the catalogue's format, not quantised anew while it is loaded."""
    return seen.quantization in QUANTIZATIONS[model.format]


def _cpu_attention(libraries: Sequence[str], flags: set[str]) -> Check:
    library, name = next((library, name) for needed, library, name in CPU_LIBRARIES if needed <= flags)
    right = library in libraries
    install = "make setup HARDWARE=cpu  (installs the wheel again; the log says which library could not be imported)"
    return Check(
        name="serving.kernel.attention",
        title=TITLES["attention"],
        status="pass" if right else "fail",
        expected=f"CPU_ATTN, the only one there is on a CPU, built for {name}: {library}",
        observed=f"loaded: {', '.join(libraries) or 'none of vLLM'}",
        fix="" if right else install,
        source=SOURCES["cpu"],
    )


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def _base(name: str) -> str:
    """Return a kernel's name as the catalogue, the log and the flags would all write it."""
    base = re.sub(r"_(?:MX|NV)?FP[48](?:_.*)?$", "", _plain(name))
    return {"DEEP_GEMM": "DEEPGEMM", "CUTLASS": "VLLM_CUTLASS"}.get(base, base)
