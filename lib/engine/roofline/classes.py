"""Which part of the model a kernel or operator belongs to, by its name. One table; the first pattern that fits wins.

Names of CUDA kernels as vLLM's libraries give them (FlashAttention, FlashInfer, cuBLAS nvjet and xmma, CUTLASS,
Marlin, Triton, Inductor), and of operators as torch's profiler gives them on a CPU.
"""

import re
from functools import cache

KV_WRITE = "KV cache write"
EXPERTS = "expert GEMMs"
ROUTING = "routing"
ATTENTION = "attention"
NORMS = "norms"
SAMPLING = "sampling"
COPIES = "copies"
DENSE = "dense projections"
HEAD = "lm_head"
ELEMENTWISE = "elementwise"
OTHER = "other"
IDLE = "idle"

TABLE: tuple[tuple[str, str], ...] = (
    (r"reshape_and_cache|concat_and_cache|kv_cache_update|slot_mapping|cache_kernel", KV_WRITE),
    (r"fused_moe_kernel|fused_experts|marlin_moe|moe_wna16|matmul_ogs|GroupProblemShape|grouped_gemm", EXPERTS),
    (r"moe_?gemm|gemm_moe|cpu_fused_moe|moe_mlp|bmm_.*(E2m1|MxE4m3).*swiGlu", EXPERTS),
    # Of sampling, before the top-k of routing.
    (r"argmax|greedy|sampl|gumbel|multinomial|log_softmax|top_?k_?top_?p|[sm]btopk|penalt|logits_", SAMPLING),
    (r"topk|moe_align|sort_expert|routing|bitmatrix|moe_sum|expand_?input_?rows|finalize_?moe|::moe::", ROUTING),
    (
        r"flash|fmha|attention|attn|BatchDecode|BatchPrefill|reduce_segments|prepare_varlen|scheduler_metadata",
        ATTENTION,
    ),
    (r"rms_?norm|layer_?norm|triton_(red|per)_fused|aten::(pow|mean|rsqrt)$", NORMS),
    (r"^mem(cpy|set)|direct_copy|CatArray|FillFunctor|indexSelect|index_elementwise|vectorized_gather", COPIES),
    (r"aten::(to|_to_copy|copy_|clone|contiguous|fill_|cat|index|index_select|embedding)$", COPIES),
    (r"gemm|gemv|nvjet|xmma|cutlass|cublas|splitk|marlin|scaled_mm|onednn|mkldnn|\bdot_kernel|reduce_1block", DENSE),
    (r"aten::(linear|addmm|mm|bmm|matmul|_weight_int4pack_mm)$", DENSE),
    (r"act_and_mul|silu|gelu|swiglu|rotary|triton_poi|elementwise|aten::(mul|add|add_|sub|div|div_)$", ELEMENTWISE),
)
PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), kind) for pattern, kind in TABLE)


@cache
def named(name: str) -> str:
    """Return the class of a kernel or operator; `OTHER` where no pattern fits."""
    return next((kind for pattern, kind in PATTERNS if pattern.search(name)), OTHER)


def in_order(names: list[str]) -> list[str]:
    """Return the class of each kernel of one step, in the order in which they ran.

    Two products carry no name of their own, but have a place: what runs just before the choice of experts is the
    router, and the last product of a step is the lm_head.
    """
    kinds = [named(name) for name in names]
    for here in range(1, len(kinds)):
        if kinds[here] == ROUTING:
            _rename(kinds, here - 1, ROUTING)
    last = max((here for here, kind in enumerate(kinds) if kind == DENSE), default=-1)
    _rename(kinds, last, HEAD)
    return kinds


def _rename(kinds: list[str], end: int, kind: str) -> None:
    """Give the run of products that ends here another class: one product may take several kernels."""
    while end >= 0 and kinds[end] == DENSE:
        kinds[end] = kind
        end -= 1
