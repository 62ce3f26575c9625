"""What the tests of the roofline share: limits, results and traces made on the spot."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.roofline.probe import Facts, Series

# Three decode steps of Qwen3-30B-A3B (bfloat16, random weights) on an H200, as `trace.write` kept them.
H200_TRACE = Path(__file__).with_name("h200_decode_vllm_0.26.json.gz")
CPU_TRACE = Path(__file__).with_name("cpu_decode_vllm_0.32.json.gz")
MARK = "execute_context_0(0)_generation_1(1)"
# One layer of a mixture of experts, then what follows the last one: names as FlashAttention, cuBLAS, Triton, Inductor
# and vLLM give them; constructed, with times of the size that was seen on an H200.
LAYER = (
    ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0", 2.0),
    ("nvjet_tst_64x8_64x16_2x1_v_bz_TNT", 9.0),
    ("void vllm::rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*)", 1.5),
    ("void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*)", 1.5),
    ("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16>(__nv_bfloat16 const*)", 1.5),
    ("void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::X> > >", 8.0),
    ("nvjet_tst_64x8_64x16_4x1_v_bz_splitK_TNT", 6.0),
    ("void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16>", 2.0),
    ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_1", 2.0),
    ("nvjet_tst_32x64_64x16_1x1_v_bz_TNT", 3.0),  # the router
    ("void vllm::moe::topkGatingSoftmax<8, 128, 4, 16, 32, int>(float const*)", 2.5),
    ("void vllm::moe::moe_align_block_size_small_batch_expert_kernel<int>", 2.0),
    ("fused_moe_kernel", 14.0),
    ("void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel>", 1.5),
    ("fused_moe_kernel", 13.0),
    ("void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>", 1.5),
)
TAIL = (
    ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_2", 2.0),
    ("nvjet_tst_512x8_64x3_2x1_v_bz_TNT", 150.0),
    ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float> > >", 12.0),
    ("Memcpy DtoH (Device -> Pinned)", 1.5),
)


def facts(
    read: Sequence[float] = (20e9, 20e9),
    bfloat16: float = 2e11,
    float32: float = 0,
    float8: float = 0,
) -> Facts:
    """Limits as a probe would tell them; a rate of zero was not measured."""
    rates = {"bfloat16": bfloat16, "float32": float32, "float8_e4m3fn": float8}
    products = [Series(kind="matmul", name=n, rates=[rate, rate]) for n, rate in rates.items() if rate]
    reading = Series(kind="read", name="amax", rates=list(read))
    return Facts(
        torch="2", device="test", cache_bytes=1 << 25, buffer_bytes=1 << 28, square=64, series=[reading, *products]
    )


def result(point: Point, tpot_ms: Sequence[float], ttft_ms: Sequence[float], **more: Any) -> Result:
    """Return a point's repeats as vLLM's client would tell them."""
    runs = [
        {
            "completed": 4,
            "total_input_tokens": 4 * point.input_tokens,
            "median_tpot_ms": tpot,
            "median_ttft_ms": ttft,
            **more,
        }
        for tpot, ttft in zip(tpot_ms, ttft_ms, strict=True)
    ]
    return Result(point, runs, [], "vllm bench serve")


def gpu_trace(
    path: Path, steps: int = 4, layers: int = 2, gap: float = 1.0, marks: str = "gpu_user_annotation"
) -> Path:
    """Write a constructed trace of a GPU: kernels one after another, `gap` µs apart."""
    events: list[Mapping[str, object]] = []
    now = 1000.0
    for step in range(steps):
        begun = now
        for name, duration in (*LAYER * layers, *TAIL):
            kind = "gpu_memcpy" if name.startswith("Mem") else "kernel"
            events.append({"ph": "X", "cat": kind, "name": name, "pid": 0, "tid": 7, "ts": now, "dur": duration})
            now += duration + gap
        mark = "execute_context_1(38)_generation_0(0)" if step == 0 else MARK
        events.append({"ph": "X", "cat": marks, "name": mark, "ts": begun, "dur": now - begun - gap, "tid": 7})
        events.append({"ph": "X", "cat": "user_annotation", "name": mark, "ts": begun - 900, "dur": 30, "tid": 1})
    events.append({"ph": "M", "name": "process_name", "args": {"name": "python"}})
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode()))
    return path
