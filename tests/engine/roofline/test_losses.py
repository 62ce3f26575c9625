"""Where a decode step's time goes: kernels by name and by place, idle time, and what is lost beyond the least."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rooflines import CPU_TRACE, H200_TRACE, LAYER, MARK, TAIL, gpu_trace

from lib.core.errors import RunbookError
from lib.engine.models import catalogue
from lib.engine.roofline import classes, losses, trace, work

MIXTURE = work.decode(catalogue.get("qwen3-30b-a3b"), 1, 50)
SMALL = work.decode(catalogue.get("smollm2-135m"), 1, 50)

NAMES = {
    # CUDA kernels, as vLLM's libraries name them.
    "fused_moe_kernel": classes.EXPERTS,
    "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x256x128x1_swiglu": classes.EXPERTS,
    "void marlin_moe_wna16::Marlin<__nv_bfloat16, 1125899906843648l>": classes.EXPERTS,
    "void cutlass::device_kernel<GemmUniversal<cutlass::gemm::GroupProblemShape<>>": classes.EXPERTS,
    "void vllm::moe::topkGatingSoftmax<8, 128, 4, 16, 32, int>": classes.ROUTING,
    "_topk_forward": classes.ROUTING,
    "void vllm::moe::count_and_sort_expert_tokens_kernel<int>": classes.ROUTING,
    "void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>": classes.ROUTING,
    "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128>>": classes.ATTENTION,
    "void cutlass::device_kernel<flash::FlashAttnFwdSm90<x>>": classes.ATTENTION,
    "void flash::prepare_varlen_num_blocks_kernel<1>": classes.ATTENTION,
    "void flashinfer::BatchDecodeWithPagedKVCacheKernel<x>": classes.ATTENTION,
    "kernel_unified_attention_2d": classes.ATTENTION,
    "reduce_segments": classes.ATTENTION,
    "void vllm::reshape_and_cache_flash_kernel<x>": classes.KV_WRITE,
    "nvjet_tst_64x8_64x16_4x1_v_bz_splitK_TNT": classes.DENSE,
    "void cublasLt::splitKreduce_kernel<32, 16>": classes.DENSE,
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64": classes.DENSE,
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f": classes.DENSE,
    "void gemv2T_kernel_val<int, __nv_bfloat16>": classes.DENSE,
    "void marlin::Marlin<__nv_bfloat16>": classes.DENSE,
    "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int>>>": classes.DENSE,
    "void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>": classes.NORMS,
    "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0": classes.NORMS,
    "triton_poi_fused_add_mul_1": classes.ELEMENTWISE,
    "void vllm::act_and_mul_kernel<c10::BFloat16>": classes.ELEMENTWISE,
    "void vllm::rotary_embedding_kernel<c10::BFloat16, true>": classes.ELEMENTWISE,
    "void at::native::reduce_kernel<512, 1, ReduceOp<float, at::native::ArgMaxOps<float>>>": classes.SAMPLING,
    "void at::native::(anonymous namespace)::cunn_SoftMaxForward<log_softmax>": classes.SAMPLING,
    "void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024>": classes.SAMPLING,
    "Memcpy DtoH (Device -> Pinned)": classes.COPIES,
    "Memset (Device)": classes.COPIES,
    "void at::native::elementwise_kernel<128, 2, at::native::direct_copy_kernel_cuda>": classes.COPIES,
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>>": classes.COPIES,
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>": classes.ELEMENTWISE,
    # Operators on a CPU.
    "_C::onednn_mm": classes.DENSE,
    "aten::linear": classes.DENSE,
    "vllm::unified_attention_with_output": classes.ATTENTION,
    "_C::cpu_attention_with_kv_cache": classes.ATTENTION,
    "vllm::unified_kv_cache_update": classes.KV_WRITE,
    "_C::cpu_attn_reshape_and_cache": classes.KV_WRITE,
    "_C::compute_slot_mapping_kernel_impl": classes.KV_WRITE,
    "_C::rms_norm": classes.NORMS,
    "aten::rsqrt": classes.NORMS,
    "_C::greedy_argmax": classes.SAMPLING,
    "aten::to": classes.COPIES,
    "aten::silu": classes.ELEMENTWISE,
    "aten::slice": classes.OTHER,
    "somebody_elses_kernel": classes.OTHER,
}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_names(name: str, kind: str) -> None:
    assert classes.named(name) == kind


def test_the_router_and_the_head_are_known_by_their_place() -> None:
    names = [name for name, _ in (*LAYER * 2, *TAIL)]
    kinds = classes.in_order(names)
    assert kinds.count(classes.HEAD) == 1
    assert kinds[names.index("nvjet_tst_512x8_64x3_2x1_v_bz_TNT")] == classes.HEAD
    assert kinds[names.index("nvjet_tst_32x64_64x16_1x1_v_bz_TNT")] == classes.ROUTING
    assert kinds.count(classes.DENSE) == 6, "qkv, o and its reduction, in two layers"


def test_a_head_of_two_kernels_is_one_product() -> None:
    names = ["nvjet_a", "triton_red_fused_0", "nvjet_splitK", "void cublasLt::splitKreduce_kernel<1>", "argmax"]
    assert classes.in_order(names)[2:4] == [classes.HEAD] * 2


@given(st.lists(st.sampled_from([*NAMES, ""])))
def test_any_order_of_kernels_has_classes(names: list[str]) -> None:
    kinds = classes.in_order(names)
    assert len(kinds) == len(names)
    assert kinds.count(classes.HEAD) > 0 or classes.DENSE not in kinds


def test_a_gpu_trace(tmp_path: Path) -> None:
    seen = trace.read(gpu_trace(tmp_path / "rank0.pt.trace.json.gz"))
    assert (seen.source, len(seen.steps)) == ("gpu", 2), "not the prompt's step, and not the last, which has no end"
    (step, _) = seen.steps
    kernels = 2 * len(LAYER) + len(TAIL)
    assert len(step.events) == kernels
    assert step.end - step.start - step.busy == pytest.approx(kernels * 1.0), "a gap after each kernel"


def test_what_is_lost_is_beyond_the_least(tmp_path: Path) -> None:
    seen = trace.read(gpu_trace(tmp_path / "t.json.gz"))
    found = {loss.kind: loss for loss in losses.losses(seen, MIXTURE, 4.2e12)}
    assert found[classes.EXPERTS].time == pytest.approx(2 * 27 / 1000)
    assert found[classes.IDLE].time == pytest.approx((2 * len(LAYER) + len(TAIL)) / 1000)
    head = found[classes.HEAD]
    assert head.least == pytest.approx(1000 * 2048 * 151_936 * 2 / 4.2e12)
    assert head.lost == pytest.approx(0.150 - head.least), "at its limit the head loses next to nothing"
    assert found[classes.ROUTING].lost == found[classes.ROUTING].time
    whole = sum(loss.time for loss in found.values())
    assert whole == pytest.approx((seen.steps[0].end - seen.steps[0].start) / 1000), "the parts make the step"


def test_the_records_of_a_gpu_trace(tmp_path: Path) -> None:
    seen = trace.read(gpu_trace(tmp_path / "t.json.gz", gap=20))
    found = losses.losses(seen, MIXTURE, 4.2e12)
    step, *records = losses.measurements(seen, found, plain_ms=4.0)
    assert (step.name, step.unit, step.baseline) == ("roofline.step_ms", "ms", 4.0)
    assert next(m.conditions["class"] for m in records if m.name == "roofline.loss") == classes.IDLE
    assert sum(m.value for m in records if m.name == "roofline.step_part") == pytest.approx(100, abs=0.1)
    check = losses.check(seen, found)
    assert check.status == "pass"
    assert check.observed.count(" ms (") == 3
    kernels = json.loads(losses.table(seen))["kernels"]
    assert {"class": "expert GEMMs", "name": "fused_moe_kernel", "runs_a_step": 4.0, "ms_a_step": 0.054} in kernels


def test_kernels_that_nobody_knows_are_a_warning(tmp_path: Path) -> None:
    path = gpu_trace(tmp_path / "t.json.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"fused_moe_kernel", b"kernel_of_2027")))
    seen = trace.read(path)
    check = losses.check(seen, losses.losses(seen, MIXTURE, 4.2e12))
    assert check.status == "warn"
    assert "kernel_of_2027" in check.fix


def test_without_marks_on_the_gpu_those_of_the_processor_serve(tmp_path: Path) -> None:
    seen = trace.read(gpu_trace(tmp_path / "t.json.gz", marks="user_annotation"))
    assert seen.source == "gpu"
    assert seen.steps


def test_streams_that_overlap_are_busy_once() -> None:
    step = trace.Step(0, 100, [trace.Event("a", 0, 50), trace.Event("b", 25, 50), trace.Event("c", 90, 30)])
    assert step.busy == 85


def test_a_real_trace_of_the_cpu_engine() -> None:
    """Three decode steps of SmolLM2-135M, captured with vLLM 0.32.0 on two CPUs."""
    seen = trace.read(CPU_TRACE)
    assert (seen.source, len(seen.steps)) == ("cpu", 3)
    found = {loss.kind: loss for loss in losses.losses(seen, SMALL, 25e9)}
    kinds = classes.in_order([event.name for event in seen.steps[0].events])
    assert kinds.count(classes.DENSE) == 4 * 30, "four products in each of 30 layers"
    assert kinds.count(classes.HEAD) == 1
    assert kinds.count(classes.ATTENTION) >= 30
    assert found[classes.HEAD].time > 1
    assert found[classes.DENSE].time > found[classes.HEAD].time > found[classes.SAMPLING].time
    assert found[classes.IDLE].time > 1, "Python between the operators"
    assert losses.check(seen, list(found.values())).status == "pass"


def test_operators_inside_others_are_not_counted_twice(tmp_path: Path) -> None:
    seen = trace.read(CPU_TRACE)
    for step in seen.steps:
        assert sum(event.duration for event in step.events) == pytest.approx(step.busy, abs=0.1)


def test_a_compiled_region_is_looked_into(tmp_path: Path) -> None:
    operators = [("Torch-Compiled Region: 0/0", 10, 80), ("_C::onednn_mm", 20, 30), ("aten::item", 21, 1)]
    events = [
        {"ph": "X", "cat": "cpu_op", "name": n, "tid": 1, "ts": at + begun, "dur": d}
        for begun in (0, 100)
        for n, at, d in operators
    ]
    events += [{"ph": "X", "cat": "user_annotation", "name": MARK, "tid": 1, "ts": t, "dur": 90} for t in (0, 100, 200)]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"traceEvents": events}))
    assert [[event.name for event in step.events] for step in trace.read(path).steps] == [["_C::onednn_mm"]] * 2


@pytest.mark.parametrize("source", ["cpu", "gpu"])
def test_what_is_kept_of_a_trace_reads_the_same(tmp_path: Path, source: str) -> None:
    seen = trace.read(CPU_TRACE if source == "cpu" else gpu_trace(tmp_path / "t.json.gz"))
    again = trace.read(trace.write(seen, tmp_path / "again.json.gz"))
    assert again.source == seen.source
    assert [len(step.events) for step in again.steps] == [len(step.events) for step in seen.steps]
    assert [step.busy for step in again.steps] == pytest.approx([step.busy for step in seen.steps], abs=0.1)


def test_steps_with_a_prompt_between_them_stay_apart(tmp_path: Path) -> None:
    steps = [trace.Step(0, 10, [trace.Event("a", 1, 5)]), trace.Step(30, 40, [trace.Event("b", 31, 5)])]
    again = trace.read(trace.write(trace.Trace("gpu", steps), tmp_path / "t.json.gz"))
    assert [(step.start, step.end) for step in again.steps] == [(0, 10), (30, 40)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: gzip.compress(b"[1, 2]"),
        lambda data: gzip.compress(b'{"traceEvents": [3]}'),
        lambda data: gzip.compress(b'{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "a"}]}'),
        lambda data: gzip.decompress(data),
    ],
)
def test_a_damaged_trace_is_told(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "rank0.pt.trace.json.gz"
    assert callable(damage)
    path.write_bytes(damage(CPU_TRACE.read_bytes()))
    with pytest.raises(RunbookError, match="not a trace"):
        trace.read(path)


def test_a_trace_without_decode_steps_is_told(tmp_path: Path) -> None:
    path = gpu_trace(tmp_path / "t.json.gz", steps=2)
    with pytest.raises(RunbookError, match="no two decode steps"):
        trace.read(path)


def test_every_kernel_of_a_real_card_has_a_name_and_its_class() -> None:
    seen = trace.read(H200_TRACE)
    assert (seen.source, len(seen.steps)) == ("gpu", 3)
    assert losses.unnamed(seen.steps) == []
    kinds = Counter(classes.in_order([event.name for event in seen.steps[0].events]))
    layers = 48
    assert kinds[classes.EXPERTS] == 2 * layers  # gate and up are one product, down is the other
    assert kinds[classes.HEAD] == 1
    assert kinds[classes.KV_WRITE] == layers + 1  # and once a step, the places where it writes
    assert kinds[classes.ROUTING] >= 3 * layers  # the router, the choice of experts, the sum of their answers
