"""Prices by hand, and the laws that arithmetic of prices keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.engine.power import price

ABOVE_ZERO = st.floats(min_value=0.01, max_value=1e6)


def test_energy_by_hand() -> None:
    # 450 W at 1000 tok/s: a million tokens take 1000 s, 0.125 kWh, at 4 a kWh one half.
    assert price.energy(450, 1000, 4) == pytest.approx(0.5)
    assert price.energy(450, 1000, 0) == 0


def test_parts_by_hand() -> None:
    assert price.parts(price.SECONDS_A_YEAR, 1, 1) == pytest.approx(1e6)
    assert price.parts(10_000, 4, 1000) == pytest.approx(0.0792, abs=0.0001)


@pytest.mark.parametrize(("begins", "ends", "hours"), [(22, 9, 11), (0, 7, 7), (9, 22, 13), (5, 5, 24), (23, 0, 1)])
def test_hours_of_the_night(begins: int, ends: int, hours: int) -> None:
    assert price.night_hours(begins, ends) == hours


def test_a_day_by_hand() -> None:
    assert price.day(1000, 5, 2, 10) == 14 * 5 + 10 * 2
    assert price.day(500, 4, 4, 11) == pytest.approx(12 * 4)


@pytest.mark.parametrize("rate", [0, -1])
def test_without_tokens_there_is_no_price(rate: float) -> None:
    with pytest.raises(ValueError, match="tokens a second"):
        price.energy(450, rate, 4)
    with pytest.raises(ValueError, match="tokens a second"):
        price.parts(1, 1, rate)
    with pytest.raises(ValueError, match="years"):
        price.parts(1, rate, 1)


@given(power=ABOVE_ZERO, rate=ABOVE_ZERO, tariff=ABOVE_ZERO)
def test_twice_as_fast_costs_half_and_twice_the_power_double(power: float, rate: float, tariff: float) -> None:
    once = price.energy(power, rate, tariff)
    assert price.energy(power, 2 * rate, tariff) == pytest.approx(once / 2)
    assert price.energy(2 * power, rate, tariff) == pytest.approx(2 * once)
