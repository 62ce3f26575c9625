"""How the engine runs beside its kernels, held against what was asked: KV cache, CUDA graphs, speculation."""

from lib.core.evidence import Check, Status
from lib.core.sections import Profile
from lib.engine.models.catalogue import Kernels, Model
from lib.engine.serve.asked import Asked
from lib.engine.serve.log import Readback

# Two names of one type.
SAME_KV = {"fp8": "fp8_e4m3"}
SHORT_NAMES = {"bf16": "bfloat16", "half": "float16", "fp16": "float16"}
UNTOLD = "look for the words in the log; they may have changed with this version of vLLM"


def kv_cache(asked: Asked, model: Model, seen: Readback) -> list[Check]:
    """Check `serving.kernel.kv_cache`: the data type that was asked for; an encoder has no cache."""
    if model.architecture.type == "bert":
        return []
    told, wanted = seen.kv_cache_dtype, asked.kv_cache
    status: Status = "pass"
    fix = ""
    if not told:
        status, fix = "warn", UNTOLD
    elif wanted == "auto" and not _as_model(told, seen.dtype):
        status = "warn"
        fix = (
            "the checkpoint's own settings chose it: put --kv-cache-dtype "
            f"{seen.dtype or 'bfloat16'} into serving.extra_args, or {told} into serving.kv_cache_dtype"
        )
    elif wanted != "auto" and _kv(told) != _kv(wanted) and not (_as_model(told, seen.dtype) and wanted == seen.dtype):
        status = "fail"
        fix = (
            f"put --kv-cache-dtype {wanted} into serving.extra_args, after which the engine uses it or says why it "
            "cannot; or set serving.kv_cache_dtype to what is meant"
        )
    return [
        Check(
            name="serving.kernel.kv_cache",
            title="Data type of the KV cache",
            status=status,
            expected=f"that of the model, {seen.dtype or 'as loaded'}" if wanted == "auto" else wanted,
            observed=_kv_told(seen) if told else "the log names none",
            fix=fix,
            source="serving.kv_cache_dtype; vllm/config/cache.py (vLLM 0.33)",
        )
    ]


def graphs(profile: Profile, asked: Asked, model: Model, seen: Readback, expected: Kernels | None) -> Check:
    """Check `serving.kernel.graphs`: compiled, and with the CUDA graphs that vLLM makes when it is not held back."""
    if profile.hardware == "cpu":
        return _cpu_graphs(asked, seen)
    wanted = _wanted_graphs(asked, model, expected)
    status, fix = _graph_verdict(asked, seen, wanted, expected)
    observed = _graphs_told(seen)
    sequences = seen.max_num_seqs or profile.serving.max_num_seqs
    largest = max(seen.graph_sizes, default=0)
    if status == "pass" and "NONE" not in wanted and sequences and 0 < largest < sequences:
        status = "warn"
        observed += f"; graphs up to {largest} sequences, and max_num_seqs is {sequences}"
        fix = (
            "larger batches run without a graph: put --compilation-config "
            f"'{{\"max_cudagraph_capture_size\": {sequences}}}' into serving.extra_args, or lower serving.max_num_seqs"
        )
    return _graph_check(status, " or ".join(wanted) + (", as the profile asks" if _told(asked) else ""), observed, fix)


def speculation(asked: Asked, seen: Readback) -> list[Check]:
    """Check `serving.kernel.speculation` where it was asked for, or taken without that."""
    wanted, taken = asked.speculation, seen.speculation
    if not wanted and not taken:
        return []
    observed = f"{taken}, {seen.speculation_tokens} tokens" if taken else "no speculation"
    observed += f", draft {seen.speculation_model}" if seen.speculation_model else ""
    if seen.asynchronous is False:
        observed += "; asynchronous scheduling is off"
    status: Status = "pass"
    fix = ""
    if not wanted:
        status, fix = "warn", "nothing asks for it: remove it from the model's settings, or name it in the profile"
    elif not taken or (wanted != "any" and _family(wanted) != _family(taken)):
        status = "fail"
        fix = (
            "the engine runs without what was asked: write it as --speculative-config '{\"method\": ...}' in "
            "serving.extra_args, and look for 'speculative' in the log"
        )
    elif asked.speculation_tokens and seen.speculation_tokens != asked.speculation_tokens:
        status, fix = "warn", "set num_speculative_tokens to what the draft model was made for"
    wanted_tokens = f", {asked.speculation_tokens} tokens" if asked.speculation_tokens else ""
    return [
        Check(
            name="serving.kernel.speculation",
            title="Speculative decoding is on as asked",
            status=status,
            expected=(wanted.replace("any", "a draft model") or "none") + wanted_tokens,
            observed=observed,
            fix=fix,
            source="vllm/config/speculative.py, SpeculativeConfig (vLLM 0.33)",
        )
    ]


def _wanted_graphs(asked: Asked, model: Model, expected: Kernels | None) -> list[str]:
    if asked.eager:
        return ["NONE"]
    if asked.graphs:
        return [asked.graphs]
    if expected and expected.graphs:
        return expected.graphs
    # Pooling with a causal model takes full graphs back (config/vllm.py: "Pooling models do not support full").
    return ["FULL_AND_PIECEWISE"] if model.task == "chat" else ["PIECEWISE", "FULL_AND_PIECEWISE"]


def _graph_verdict(asked: Asked, seen: Readback, wanted: list[str], expected: Kernels | None) -> tuple[Status, str]:
    """Fail without graphs and where a mode was given up silently; warn where vLLM says why it took another."""
    names = [accepted for accepted in (expected.accepted if expected else []) if accepted.kind == "graphs"]
    if not seen.graphs and seen.eager is None:
        return "warn", UNTOLD
    mode = "NONE" if seen.eager else seen.graphs
    if mode in wanted:
        return "pass", ""
    if not mode:
        return "warn", UNTOLD
    if mode == "NONE":
        setting = json_flag(wanted[-1])
        return "fail", f"remove --enforce-eager and -O0 where they are given, or put {setting} into serving.extra_args"
    reason = next((accepted.reason for accepted in names if accepted.name == mode), "")
    words = seen.graph_notes[-1] if seen.graph_notes else ""
    if asked.eager:
        return "fail", "the profile asks for eager: remove --compilation-config from serving.extra_args"
    if reason or words:
        return "warn", (
            f"{reason or words}\nAnother attention backend may keep them (--attention-backend); if this is wanted, "
            f"put {json_flag(mode)} into serving.extra_args"
        )
    return "fail", f"put {json_flag(wanted[-1])} into serving.extra_args, and the engine takes it or says why not"


def json_flag(mode: str) -> str:
    """Return the flag that asks for a mode of CUDA graphs."""
    return f'--compilation-config \'{{"cudagraph_mode": "{mode}"}}\''


def _cpu_graphs(asked: Asked, seen: Readback) -> Check:
    wanted = "eager, as the profile asks" if asked.eager else "compiled; a CPU has no CUDA graphs"
    if seen.eager is None or not seen.compiled:
        return _graph_check("warn", wanted, "the log does not tell", UNTOLD)
    runs_eager = seen.eager or seen.compiled == "NONE"
    fix = (
        "remove --compilation-config from serving.extra_args: the profile asks for eager"
        if asked.eager
        else "set serving.enforce_eager to what is meant; without it the log says why the engine did not compile"
    )
    observed = "eager: not compiled" if runs_eager else f"compiled ({seen.compiled}), no CUDA graphs"
    return _graph_check("pass" if runs_eager == asked.eager else "fail", wanted, observed, fix)


def _graph_check(status: Status, expected: str, observed: str, fix: str) -> Check:
    return Check(
        name="serving.kernel.graphs",
        title="Compiled, and with CUDA graphs",
        status=status,
        expected=expected,
        observed=observed,
        fix="" if status == "pass" else fix,
        source="vllm/config/vllm.py, OPTIMIZATION_LEVEL_00 to _03 (vLLM 0.33)",
    )


def _graphs_told(seen: Readback) -> str:
    if not seen.graphs and seen.eager is None:
        return "the log does not tell"
    mode = "NONE (eager)" if seen.eager else seen.graphs or "not told"
    parts = [mode]
    parts += [f"planned {seen.graphs_configured}"] if seen.graphs_configured not in ("", seen.graphs) else []
    parts += [f"{len(seen.graph_sizes)} sizes up to {max(seen.graph_sizes)}"] if seen.graph_sizes else []
    parts += [f"compiled: {seen.compiled}"] if seen.compiled else []
    return ", ".join(parts)


def _kv_told(seen: Readback) -> str:
    told = f"{seen.kv_cache_dtype}" + (f" ({seen.dtype})" if seen.kv_cache_dtype == "auto" and seen.dtype else "")
    layout = f", layout {seen.kv_layout}" if seen.kv_layout else ""
    return f"{told}{layout}" + (f", {seen.kv_tokens:,} tokens" if seen.kv_tokens else "")


def _told(asked: Asked) -> bool:
    return asked.eager or bool(asked.graphs)


def _as_model(told: str, dtype: str) -> bool:
    return told in ("auto", dtype)


def _kv(name: str) -> str:
    return SAME_KV.get(name, SHORT_NAMES.get(name, name))


def _family(method: str) -> str:
    """Return the method, with every model's own multi-token prediction as one."""
    return "mtp" if method.endswith("mtp") else method
