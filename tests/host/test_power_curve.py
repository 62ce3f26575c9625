"""The cited figures of power limits: as published, dated, and never more than they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import fuzz

from lib.host import power_curve
from lib.host.power_curve import DECODE, TENSOR


@pytest.mark.parametrize(
    ("index", "limit", "loss"),
    # The deltas against the best that the source prints itself.
    [(0, 600, 2.3), (0, 400, 4.5), (0, 350, 13.1), (0, 300, 25.2), (1, 300, 13.2), (2, 300, 18.7), (3, 300, 9.1)],
)
def test_the_figures_give_the_losses_that_their_source_prints(index: int, limit: int, loss: float) -> None:
    assert round(100 * (1 - DECODE[index].share(limit)), 1) == pytest.approx(loss, abs=0.1)


def test_300_w_on_the_tensor_cores_is_55_percent() -> None:
    assert round(TENSOR.share(300), 2) == 0.55


def test_costs_in_words() -> None:
    assert power_curve.cost(300) == (
        "300 W costs at most 25 % of the tokens a second and at most 45 % of tensor-core work such as a long prefill"
    )


@given(st.floats(min_value=300, max_value=600))
@fuzz
def test_between_the_measured_limits_a_share_is_between_their_shares(limit: float) -> None:
    for series in (*DECODE, TENSOR):
        shares = [value / series.best for value in series.values.values()]
        assert min(shares) <= series.share(limit) <= 1
    assert 0 <= power_curve.decode_loss(limit) <= 0.26


def test_every_figure_is_cited_with_date_link_and_conditions() -> None:
    found = power_curve.measurements()
    throughput = [m for m in found if m.name == "tuning.power_limit_throughput"]
    assert len(throughput) == 35
    assert len(found) == 35 + 28
    for m in found:
        assert m.provenance.where == "cited"
        assert m.provenance.engine == ""
        assert f"{m.provenance.time:(%Y-%m-%d)}" in m.source
        assert m.source.startswith("https://github.com/")
        assert m.conditions["power_limit_w"] in range(300, 601, 50)


def test_fewer_watts_give_more_tokens_a_joule() -> None:
    found = {
        m.conditions["power_limit_w"]: m.value
        for m in power_curve.measurements()
        if m.name == "tuning.power_limit_efficiency" and m.conditions["model"] == power_curve.DENSE
        and m.conditions["concurrency"] == 32
    }  # fmt: skip
    assert found[600] == 2.359  # 1351.5 tok/s / 573.0 W
    assert found[300] > found[450] > found[600]
