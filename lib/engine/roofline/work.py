"""What a step of the model must do, from its architecture alone: bytes that it reads, operations that it computes.

Pure arithmetic. Weights are read once a step, whatever the batch; of a mixture of experts only those that some token
chose. The KV cache is read once for every sequence. Activations stay in the cache of the device and count nothing.
"""

import math
from typing import NamedTuple

from lib.engine.models import sizes
from lib.engine.models.catalogue import Architecture, Model


class Work(NamedTuple):
    """One step: bytes of weights by part (`experts`, `projections`, `lm_head`) and of KV cache, and operations.

    `linear` are the operations of all matrix products with weights, `attention` those with keys and values; a
    multiplication with an addition counts two.
    """

    weights: dict[str, float]
    kv: float
    linear: float
    attention: float

    @property
    def bytes(self) -> float:
        """Everything read, bytes."""
        return sum(self.weights.values()) + self.kv

    @property
    def operations(self) -> float:
        """Everything computed, floating-point operations."""
        return self.linear + self.attention

    @property
    def intensity(self) -> float:
        """Operations for each byte read."""
        return self.operations / self.bytes


def touched(arch: Architecture, tokens: float) -> float:
    """Return how many distinct experts of a layer that many tokens choose, if each expert is equally likely."""
    if not arch.experts:
        return 0.0
    return arch.experts * (1 - math.pow(1 - arch.top_k / arch.experts, tokens))


def decode(model: Model, batch: int, context: float, kv_dtype: str = "auto") -> Work:
    """Return the work of one decode step.

    Parameters
    ----------
    batch : int
        Sequences that each get one more token.
    context : float
        Tokens that each of them attends to, on average.
    kv_dtype : str
        vLLM's `--kv-cache-dtype`.
    """
    arch = model.architecture
    active = sum(sizes.read_parameters(arch, arch.top_k).values())
    attended = _attended(arch, context)
    return Work(
        weights=sizes.read_bytes(model, touched(arch, batch)),
        kv=batch * attended * sizes.kv_layer_bytes(model, kv_dtype),
        linear=2 * batch * active,
        attention=batch * _operations(arch, attended),
    )


def prefill(model: Model, tokens: int, cached: int = 0, kv_dtype: str = "auto") -> Work:
    """Return the work of computing one prompt, its first answer token included.

    Parameters
    ----------
    tokens : int
        Tokens of the whole prompt.
    cached : int
        So many at its beginning are already in the KV cache.
    """
    arch = model.architecture
    new = max(tokens - cached, 1)
    active = sizes.read_parameters(arch, arch.top_k)
    full = arch.layers - arch.sliding_layers
    attended = full * _triangle(cached, tokens) + arch.sliding_layers * _triangle(cached, tokens, arch.sliding_window)
    return Work(
        weights=sizes.read_bytes(model, touched(arch, new)),
        # Read once from where it was kept, written once: what follows is found in the device's cache.
        kv=(full * tokens + arch.sliding_layers * min(tokens, arch.sliding_window + new))
        * sizes.kv_layer_bytes(model, kv_dtype),
        linear=2 * (new * (active["experts"] + active["projections"]) + active["lm_head"]),
        attention=_operations(arch, attended),
    )


def _attended(arch: Architecture, context: float) -> float:
    """Return the tokens that one new token attends to, summed over layers."""
    full = arch.layers - arch.sliding_layers
    return full * context + arch.sliding_layers * min(context, arch.sliding_window)


def _operations(arch: Architecture, attended: float) -> float:
    """Scores and weighted sum: two products of a head's width for each query head."""
    return 4 * arch.q_heads * arch.head_dim * attended


def _triangle(first: int, last: int, window: int = 0) -> float:
    """Return the tokens attended to by all of `first` … `last`, each seeing those before it and itself."""

    def upto(tokens: int) -> float:
        growing = min(tokens, window) if window else tokens
        return growing * (growing + 1) / 2 + (tokens - growing) * window

    return upto(last) - upto(first)
