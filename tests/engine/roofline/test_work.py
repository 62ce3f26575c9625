"""What a step must read and compute: published figures, and laws that hold for every model of the catalogue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.models import catalogue, sizes
from lib.engine.roofline import work

# Read by one decode step of one request, GB: derived from each config.json and published with the facts.
READ_GB = {"qwen3-30b-a3b": 6.08, "gpt-oss-120b": 5.00, "gpt-oss-20b": 3.71, "qwen3-32b": 64.0, "smollm2-135m": 0.269}
MODELS = st.sampled_from([name for name, model in catalogue.load().items() if model.task == "chat"])


@pytest.mark.parametrize(("name", "gb"), READ_GB.items())
def test_one_token_reads_what_was_published(name: str, gb: float) -> None:
    step = work.decode(catalogue.get(name), 1, 0)
    assert sum(step.weights.values()) / 1e9 == pytest.approx(gb, abs=0.005 if gb < 10 else 0.05)
    assert step.kv == 0


def test_two_operations_a_parameter() -> None:
    step = work.decode(catalogue.get("qwen3-32b"), 1, 0)
    assert step.operations == pytest.approx(2 * 31.98e9, rel=1e-3)
    assert step.intensity == pytest.approx(1, rel=1e-3)


def test_eight_requests_touch_forty_per_cent_of_the_experts() -> None:
    assert work.touched(catalogue.get("qwen3-30b-a3b").architecture, 8) == pytest.approx(128 * (1 - (15 / 16) ** 8))
    assert work.touched(catalogue.get("qwen3-32b").architecture, 8) == 0


def test_attention_reads_the_cache_of_every_sequence() -> None:
    step = work.decode(catalogue.get("qwen3-32b"), 4, 1000)
    assert step.kv == 4 * 1000 * 262_144
    assert work.decode(catalogue.get("qwen3-32b"), 4, 1000, "fp8").kv == step.kv / 2
    # Two products with 64 heads of width 128, in 64 layers.
    assert step.attention == 4 * 1000 * 64 * 4 * 64 * 128


def test_sliding_layers_read_their_window_at_most() -> None:
    model = catalogue.get("gpt-oss-120b")
    assert work.decode(model, 1, 100).kv == 100 * 2 * 36_864
    assert work.decode(model, 1, 10_000).kv == 10_000 * 36_864 + sizes.kv_window_bytes(model)


def test_a_prompt_attends_to_what_stands_before_each_token() -> None:
    model = catalogue.get("smollm2-135m")
    whole = work.prefill(model, 100)
    assert whole.attention == sum(work.decode(model, 1, context).attention for context in range(1, 101))
    # All weights but the lm_head work for every token, that one for the last token alone.
    head = 49_152 * 576
    assert whole.linear == 2 * (100 * (134_515_008 - head) + head)


@pytest.mark.parametrize("name", ["smollm2-135m", "gpt-oss-20b"])
def test_a_cached_beginning_is_not_computed_again(name: str) -> None:
    model = catalogue.get(name)
    whole, first, rest = work.prefill(model, 600), work.prefill(model, 400), work.prefill(model, 600, cached=400)
    assert first.attention + rest.attention == whole.attention
    assert rest.linear < whole.linear / 2
    assert work.prefill(model, 400, cached=400).linear > 0, "the last token is always computed"


@given(name=MODELS)
def test_all_experts_and_the_embedding_make_the_whole_model(name: str) -> None:
    model = catalogue.get(name)
    arch = model.architecture
    table = arch.hidden * arch.vocab if arch.head == "separate" else 0
    parts = sizes.read_parameters(arch, arch.experts)
    assert sum(parts.values()) + table == sizes.parameters(arch)
    assert sum(sizes.read_bytes(model, arch.experts).values()) + 2 * table == pytest.approx(sizes.weight_bytes(model))


@given(name=MODELS, batch=st.integers(1, 512), context=st.integers(1, 32_768))
def test_a_larger_batch_never_reads_less_and_never_reads_more_than_the_model(
    name: str, batch: int, context: int
) -> None:
    model = catalogue.get(name)
    small, large = work.decode(model, batch, context), work.decode(model, batch + 1, context)
    assert sum(small.weights.values()) <= sum(large.weights.values()) <= sizes.weight_bytes(model)
    assert small.operations < large.operations
    assert small.kv < large.kv
    assert min(small.weights.values()) >= 0
