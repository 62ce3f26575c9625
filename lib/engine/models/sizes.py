"""How large a model is, from its architecture alone: parameters, weight bytes, KV cache. Pure functions.

Each formula reproduces the published exact total of every model in the catalogue; tests hold them to the last digit.
"""

from lib.core.errors import RunbookError
from lib.engine.models.catalogue import Architecture, Model

GIB = 1 << 30
FP8_BLOCK = 128 * 128
MXFP4_BLOCK = 32
KV_BYTES = {"auto": 2, "bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}


def parameters(arch: Architecture) -> int:
    """Return the exact number of parameters of a checkpoint."""
    return _layers(arch) + _embeddings(arch)


def weight_bytes(model: Model) -> int:
    """Return the bytes of a model's weights in the format in which it is stored and served.

    In `fp8_block` the linear layers take one byte a weight and one bfloat16 scale per 128 × 128 block; in `mxfp4` the
    experts take half a byte and one byte of scale per 32 weights. Everything else stays bfloat16.
    """
    arch = model.architecture
    total = parameters(arch)
    if model.format == "float32":
        return 4 * total
    if model.format == "fp8_block":
        small = arch.layers * (_attention_matrices(arch) + _ffn_matrices(arch))
        return 2 * (total - small) + small + 2 * small // FP8_BLOCK
    if model.format == "mxfp4":
        small = arch.layers * _ffn_matrices(arch)
        return 2 * (total - small) + small // 2 + small // MXFP4_BLOCK
    return 2 * total


def kv_layer_bytes(model: Model, kv_dtype: str = "auto") -> int:
    """Return the bytes that one token takes in the KV cache of one layer; 0 for an encoder, which has none."""
    if kv_dtype not in KV_BYTES:
        raise RunbookError(
            f"the planner knows no size for KV cache type '{kv_dtype}'",
            where="serving.kv_cache_dtype",
            fix=f"one of: {', '.join(KV_BYTES)}",
        )
    arch = model.architecture
    return 0 if arch.type == "bert" else 2 * arch.kv_heads * arch.head_dim * KV_BYTES[kv_dtype]


def kv_token_bytes(model: Model, kv_dtype: str = "auto") -> int:
    """Return the bytes that one more token takes in the KV cache of all layers that attend to the whole context."""
    arch = model.architecture
    return (arch.layers - arch.sliding_layers) * kv_layer_bytes(model, kv_dtype)


def kv_window_bytes(model: Model, kv_dtype: str = "auto") -> int:
    """Return the bytes that the sliding layers take for one sequence, however long it is."""
    arch = model.architecture
    return arch.sliding_layers * arch.sliding_window * kv_layer_bytes(model, kv_dtype)


def _attention_matrices(arch: Architecture) -> int:
    return 2 * arch.hidden * arch.head_dim * (arch.q_heads + arch.kv_heads)


def _ffn_matrices(arch: Architecture) -> int:
    gated = 2 if arch.type == "bert" else 3
    return gated * arch.hidden * arch.ffn * max(arch.experts, 1)


def _layers(arch: Architecture) -> int:
    """Parameters of all layers and of what stands behind them: a norm, or the pooler of an encoder."""
    hidden, router = arch.hidden, arch.hidden * arch.experts
    matrices = _attention_matrices(arch) + _ffn_matrices(arch) + router
    if arch.type == "bert":
        biases_and_norms = 4 * hidden + arch.ffn + hidden + 4 * hidden
        return arch.layers * (matrices + biases_and_norms) + hidden * hidden + hidden
    norms = 2 * hidden
    if arch.type in ("qwen3", "qwen3_moe"):
        norms += 2 * arch.head_dim  # of query and key
    if arch.type == "gpt_oss":
        attention = arch.head_dim * (arch.q_heads + 2 * arch.kv_heads) + hidden  # biases of q, k, v and o
        sinks, experts = arch.q_heads, arch.experts * (1 + 2 * arch.ffn + hidden)  # biases of router, up, gate and down
        norms += attention + sinks + experts
    return arch.layers * (matrices + norms) + hidden


def _embeddings(arch: Architecture) -> int:
    if arch.type == "bert":
        segments, norm = 2, 2 * arch.hidden
        return arch.hidden * (arch.vocab + arch.context + segments) + norm
    return arch.hidden * arch.vocab * (2 if arch.head == "separate" else 1)
