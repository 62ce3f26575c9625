"""Logs of real starts, good and failed, and of GPUs constructed from vLLM's sources (files `constructed_*`)."""

import re

import pytest
from served import LOGS

from lib.core import paths
from lib.engine.serve import log


def text(name: str) -> str:
    return (LOGS / f"{name}.txt").read_text()


def test_what_an_eager_start_tells() -> None:
    seen = log.read(text("start_eager"))
    assert (seen.version, seen.device, seen.dtype, seen.eager) == ("0.32.0", "cpu", "bfloat16", True)
    assert (seen.kv_tokens, seen.kv_gib, seen.max_concurrency) == (46592, 1.0, 22.75)
    assert seen.weights_s is not None
    assert 0 < seen.weights_s < 10
    assert seen.init_s is not None
    assert (seen.attention, seen.moe, seen.quantization) == ("", "", ""), "a CPU tells none"


def test_a_compiled_start_is_told_apart() -> None:
    seen = log.read(text("start_compiled"))
    assert seen.eager is False
    assert seen.init_s is not None
    assert seen.init_s > 30, "compiling took its time"


def test_what_a_gpu_start_tells() -> None:
    seen = log.read(text("constructed_moe_bf16_sm120"))
    assert (seen.attention, seen.flash_attention, seen.moe) == ("FLASH_ATTN", "2", "FlashInfer CUTLASS")
    assert seen.attention_candidates == ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION"]
    assert (seen.device, seen.eager, seen.kv_tokens, seen.kv_gib) == ("cuda", False, 323408, 29.6)


def test_quoted_and_forced_kernels_are_read() -> None:
    oss, fp8 = log.read(text("constructed_gpt_oss_sm120")), log.read(text("constructed_fp8_sm120"))
    assert (oss.attention, oss.moe, oss.quantization) == ("TRITON_ATTN", "MARLIN", "mxfp4")
    assert (fp8.attention, fp8.moe, fp8.linear) == ("FLASHINFER", "DEEPGEMM", ["CutlassFP8ScaledMMLinearKernel"])
    assert fp8.attention_candidates == [], "the candidates of the experts are not those of attention"


def test_an_empty_log_tells_nothing_and_breaks_nothing() -> None:
    assert log.read("") == log.Readback()
    assert log.stage("") == "starting Python"
    assert log.decisive("") == ""


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


FAILURES = {
    "unknown_flag": ("unrecognized arguments: --max-batch-size", "--max-num-seqs (serving.max_num_seqs)"),
    "wrong_choice": ("argument --kv-cache-dtype: invalid choice: 'fp9'", "correct --kv-cache-dtype"),
    "unknown_parser": ("invalid tool call parser: hermess", "one of the names that the line lists"),
    "unknown_attention": ("Unknown attention backend: 'FLASH_ATTNN'", "one of the names that the line lists"),
    "missing_model": ("Repo id must be in the form", "python -m lib models fetch some-model"),
    "damaged_weights": ("SafetensorError: Error while deserializing header", "python -m lib models fetch some-model"),
    "port_taken": ("[Errno 98] Address already in use", "set serving.port to 0"),
    "context_too_long": ("max_model_len (100000) is greater than", "serving.max_model_len to at most 8192 "),
    "kv_cache_too_small": ("To serve at least one request", "serving.max_model_len to at most 46464,"),
    "kv_cache_too_big": ("less than requested memory for kv", "lower serving.cpu_kv_cache_gib"),
    "constructed_out_of_memory": ("CUDA out of memory", "lower serving.gpu_memory_utilization"),
    "constructed_card_in_use": ("less than desired GPU memory utilization", "nvidia-smi"),
    "constructed_no_room_for_cache": ("No available memory for the cache", "raise serving.gpu_memory_utilization"),
    "constructed_wrong_architecture": ("no kernel image is available", "python -m lib run --only 02"),
}


@pytest.mark.parametrize(("name", "line", "fix"), [(name, *wanted) for name, wanted in FAILURES.items()])
def test_a_failed_start_is_one_line_and_a_remedy(name: str, line: str, fix: str) -> None:
    decisive = log.decisive(text(name))
    assert line in decisive
    assert "\n" not in decisive
    assert "pid=" not in decisive, "the prefix of the process is no part of the reason"
    assert fix in log.remedy(text(name), "some-model", "engine.log")


def test_every_recorded_failure_is_tried() -> None:
    recorded = {path.stem for path in LOGS.glob("*.txt")}
    starts = {name for name in recorded if name.startswith("start_") or re.search(r"_sm\d+$", name)}
    assert recorded - starts == set(FAILURES)


def test_a_cause_nobody_has_seen_still_names_the_line_and_the_log() -> None:
    unknown = (
        "INFO 11-23 10:00:00 [a.py:1] fine\nTraceback (most recent call last):\nmy.module.OddError: it is Monday\n"
    )
    assert log.decisive(unknown) == "my.module.OddError: it is Monday"
    assert "runs/x/engine.log" in log.remedy(unknown, "m", "runs/x/engine.log")


def test_without_an_exception_the_last_line_counts() -> None:
    assert log.decisive("(APIServer pid=7) INFO 11-23 10:00:00 [a.py:1] one\n\nKilled\n\n") == "Killed"


def test_a_near_flag_of_this_version_is_offered() -> None:
    usage = "usage: x [--max-num-seqs N] [--speculative-config C]\nx: error: unrecognized arguments: --max-num-seq\n"
    assert "--max-num-seqs" in log.remedy(usage, "m", "l")


def test_logs_hold_no_place_of_a_machine() -> None:
    for path in LOGS.glob("*.txt"):
        assert str(paths.ROOT) not in path.read_text()
