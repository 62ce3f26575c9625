"""Arithmetic of plans: bandwidths by hand, splits that keep every byte, ceilings that fall as more must be read."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.models import catalogue
from lib.engine.models.sizes import GIB, weight_bytes
from lib.engine.upgrade import plan

MIXTURE, DENSE = catalogue.get("qwen3-235b-a22b"), catalogue.get("qwen3-32b")


def test_bandwidths_by_hand() -> None:
    assert plan.memory_gb_s(2, 3600) == pytest.approx(57.6)
    assert plan.memory_gb_s(12, 6400) == pytest.approx(614.4)
    assert plan.pcie_gb_s(5, 16) == pytest.approx(63.0, abs=0.05)
    assert plan.pcie_gb_s(4, 8) == pytest.approx(15.75, abs=0.01)


def test_an_unknown_generation_is_an_error() -> None:
    with pytest.raises(KeyError):
        plan.pcie_gb_s(2, 16)


@pytest.mark.parametrize(("cards", "shared"), [(1, True), (2, True), (3, False), (4, True), (5, False), (8, True)])
def test_which_numbers_of_cards_share_the_heads(cards: int, shared: bool) -> None:
    assert plan.divides(MIXTURE.architecture, cards) is shared  # 64 heads, 4 KV heads; 8 cards hold copies


def test_a_token_reads_the_experts_that_it_asks_for() -> None:
    # 21.6 B parameters a token, of the published config: 22 B "active" less the embedding table.
    assert plan.token_bytes(MIXTURE) / 2 == pytest.approx(21.6e9, rel=0.005)
    assert plan.token_bytes(DENSE) / 2 == pytest.approx(31.98e9, rel=0.005)


@pytest.mark.parametrize("model", [MIXTURE, DENSE], ids=["mixture", "dense"])
@given(share=st.floats(min_value=0, max_value=1.5))
def test_a_split_loses_no_byte_and_reads_no_more_than_there_is(model: catalogue.Model, share: float) -> None:
    total = weight_bytes(model)
    parts = plan.split(model, share * total)
    assert parts.card + parts.memory == pytest.approx(total)
    assert 0 <= parts.memory_read <= parts.memory + 1
    assert parts.whole_on_card == (parts.memory_read == 0)


def test_a_mixture_reads_a_small_share_of_what_lies_in_memory_and_a_dense_model_all_of_it() -> None:
    mixture, dense = plan.split(MIXTURE, 80 * GIB), plan.split(DENSE, 30 * GIB)
    assert mixture.memory_read / mixture.memory == pytest.approx(8 / 128)  # eight of 128 experts
    assert dense.memory_read == dense.memory


def test_without_a_card_all_is_read_from_memory() -> None:
    embeddings = 2 * MIXTURE.architecture.hidden * MIXTURE.architecture.vocab  # one row of the table is read, not all
    assert plan.split(MIXTURE, 0).memory_read == pytest.approx(plan.token_bytes(MIXTURE) + embeddings, rel=0.001)


def test_ceilings_and_needs_are_each_others_inverse() -> None:
    read = plan.token_bytes(MIXTURE)
    assert plan.ceiling(read, plan.needed_gb_s(read, 20)) == pytest.approx(20)
    assert plan.ceiling(0, 57.6) == inf
    assert plan.channels_needed(57.6, 3600) == pytest.approx(2)


def test_power_is_a_sum() -> None:
    assert plan.drawn_w(3, 450, 170) == 1520
