"""Logs of failed starts, captured, and of GPUs constructed from vLLM's sources: one line and a remedy for each."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import LOGS

from lib.engine.serve import failure


def text(name: str) -> str:
    return (LOGS / f"{name}.txt").read_text()


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
    decisive = failure.decisive(text(name))
    assert line in decisive
    assert "\n" not in decisive
    assert "pid=" not in decisive, "the prefix of the process is no part of the reason"
    assert fix in failure.remedy(text(name), "some-model", "engine.log")


def test_every_recorded_failure_is_tried() -> None:
    recorded = {path.stem for path in LOGS.glob("*.txt")}
    starts = {name for name in recorded if re.match(r"start_|h200_", name) or re.search(r"_sm\d+$", name)}
    assert recorded - starts == set(FAILURES)


def test_colours_do_not_hide_the_reason() -> None:
    plain = text("port_taken").splitlines()
    coloured = "\n".join(f"\x1b[0;36m{line}\x1b[0;0m" for line in plain)
    assert failure.decisive(coloured) == failure.decisive("\n".join(plain))


def test_a_cause_nobody_has_seen_still_names_the_line_and_the_log() -> None:
    unknown = (
        "INFO 11-23 10:00:00 [a.py:1] fine\nTraceback (most recent call last):\nmy.module.OddError: it is Monday\n"
    )
    assert failure.decisive(unknown) == "my.module.OddError: it is Monday"
    assert "runs/x/engine.log" in failure.remedy(unknown, "m", "runs/x/engine.log")


def test_fp8_blocks_that_deepgemm_cannot_lay_out_have_a_way_round() -> None:
    line = "RuntimeError: Assertion error (/src/.deps/deepgemm-src/csrc/layout.hpp:60): Unknown SF transformation"
    assert "VLLM_USE_DEEP_GEMM" in failure.remedy(line, "m", "l")


def test_without_an_exception_the_last_line_counts() -> None:
    assert failure.decisive("(APIServer pid=7) INFO 11-23 10:00:00 [a.py:1] one\n\nKilled\n\n") == "Killed"
    assert failure.decisive("") == ""


def test_a_near_flag_of_this_version_is_offered() -> None:
    usage = "usage: x [--max-num-seqs N] [--speculative-config C]\nx: error: unrecognized arguments: --max-num-seq\n"
    assert "--max-num-seqs" in failure.remedy(usage, "m", "l")


@given(st.text())
def test_any_text_has_a_remedy(noise: str) -> None:
    assert failure.remedy(noise, "some-model", "engine.log")


def test_a_card_that_is_too_small_is_told_with_what_to_lower() -> None:
    """Captured on one H200: gpt-oss-120b with steps of 32,768 tokens."""
    text = (LOGS / "h200_0_26_gpt_oss_out_of_memory.txt").read_text()
    assert failure.decisive(text).startswith("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 4.48 GiB")
    assert "serving.max_num_batched_tokens" in failure.remedy(text, "gpt-oss-120b", "engine.log")
