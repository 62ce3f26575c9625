"""What fits where and how long it takes: KV cache, combinations on one card, sleeping models, download, load.

Pure functions. The KV cache is counted as vLLM counts it (v1/core/kv_cache_utils.py): in blocks that all layers of a
group share; a request at `max_model_len` takes so many of them, and vLLM prints that concurrency × `max_model_len`.
"""

from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple

from lib.core.evidence import Check, Measurement
from lib.engine.models.catalogue import Model
from lib.engine.models.sizes import GIB, kv_layer_bytes, weight_bytes

BLOCK = {"cpu": 128, "cuda": 16}  # vLLM's defaults: platforms/cpu.py, config/cache.py
DEFAULT_BATCHED_TOKENS = 8192  # of a server on a large card: engine/arg_utils.py:2985-2998 (vLLM 0.33)
TOLERANCE = 0.05
# gpt-oss shows one group of full and one of sliding layers; more than this between their counts makes more groups.
EVEN_GROUPS = 1.5
ROUNDING = 1e-6


class Room(NamedTuple):
    """What a KV cache holds: tokens as vLLM reports them, and requests at `max_model_len`."""

    tokens: int
    requests: float


class Process(NamedTuple):
    """One engine process on the card: its weights, its reserve, and the KV cache of one longest request, bytes."""

    model: Model
    weights: int
    reserve: int
    longest: int
    context: int

    @property
    def fixed(self) -> int:
        """Bytes that the process takes before its first token."""
        return self.weights + self.reserve


class Fit(NamedTuple):
    """Several processes on one card."""

    processes: tuple[Process, ...]
    limit: int

    @property
    def names(self) -> str:
        """The models, joined."""
        return " + ".join(process.model.name for process in self.processes)

    @property
    def left(self) -> int:
        """Bytes left for KV cache; negative is what is missing."""
        return self.limit - sum(process.fixed for process in self.processes)

    @property
    def spare(self) -> int:
        """Bytes left when each process holds one request at its full length; negative is what is missing for that."""
        return self.left - sum(process.longest for process in self.processes)

    @property
    def loads(self) -> bool:
        """All weights and reserves fit."""
        return self.left > 0

    @property
    def serves(self) -> bool:
        """Every model can also serve a request at its full length."""
        return self.loads and self.spare >= 0


def room(
    model: Model, kv_bytes: int, max_model_len: int, *, block: int, in_flight: int = 0, kv_dtype: str = "auto"
) -> Room:
    """Return what a KV cache of so many bytes holds, as vLLM will report it.

    Parameters
    ----------
    model : Model
        The model; an encoder has no KV cache and holds nothing.
    kv_bytes : int
        Bytes of the KV cache.
    max_model_len : int
        Longest request, tokens.
    block : int
        Tokens a block; see `BLOCK`.
    in_flight : int
        Tokens that may be scheduled and not yet settled: `max_num_batched_tokens`, twice that with asynchronous
        scheduling. Only sliding layers need them, which hold their window and these.
    kv_dtype : str
        vLLM's `--kv-cache-dtype`.
    """
    needed = _blocks(model, max_model_len, block, in_flight)
    size = _group(model)[0] * block * kv_layer_bytes(model, kv_dtype)
    if not size:
        return Room(0, 0.0)
    requests = (max(kv_bytes, 0) // size) / needed
    return Room(int(requests * max_model_len), requests)


def request_bytes(
    model: Model, max_model_len: int, *, block: int = BLOCK["cuda"], in_flight: int = 0, kv_dtype: str = "auto"
) -> int:
    """Return the KV cache bytes that one request of `max_model_len` tokens takes."""
    size = _group(model)[0] * block * kv_layer_bytes(model, kv_dtype)
    return _blocks(model, max_model_len, block, in_flight) * size


def _group(model: Model) -> tuple[int, int, int]:
    """Return layers a group, groups of full and groups of sliding layers, as vLLM forms them."""
    sliding = model.architecture.sliding_layers
    full = model.architecture.layers - sliding
    if not sliding:
        return full, 1, 0
    few, many = sorted((full, sliding))
    layers = many if many < few * EVEN_GROUPS else few
    return layers, ceil(full / layers), ceil(sliding / layers)


def _blocks(model: Model, max_model_len: int, block: int, in_flight: int) -> int:
    """Return the blocks that one request at `max_model_len` takes from the shared pool."""
    _, full, sliding = _group(model)
    whole = ceil(max_model_len / block)
    if not sliding:
        return full * whole
    window = min(model.architecture.sliding_window - 1 + in_flight, max_model_len)
    return full * whole + sliding * (ceil(window / block) + 1)


def kv_bytes(card_bytes: int, utilization: float, weights: int, reserve: int) -> int:
    """Return what vLLM leaves for the KV cache: its share of the card, less weights, less context and activations."""
    return int(card_bytes * utilization) - weights - reserve


def fit(
    models: Sequence[Model],
    limit: int,
    reserve: int,
    max_model_len: int,
    *,
    cache: int = 0,
    in_flight: int = 0,
    kv_dtype: str = "auto",
) -> Fit:
    """Put several models on one card, one process each.

    Parameters
    ----------
    models : sequence of Model
        Models that shall be ready at the same time.
    limit : int
        Bytes that all processes together may take: the card × `gpu_memory_utilization`.
    reserve : int
        Bytes a process takes besides weights and KV cache: CUDA context, graphs, activations.
    max_model_len : int
        Longest request, tokens; a model with a shorter native context serves that.
    cache : int
        KV cache that every process takes whether it needs it or not, bytes: on the CPU it is set, not measured.
    in_flight, kv_dtype
        See `room`.
    """
    processes = []
    for model in models:
        context = min(max_model_len, model.context)
        longest = request_bytes(model, context, in_flight=in_flight, kv_dtype=kv_dtype)
        kept = max(longest, cache) if longest else 0
        processes.append(Process(model, weight_bytes(model), reserve, kept, context))
    return Fit(tuple(processes), limit)


def shares(found: Fit, card_bytes: int) -> list[float]:
    """Return `--gpu-memory-utilization` for each process of a set that serves; empty for one that does not.

    Each gets what it takes at least, and the spare memory in proportion to its longest request: a model with long
    requests gains most from more cache. Rounded down to 0.01, so that the sum stays within the limit.
    """
    if not found.serves:
        return []
    longest = sum(process.longest for process in found.processes)
    extra = [found.spare * process.longest / longest if longest else 0.0 for process in found.processes]
    needed = [process.fixed + process.longest + more for process, more in zip(found.processes, extra, strict=True)]
    return [floor(size / card_bytes * 100 + ROUNDING) / 100 for size in needed]


def longest_context(found: Fit, kv_dtype: str = "auto") -> int:
    """Return the longest context that every process of a fit could serve at once, tokens; 0 if the weights do not fit.

    Each process is given the same length, at most its own; sliding windows are left out (they are small).
    """
    if not found.loads:
        return 0
    low, high = 0, max(process.context for process in found.processes)
    while low < high:
        middle = (low + high + 1) // 2
        lengths = [(process.model, min(middle, process.context)) for process in found.processes]
        needed = sum(request_bytes(model, length, kv_dtype=kv_dtype) for model, length in lengths)
        low, high = (middle, high) if needed <= found.left else (low, middle - 1)
    return low


def sleep_bytes(models: Sequence[Model]) -> int:
    """Return the host memory that level 1 sleep needs at most when one of the models is awake and the others sleep."""
    weights = [weight_bytes(model) for model in models]
    return sum(weights) - min(weights, default=0)


def download_seconds(size: int, mbit_s: float) -> float:
    """Return how long so many bytes take over a line, s; a line brings what it promises at best."""
    return size * 8 / (mbit_s * 1e6)


def load_seconds(size: int, mb_s: float) -> float:
    """Return how long so many bytes take from a disk, s: the floor of a cold start."""
    return size / (mb_s * 1e6)


def prediction(
    model: Model, size: int, max_model_len: int, *, hardware: str, in_flight: int = 0, kv_dtype: str = "auto"
) -> Measurement:
    """Return the number of KV cache tokens that vLLM will report at start, as a measurement `planner.kv_tokens`."""
    held = room(model, size, max_model_len, block=BLOCK[hardware], in_flight=in_flight, kv_dtype=kv_dtype)
    return Measurement(
        name="planner.kv_tokens",
        title="KV cache tokens",
        value=held.tokens,
        unit="tokens",
        method=f"{size / GIB:.2f} GiB in blocks of {BLOCK[hardware]} tokens, counted as vLLM counts",
        conditions={"source": "predicted", "model": model.name, "max_model_len": max_model_len, "kv_dtype": kv_dtype},
    )


def compare_kv(predicted: Measurement, reported_tokens: int) -> tuple[Measurement, Check]:
    """Compare a prediction with what the engine printed at start (`KV cache size: N tokens`).

    Parameters
    ----------
    predicted : Measurement
        The record of `prediction`.
    reported_tokens : int
        Tokens from the engine's log.

    Returns
    -------
    Measurement, Check
        `planner.kv_tokens` with ``source=reported``, and the check of the same name: within 5 %.
    """
    error = reported_tokens / predicted.value - 1 if predicted.value else float("inf")
    reported = Measurement(
        name="planner.kv_tokens",
        title=predicted.title,
        value=reported_tokens,
        unit="tokens",
        method="the engine's start log",
        conditions={**predicted.conditions, "source": "reported"},
        baseline=predicted.value,
    )
    check = Check(
        name="planner.kv_tokens",
        title="The planner predicted the KV cache",
        status="pass" if abs(reported_tokens - predicted.value) <= TOLERANCE * predicted.value else "fail",
        expected=f"{predicted.value:,.0f} tokens ± {TOLERANCE:.0%}",
        observed=f"{reported_tokens:,} tokens ({error:+.1%})",
        fix="set models.reserve_gib in the profile to what the start log leaves (GPU), or compare the model's "
        "config.json with runbook/models.yml: python -m lib models verify",
    )
    return reported, check
