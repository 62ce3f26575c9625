"""How large a model is, from its architecture alone: parameters, weight bytes, KV cache. Pure functions.

Each formula reproduces the published exact total of every model in the catalogue; tests hold them to the last digit.
"""

from lib.core.errors import RunbookError
from lib.engine.models.catalogue import Architecture, Model

GIB = 1 << 30
FP8_BLOCK = 128 * 128
MATRICES = 7  # of a dense layer: query, key, value, out, gate, up, down
MXFP4_BLOCK = 32
INT4_GROUP = 64  # weights that share a scale; must divide every row: 576 and 1536 of SmolLM2-135M
KV_BYTES = {"auto": 2, "float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}


def parameters(arch: Architecture) -> int:
    """Return the exact number of parameters of a checkpoint."""
    return _layers(arch) + _embeddings(arch)


def weight_bytes(model: Model) -> int:
    """Return the bytes of a model's weights in the format in which it is stored and served.

    In `fp8_block` the linear layers take one byte a weight and one bfloat16 scale per 128 × 128 block; in `mxfp4` the
    experts take half a byte and one byte of scale per 32 weights; `int8` takes one byte and one bfloat16 scale a row;
    `int4` half a byte, one bfloat16 scale per 64 weights, and two int64 of shape a matrix. Everything else stays
    bfloat16.
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
    if model.format in ("int8", "int4"):
        small = arch.layers * (_attention_matrices(arch) + _ffn_matrices(arch))
        rest = 2 * (total - small)
        if model.format == "int8":
            return rest + small + 2 * arch.layers * _rows(arch)
        return rest + small // 2 + 2 * small // INT4_GROUP + 16 * arch.layers * MATRICES
    return 2 * total


def computed(model: Model, dtype: str) -> Model:
    """Return the model as an engine holds it that computes in `dtype`: in float32 it widens what is stored narrower."""
    wide = dtype == "float32" and model.format == "bfloat16"
    return model.model_copy(update={"format": "float32"}) if wide else model


def kv_type(kv_dtype: str, dtype: str) -> str:
    """Return the type of the KV cache where it follows what the engine computes in."""
    return "float32" if kv_dtype == "auto" and dtype == "float32" else kv_dtype


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


def read_parameters(arch: Architecture, experts: float) -> dict[str, float]:
    """Return how many parameters one step of the model reads, by part: `experts`, `projections`, `lm_head`.

    The embedding table is not among them: a token reads one row of it. A tied head reads the same matrix in full.

    Parameters
    ----------
    experts : float
        Distinct experts of each layer that the step touches; a dense model has none.
    """
    mixture = arch.layers * arch.experts * _expert(arch)
    return {
        "experts": arch.layers * experts * _expert(arch) if arch.experts else 0.0,
        "projections": float(_layers(arch) - mixture),  # everything of the layers that every token passes
        "lm_head": 0.0 if arch.head == "none" else float(arch.hidden * arch.vocab),
    }


def read_bytes(model: Model, experts: float) -> dict[str, float]:
    """Return the bytes of `read_parameters` in the format in which the model is stored and served."""
    arch = model.architecture
    wide = 4 if model.format == "float32" else 2
    all_layers = weight_bytes(model) - wide * _embeddings(arch)
    expert = _expert_bytes(model)
    return {
        "experts": arch.layers * experts * expert,
        "projections": all_layers - arch.layers * arch.experts * expert,
        "lm_head": wide * read_parameters(arch, experts)["lm_head"],
    }


def _expert_bytes(model: Model) -> float:
    """Return the bytes of one expert of one layer; 0 for a dense model."""
    arch = model.architecture
    if not arch.experts:
        return 0.0
    matrices = _ffn_matrices(arch) // arch.experts
    each = {"float32": 4, "fp8_block": 1 + 2 / FP8_BLOCK, "mxfp4": 1 / 2 + 1 / MXFP4_BLOCK}.get(model.format, 2)
    return each * matrices + 2 * (_expert(arch) - matrices)


def _expert(arch: Architecture) -> int:
    """Return the parameters of one expert; 0 for a dense model."""
    if not arch.experts:
        return 0
    biases = 2 * arch.ffn + arch.hidden if arch.type == "gpt_oss" else 0
    return _ffn_matrices(arch) // arch.experts + biases


def _attention_matrices(arch: Architecture) -> int:
    return 2 * arch.hidden * arch.head_dim * (arch.q_heads + arch.kv_heads)


def _ffn_matrices(arch: Architecture) -> int:
    gated = 2 if arch.type == "bert" else 3
    return gated * arch.hidden * arch.ffn * max(arch.experts, 1)


def _rows(arch: Architecture) -> int:
    """Output channels of a layer's matrices: query, key, value, out, gate, up and down."""
    return arch.head_dim * (arch.q_heads + 2 * arch.kv_heads) + 2 * arch.ffn + 2 * arch.hidden


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
