"""Logs of real starts, and of GPUs constructed from vLLM's sources (files `constructed_*`)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import LOGS

from lib.core import paths
from lib.engine.serve import log

STARTS = sorted(path.stem for path in LOGS.glob("*.txt") if re.match(r"start_|constructed_\d", path.stem))


def text(name: str) -> str:
    return (LOGS / f"{name}.txt").read_text()


def told(name: str) -> log.Readback:
    return log.read(text(name))


def test_what_an_eager_start_tells() -> None:
    seen = told("start_eager")
    assert (seen.version, seen.device, seen.dtype, seen.eager) == ("0.32.0", "cpu", "bfloat16", True)
    assert (seen.kv_tokens, seen.kv_gib, seen.max_concurrency) == (46592, 1.0, 22.75)
    assert (seen.compiled, seen.graphs, seen.kv_layout, seen.runner) == ("NONE", "NONE", "LBHNC", "V1")
    assert (seen.max_num_seqs, seen.max_num_batched_tokens) == (32, 2048)
    assert (seen.chunked_prefill, seen.prefix_caching) == (True, True)
    assert seen.weights_s is not None
    assert 0 < seen.weights_s < 10
    assert seen.init_s is not None
    assert (seen.attention, seen.moe, seen.quantization, seen.speculation) == ("", "", "", ""), "a CPU tells none"


def test_a_compiled_start_is_told_apart() -> None:
    seen = told("start_compiled")
    assert (seen.eager, seen.compiled, seen.graphs) == (False, "DYNAMO_TRACE_ONCE", "NONE")
    assert seen.init_s is not None
    assert seen.init_s > 30, "compiling took its time"


def test_colours_hide_nothing() -> None:
    assert "\x1b[" in text("start_eager")
    assert "\x1b[" not in log.plain(text("start_eager"))


# Name of the log to the fields that it tells; the rest of what each has in common is below.
GPUS: dict[str, dict[str, object]] = {
    "constructed_0_26_moe_bf16_sm90": {
        "version": "0.26.0",
        "attention": "FLASH_ATTN",
        "flash_attention": "3",
        "moe": "TRITON",
        "graphs_captured": ["PIECEWISE", "FULL"],
        "asynchronous": True,
        "kv_tokens": 763040,
        "max_concurrency": 23.29,
    },
    "constructed_0_26_gpt_oss_sm90": {"moe": "TRITON", "quantization": "gpt_oss_mxfp4", "flash_attention": "3"},
    "constructed_0_26_fp8_marlin_sm120": {
        "moe": "MARLIN",
        "linear": ["MarlinFP8ScaledMMLinearKernel"],
        "quantization": "fp8",
    },
    "constructed_0_26_ngram_piecewise_sm120": {
        "attention": "FLASHINFER",
        "graphs": "PIECEWISE",
        "graphs_configured": "FULL_AND_PIECEWISE",
        "speculation": "ngram",
        "speculation_tokens": 4,
        "asynchronous": False,
    },
    "constructed_0_33_moe_bf16_sm120": {
        "version": "0.33.0",
        "attention": "FLASH_ATTN",
        "attention_candidates": ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION"],
        "flash_attention": "2",
        "moe": "FlashInfer CUTLASS",
        "kv_layout": "LBNHC",
        "kv_gib": 29.6,
    },
    "constructed_0_33_gpt_oss_sm120": {"attention": "TRITON_ATTN", "moe": "MARLIN"},
    "constructed_0_33_gpt_oss_flashinfer_sm120": {"attention": "FLASHINFER", "moe": "MARLIN"},
    "constructed_0_33_fp8_kv_fp8_sm120": {
        "attention": "FLASHINFER",
        "moe": "DEEPGEMM",
        "linear": ["DeepGemmFp8BlockScaledMMKernel"],
        "kv_cache_dtype": "fp8",
    },
    "constructed_0_33_eager_triton_sm120": {
        "eager": True,
        "graphs": "NONE",
        "graph_sizes": [],
        "compiled": "NONE",
        "attention": "TRITON_ATTN",
        "moe_untuned": True,
    },
    "constructed_0_33_eagle3_sm90": {
        "speculation": "eagle3",
        "speculation_tokens": 7,
        "speculation_model": "/srv/models/d",
        "asynchronous": None,
    },
}
# Captured on one H200, with vLLM 0.26.0 and random weights.
CAPTURED: dict[str, dict[str, object]] = {
    "h200_0_26_moe_bf16_sleep": {
        "version": "0.26.0",
        "attention": "FLASH_ATTN",
        "flash_attention": "3",
        "moe": "TRITON",
        "compiled": "VLLM_COMPILE",
        "graphs": "FULL_AND_PIECEWISE",
        "graphs_captured": ["PIECEWISE", "FULL"],
        "kv_tokens": 727472,
        "asynchronous": True,
        "max_num_seqs": 1024,
        "max_num_batched_tokens": 32768,
    },
    "h200_0_26_ngram_synthetic": {"speculation": "ngram", "speculation_tokens": 4, "moe": "TRITON"},
    "h200_0_26_gpt_oss_out_of_memory": {
        "moe": "TRITON",
        "attention": "FLASH_ATTN",
        "attention_candidates": ["FLASH_ATTN", "TRITON_ATTN"],
        "quantization": "gpt_oss_mxfp4",
        "kv_tokens": 1174209,
    },
}
COMMON: dict[str, object] = {
    "device": "cuda",
    "dtype": "bfloat16",
    "kv_cache_dtype": "auto",
    "eager": False,
    "compiled": "VLLM_COMPILE",
    "graphs": "FULL_AND_PIECEWISE",
    "graph_sizes": [1, 2, 4, 8, 16, 24, 32, 64, 128, 256, 512],
    "max_num_batched_tokens": 8192,
    "chunked_prefill": True,
    "prefix_caching": True,
    "weights_s": 21.4,
    "init_s": 88.31,
}


@pytest.mark.parametrize("name", GPUS)
def test_what_a_gpu_start_tells(name: str) -> None:
    seen = told(name).model_dump()
    wanted = COMMON | GPUS[name]
    assert {field: seen[field] for field in wanted} == wanted


@pytest.mark.parametrize("name", CAPTURED)
def test_what_a_real_card_told(name: str) -> None:
    seen = told(name).model_dump()
    assert {field: seen[field] for field in CAPTURED[name]} == CAPTURED[name]


def test_every_constructed_start_is_tried_and_names_its_source() -> None:
    assert {name for name in STARTS if name.startswith("constructed")} == set(GPUS)
    for name in GPUS:
        head = " ".join(line for line in text(name).splitlines() if line.startswith("#"))
        assert re.search(r"Constructed from the source of vLLM 0\.\d\d\.0.*Not captured", head)
        assert re.search(r"\w+\.py:\d+", head)


def test_the_words_of_a_downgrade_are_kept() -> None:
    (words,) = told("constructed_0_26_ngram_piecewise_sm120").graph_notes
    assert words.startswith("CUDAGraphMode.FULL_AND_PIECEWISE is not supported with spec-decode for attention backend")
    assert words.endswith("setting cudagraph_mode=PIECEWISE")
    assert "native support for FP8" in told("constructed_0_26_fp8_marlin_sm120").weight_only


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("Using AttentionBackendEnum.FLASHINFER backend.", "attention", "FLASHINFER"),
        ("Using HND KV cache layout for FLASHINFER backend.", "attention", ""),
        ("Using HND KV cache layout for FLASHINFER backend.", "kv_layout", "HND"),
        ("Using TRITON Unquantized MoE LoRA backend", "moe", "TRITON"),
        ("Using 'FLASHINFER_CUTLASS' NvFp4 MoE backend out of potential backends: ['X'].", "moe", "FLASHINFER_CUTLASS"),
        ("Using 'MARLIN' WNA16 MoE backend.", "moe", "MARLIN"),
        ("Using TRITON W4A8 Int8 MoE backend out of potential backends: ['X'].", "moe", "TRITON"),
        ("Using MarlinExperts for MXFP4 MoE", "moe", "MarlinExperts"),
        ("Using MarlinNvFp4LinearKernel for NVFP4 GEMM", "linear", ["MarlinNvFp4LinearKernel"]),
        ("Using MacheteLinearKernel for CompressedTensorsWNA16", "linear", ["MacheteLinearKernel"]),
        ("Using FlashInfer for top-p & top-k sampling.", "linear", []),
        (
            "Pooling models do not support full cudagraphs. Overriding cudagraph_mode to PIECEWISE.",
            "graphs",
            "PIECEWISE",
        ),
        ("Cudagraph mode FULL is not compatible with compilation mode 0.Overriding to NONE.", "graphs", "NONE"),
        ("Skipping CUDA graph capture. To turn on CUDA graph capture, ensure", "graphs", "NONE"),
        ("Async scheduling is disabled because the V1 model runner does not support it with x.", "asynchronous", False),
    ],
)
def test_single_lines_of_the_sources(line: str, field: str, value: object) -> None:
    seen = log.read(f"(EngineCore pid=9) WARNING 11-24 10:00:00 [x.py:12] {line}\n")
    assert seen.model_dump()[field] == value


def test_a_second_kernel_is_not_lost() -> None:
    twice = (
        text("constructed_0_33_moe_bf16_sm120") + "Using TRITON Unquantized MoE backend out of potential backends: []."
    )
    assert log.read(twice).moe_also == ["TRITON"]


def test_what_was_captured_counts_more_than_what_was_planned() -> None:
    lines = text("constructed_0_33_moe_bf16_sm120").splitlines()
    half = "\n".join(line for line in lines if "(FULL)" not in line)
    assert log.read(half).graphs == "PIECEWISE"
    silent = "\n".join(line for line in lines if not line.startswith("Capturing"))
    assert log.read(silent).graphs == "FULL_AND_PIECEWISE", "without progress bars the settings count"


def test_an_empty_log_tells_nothing_and_breaks_nothing() -> None:
    assert log.read("") == log.Readback()
    assert log.stage("") == "starting Python"


def test_stages_come_in_order() -> None:
    lines = text("start_compiled").splitlines(keepends=True)
    seen = [log.stage("".join(lines[:number])) for number in range(1, len(lines) + 1)]
    order = list(dict.fromkeys(seen))
    assert order == [
        "starting Python",
        "reading the model's configuration",
        "starting the engine's process",
        "loading weights",
        "compiling",
        "sizing the KV cache",
        "warming up",
        "opening the port",
    ]


@given(st.text())
def test_any_text_can_be_read(noise: str) -> None:
    log.read(noise)
    log.stage(noise)


@given(st.lists(st.sampled_from(sorted({word for name in GPUS for word in text(name).split(" ")})), max_size=60))
def test_words_of_logs_in_any_order_can_be_read(words: list[str]) -> None:
    log.read(" ".join(words))


@settings(max_examples=200)
@given(st.sampled_from(STARTS), st.integers(0, 30_000), st.integers(0, 30_000))
def test_a_log_cut_anywhere_can_be_read(name: str, start: int, length: int) -> None:
    log.read(text(name)[start : start + length])


@pytest.mark.parametrize(
    "piece", ["Using ", "Using X Fp8 ", "Selected XKernel for ", "cudagraph Overriding to ", "KV cache size: "]
)
def test_a_long_line_takes_no_long_time(piece: str) -> None:
    log.read(piece * 20_000)  # a quadratic pattern needs minutes here


def test_logs_hold_no_place_of_a_machine() -> None:
    for path in LOGS.glob("*.txt"):
        assert str(paths.ROOT) not in path.read_text()
