"""Sizes follow from architectures: published parameter totals to the last digit, weights and KV cache as published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, sizes

# Totals of the publications (Hugging Face counts them from the tensors).
PARAMETERS = {
    "smollm2-135m": 134_515_008,
    "smollm2-135m-front": 106_194_240,
    "minilm-l6": 22_713_216,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-coder-30b-a3b": 30_532_122_624,
    "qwen3-32b": 32_762_123_264,
    "qwen3-235b-a22b": 235_093_634_560,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "qwen3-embedding-0.6b": 595_776_512,
    "qwen3-embedding-4b": 4_021_774_336,
    "qwen3-embedding-8b": 7_567_295_488,
}
WEIGHTS_GIB = {
    "qwen3-30b-a3b": 56.87,
    "qwen3-30b-a3b-fp8": 29.03,
    "qwen3-32b": 61.02,
    "qwen3-32b-fp8": 31.97,
    "qwen3-235b-a22b": 437.90,
    "qwen3-235b-a22b-fp8": 220.18,
    "gpt-oss-120b": 60.77,
    "gpt-oss-20b": 12.82,
    "qwen3-embedding-4b": 7.49,
}
KV = {
    "smollm2-135m": 23_040,
    "minilm-l6": 0,
    "qwen3-30b-a3b": 98_304,
    "qwen3-32b": 262_144,
    "qwen3-235b-a22b": 192_512,
    "gpt-oss-120b": 36_864,
    "gpt-oss-20b": 24_576,
    "qwen3-embedding-8b": 147_456,
}


@pytest.mark.parametrize(("name", "total"), PARAMETERS.items())
def test_parameters_are_exact(name: str, total: int) -> None:
    assert sizes.parameters(catalogue.get(name).architecture) == total


@pytest.mark.parametrize(("name", "gib"), WEIGHTS_GIB.items())
def test_weights(name: str, gib: float) -> None:
    assert sizes.weight_bytes(catalogue.get(name)) / sizes.GIB == pytest.approx(gib, abs=0.006)


def test_float32_takes_four_bytes() -> None:
    assert sizes.weight_bytes(catalogue.get("minilm-l6")) == 4 * PARAMETERS["minilm-l6"]


@pytest.mark.parametrize(("name", "size"), KV.items())
def test_kv_cache_a_token(name: str, size: int) -> None:
    assert sizes.kv_token_bytes(catalogue.get(name)) == size


def test_fp8_halves_the_kv_cache() -> None:
    assert sizes.kv_token_bytes(catalogue.get("qwen3-32b"), "fp8") == 131_072


def test_sliding_layers_hold_their_window_whatever_the_length() -> None:
    assert sizes.kv_window_bytes(catalogue.get("gpt-oss-120b")) == int(4.5 * (1 << 20))
    assert sizes.kv_window_bytes(catalogue.get("qwen3-32b")) == 0


def test_an_unknown_cache_type_is_refused() -> None:
    with pytest.raises(RunbookError, match="nvfp4"):
        sizes.kv_token_bytes(catalogue.get("qwen3-32b"), "nvfp4")


@given(name=st.sampled_from(sorted(catalogue.load())))
def test_a_smaller_format_never_takes_more(name: str) -> None:
    model = catalogue.get(name)
    small = [sizes.weight_bytes(model.model_copy(update={"format": f})) for f in ("mxfp4", "fp8_block", "bfloat16")]
    assert 0 < small[1] < small[2]
    assert small[0] < small[2]
