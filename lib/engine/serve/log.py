"""What vLLM's start log tells: which stage it is in, and what it chose.

Patterns were read from logs captured with vLLM 0.32 on a CPU, and for GPUs from the sources of 0.26, 0.32 and 0.33
(`v1/core/kv_cache_utils.py`, `platforms/cuda.py`, `fused_moe/oracle/*.py`, `kernels/linear/__init__.py`,
`config/{vllm,scheduler,compilation,speculative,cache}.py`, `v1/worker/gpu_model_runner.py`, `v1/worker/gpu/*.py`).
"""

import re
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STAGES = (
    ("starting Python", r"^"),
    ("reading the model's configuration", r"Resolved architecture:"),
    ("starting the engine's process", r"Initializing a V1 LLM engine"),
    ("loading weights", r"Starting to load model|Loading safetensors|Loading weights"),
    (
        "compiling",
        r"Warming up model for the compilation|Using cache directory:.*torch_compile|Dynamo bytecode transform",
    ),
    ("sizing the KV cache", r"KV cache size:|Available KV cache memory"),
    ("capturing CUDA graphs", r"Capturing CUDA graphs"),
    ("warming up", r"init engine \("),
    ("opening the port", r"Starting vLLM server on|Application startup complete"),
)
_BOOL = {"True": True, "False": False}
# The experts' format as the oracles write it, between the backend's name and "MoE backend".
_EXPERTS = (
    r"(?i)Using '?([\w /-]{1,40}?)'? (?:Unquantized|Fp8|NvFp4|Mxfp4|MxFp8|Int8|W4A8|WNA16)[\w ]{0,20} MoE "
    r"(?:LoRA )?backend"
)
# Older and rarer paths name the class of the experts only.
_EXPERTS_CLASS = r"Using (\w+)(?: Humming)? M[Oo]E backend|Using (\w+) for (?:AutoRound )?MXFP4 MoE"
_LINEAR = (
    r"(?:Selected|Using) (\w*Kernel\w*) for (?:mixed-precision linear|[\w-]+ GEMM|\w+)\s*$"
    r"|Using (\w+) for CompressedTensors\w+\s*$"
)
# Where vLLM takes back a mode of CUDA graphs: the mode that it goes on with.
_DOWNGRADE = re.compile(
    r"(?:setting cudagraph_mode=|Setting cudagraph_mode to |Overriding cudagraph_mode (?:from \w+ |\w+ )?to "
    r"|Overriding to )(?:CUDAGraphMode\.)?([A-Z_]+)"
)
_PLACE = re.compile(r"^.*?\[[\w.]+:\d+\] ")
_SKIPPED = re.compile(r"Skipping (?:encoder and decoder )?CUDA graph capture|Cudagraph is disabled under eager mode")
_WEIGHT_ONLY = re.compile(r"(Your GPU does not have native support for FP\d computation[^.]*\.)")
MODES = ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE")


class Readback(BaseModel):
    """What the engine says that it chose. A field that the log does not tell stays empty."""

    model_config = ConfigDict(frozen=True)

    version: str = ""
    device: str = ""
    dtype: str = ""
    quantization: str = ""
    attention: str = ""
    attention_also: list[str] = []
    attention_candidates: list[str] = []
    flash_attention: str = ""
    moe: str = ""
    moe_also: list[str] = []
    moe_untuned: bool = False
    linear: list[str] = []
    weight_only: str = ""
    kv_cache_dtype: str = ""
    kv_layout: str = ""
    kv_tokens: int = 0
    kv_gib: float | None = None
    max_concurrency: float | None = None
    eager: bool | None = None
    compiled: str = ""
    graphs: str = ""
    graphs_configured: str = ""
    graphs_captured: list[str] = []
    graph_sizes: list[int] = []
    graph_notes: list[str] = []
    speculation: str = ""
    speculation_model: str = ""
    speculation_tokens: int | None = None
    asynchronous: bool | None = None
    chunked_prefill: bool | None = None
    prefix_caching: bool | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    runner: str = ""
    weights_s: float | None = None
    init_s: float | None = None


def stage(text: str) -> str:
    """Return the name of the furthest stage of the start that the log has reached."""
    return next(name for name, pattern in reversed(_STAGES) if re.search(pattern, text))


def plain(text: str) -> str:
    """Return a log without the colours that vLLM prints on a terminal."""
    return _COLOUR.sub("", text)


def read(text: str) -> Readback:
    """Return what a start log tells about the choices of the engine. Any text can be read; what is missing is empty."""
    text = plain(text)
    engine = _first(r"Initializing a V1 LLM engine (.*)", text)
    attention = _all(r"Using (?:AttentionBackendEnum\.)?([A-Z][A-Z0-9_]+) (?:attention )?backend\b", text)
    moe = _all(_EXPERTS, text) or _all(_EXPERTS_CLASS, text)
    return Readback(
        version=_first(r"\(v([^)]+)\) with config", engine),
        device=_first(r"device_config=(?:device\()?'?(?:type='?)?(\w+)", engine),
        dtype=_first(r"\bdtype=(?:torch\.)?(\w+)", engine),
        quantization=_first(r"\bquantization=([\w-]+)", engine).replace("None", ""),
        attention=attention[0] if attention else "",
        attention_also=attention[1:],
        attention_candidates=_all(
            r"'(\w+)'", _first(r"attention backend out of potential backends: \[([^\]]*)\]", text)
        ),
        flash_attention=_first(r"Using FlashAttention version (\d+)", text),
        moe=moe[0] if moe else "",
        moe_also=moe[1:],
        moe_untuned="Using default MoE config. Performance might be sub-optimal!" in text,
        linear=sorted(_all(_LINEAR, text)),
        weight_only=_first(_WEIGHT_ONLY.pattern, text),
        weights_s=_number(r"Loading weights took ([\d.]+) seconds", text),
        init_s=_number(r"init engine \([^)]*\) took ([\d.]+) s", text),
        **_cache(engine, text),
        **_graphs(engine, text),
        **_scheduling(engine, text),
    )


def _cache(engine: str, text: str) -> dict[str, object]:
    return {
        "kv_cache_dtype": _first(r"\bkv_cache_dtype=(\w+)", engine),
        "kv_layout": _first(r"Using (\w+) KV cache layout", text),
        "kv_tokens": _integer(r"KV cache size: ([\d,]+) tokens", text) or 0,
        "kv_gib": _number(r"Available KV cache memory: ([\d.]+) GiB|Explicitly set \(([\d.]+)/", text),
        "max_concurrency": _number(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x", text),
    }


def _graphs(engine: str, text: str) -> dict[str, object]:
    """Read how the model runs: compiled or not, and which CUDA graphs were captured in the end."""
    configured = _first(r"'cudagraph_mode': <CUDAGraphMode\.(\w+)", engine)
    captured = _all(r"Capturing CUDA graphs \((?:[\w -]+, )?([A-Z]+)\)", text)
    notes = [line for line in text.splitlines() if "cudagraph" in line.lower() and _DOWNGRADE.search(line)]
    modes = [mode for line in notes for mode in _DOWNGRADE.findall(line)[-1:] if mode in MODES]
    sizes = _first(r"'cudagraph_capture_sizes': \[([\d, ]*)\]", engine)
    return {
        "eager": _BOOL.get(_first(r"\benforce_eager=(\w+)", engine)),
        "compiled": _first(r"\{'mode': <CompilationMode\.(\w+)", engine),
        "graphs_configured": configured,
        "graphs_captured": captured,
        "graphs": "NONE" if _SKIPPED.search(text) else _settled([configured, *modes], captured),
        "graph_sizes": [int(size) for size in re.findall(r"\d{1,9}", sizes)],
        "graph_notes": list(dict.fromkeys(_PLACE.sub("", line).strip() for line in notes)),
    }


def _settled(modes: list[str], captured: list[str]) -> str:
    """Return the mode that the engine ended with: what was captured counts more than what was planned."""
    planned = modes[-1]
    seen = set(captured)
    if not seen or planned == "NONE":
        return planned
    if seen == {"FULL", "PIECEWISE"}:
        # A draft model captures its own graphs under the same words: they never add to what was planned.
        return planned or "FULL_AND_PIECEWISE"
    if seen == {"FULL"}:
        return planned if planned in ("FULL", "FULL_DECODE_ONLY") else "FULL"
    return "PIECEWISE" if seen == {"PIECEWISE"} else planned


def _scheduling(engine: str, text: str) -> dict[str, object]:
    # 0.26 tells it either way; from 0.32 on only what switches it off is told.
    asynchronous = _first(
        r"Asynchronous scheduling is (enabled|disabled)|Async scheduling (?:will be|is) (disabled)", text
    )
    speculation = _first(r"speculative_config=SpeculativeConfig\(([^)]*)\)", engine)
    return {
        "speculation": _first(r"method='([^']+)'", speculation),
        "speculation_model": _first(r"model='([^']+)'", speculation),
        "speculation_tokens": _integer(r"num_spec_tokens=(\d+)", speculation),
        "asynchronous": {"enabled": True, "disabled": False}.get(asynchronous),
        "chunked_prefill": _BOOL.get(_first(r"enable_chunked_prefill=(\w+)", engine)),
        "prefix_caching": _BOOL.get(_first(r"enable_prefix_caching=(\w+)", engine)),
        "max_num_seqs": _integer(r"non-default args: .*'max_num_seqs': (\d+)", text),
        "max_num_batched_tokens": _integer(
            r"Chunked prefill is enabled with max_num_batched_tokens=(\d+)"
            r"|non-default args: .*'max_num_batched_tokens': (\d+)",
            text,
        ),
        "runner": _first(r"using the (V1) model runner|Using (V2) Model Runner", text),
    }


def _all(pattern: str, text: str) -> list[str]:
    """Return what the pattern finds, each once, in the order of the text."""
    found: Iterable[re.Match[str]] = re.finditer(pattern, text, re.MULTILINE)
    return list(dict.fromkeys(next((group for group in match.groups() if group), "") for match in found))


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return next((group for group in match.groups() if group), "") if match else ""


def _number(pattern: str, text: str) -> float | None:
    found = _first(pattern, text)
    return float(found) if re.fullmatch(r"\d+(\.\d+)?", found) else None


def _integer(pattern: str, text: str) -> int | None:
    digits = _first(pattern, text).replace(",", "")
    return int(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else None
