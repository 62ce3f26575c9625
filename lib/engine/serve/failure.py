"""Why a start failed: the line of the log that says it, and what to do about it.

Patterns were read from logs captured with vLLM 0.32 on a CPU, and for GPUs from the sources of 0.32 and 0.33.
"""

import re
from typing import NamedTuple

from lib.core.errors import nearest
from lib.engine.serve.log import plain

# "(EngineCore pid=8983) INFO 11-23 19:33:07 [utils.py:347] ": process, level, time and place of a line.
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\)\s+)?(?:(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\] ?)?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b: ?(?P<message>.*)")
_ARGUMENTS = re.compile(r"^\S+: error: (?P<message>.+)")
# These only say that another process failed; the cause stands above them.
_ECHOES = ("Engine core initialization failed", "Worker failed with error", "WorkerProc initialization failed")


def decisive(text: str) -> str:
    """Return the line of a failed start that says why; without one, the last line that says anything."""
    lines = [(_PREFIX.match(line), line) for line in plain(text).splitlines()]
    bare = [(match["level"] if match else None, line[match.end() if match else 0 :].rstrip()) for match, line in lines]
    for index, (level, line) in enumerate(bare):
        if level not in (None, "ERROR", "CRITICAL"):
            continue
        if arguments := _ARGUMENTS.match(line):
            return arguments["message"]
        found = _EXCEPTION.match(line)
        if found and not found["message"].startswith(_ECHOES):
            return _validation([line for _, line in bare[index : index + 4]]) or line
    return next((line for _, line in reversed(bare) if line.strip()), "")


def _validation(lines: list[str]) -> str:
    """Return the message of a pydantic error, whose first line only counts them."""
    if not re.search(r"\d+ validation errors? for ", lines[0]):
        return ""
    return next((line.strip().partition(" [type=")[0] for line in lines[1:] if line.startswith("  ")), "")


class Remedy(NamedTuple):
    """What a known failure means for a profile."""

    pattern: str
    fix: str


_REMEDIES = (
    Remedy(
        r"Address already in use",
        "set serving.port to 0 in the profile (a free port is taken), or stop what listens there: ss -ltnp",
    ),
    Remedy(
        r"max_model_len \(\d+\) is greater than .*?max_position_embeddings=(?P<limit>\d+)",
        "set serving.max_model_len to at most {limit} in the profile",
    ),
    Remedy(
        r"estimated maximum model length is (?P<limit>\d+)",
        "set serving.max_model_len to at most {limit}, or give the KV cache more memory: serving.cpu_kv_cache_gib on a "
        "CPU, serving.gpu_memory_utilization on a GPU",
    ),
    Remedy(
        r"argument (?P<flag>--[\w-]+)[\w/-]*: (?:invalid|expected)",
        "correct {flag}: it comes from the profile's serving section or from the model's flags in runbook/models.yml",
    ),
    Remedy(
        r"(?i)invalid (?:tool call|reasoning) parser|unknown attention backend",
        "use one of the names that the line lists, in serving.extra_args or in the model's flags in runbook/models.yml",
    ),
    Remedy(
        r"less than requested memory for kv",
        "lower serving.cpu_kv_cache_gib in the profile, or free memory on this machine",
    ),
    Remedy(
        r"less than desired GPU memory utilization",
        "stop what else holds memory on the card (nvidia-smi), or lower serving.gpu_memory_utilization",
    ),
    Remedy(
        r"No available memory for the cache blocks",
        "the weights fill the share of the card: raise serving.gpu_memory_utilization, or serve a smaller model",
    ),
    Remedy(
        r"out of memory|OutOfMemoryError|MemoryError|Cannot allocate memory",
        "lower serving.gpu_memory_utilization (or serving.cpu_kv_cache_gib), serving.max_num_seqs or "
        "serving.max_num_batched_tokens, and stop what else uses the memory",
    ),
    Remedy(
        r"no kernel image is available|sm_\d+ is not compatible|driver version is insufficient|forward compatibility",
        "driver, CUDA or wheel do not fit this card: python -m lib run --only 02",
    ),
    Remedy(
        r"Unknown SF transformation|Assertion error \(\S*deepgemm",
        "DeepGEMM does not know this card's layout of the scales (https://github.com/vllm-project/vllm/issues/47436): "
        'set VLLM_USE_DEEP_GEMM to "0" in serving.environment',
    ),
    Remedy(
        r"SafetensorError|incomplete metadata|HeaderTooLarge",
        "the weights are damaged: python -m lib models fetch {model}",
    ),
    Remedy(
        r"Repo id must be|Repository Not Found|LocalEntryNotFound|[Cc]an't load the configuration"
        r"|does not appear to have|Invalid repository ID|No such file or directory",
        "the model is not there: python -m lib models fetch {model}",
    ),
)


# Flags that circulate in advice and that no vLLM has; what the advice means.
_INVENTED = {
    "--max-batch-size": "--max-num-seqs (serving.max_num_seqs)",
    "--max-concurrent-requests": "--max-num-seqs (serving.max_num_seqs)",
    "--draft-model": "--spec-model",
    "--speculative-decoding": "--speculative-config",
    "--enable-flash-attention": "--attention-backend FLASH_ATTN",
    "--paged-kv-cache": "nothing: the KV cache is always paged",
}


def remedy(text: str, model: str, log: str) -> str:
    """Return what to do about a failed start, for the model's catalogue name and the place of the log."""
    line = decisive(text)
    if flag := re.search(r"unrecognized arguments: (\S+)", line):
        return _unknown_flag(flag[1], set(re.findall(r"\[(--[a-z][a-z0-9-]+)", text)))
    for known in _REMEDIES:
        if match := re.search(known.pattern, line):
            return known.fix.format(model=model, **match.groupdict())
    return f"read the log, {log}; check serving.extra_args in the profile and the model's flags in runbook/models.yml"


def _unknown_flag(flag: str, valid: set[str]) -> str:
    meant = _INVENTED.get(flag) or nearest(flag, sorted(valid))
    hint = f"; what is meant may be {meant}" if meant else ""
    return f"remove {flag} from serving.extra_args or from the model's flags in runbook/models.yml{hint}"
