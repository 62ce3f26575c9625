"""Samples of a card: cut to the seconds that count, energy by the counter or else from the power."""

import time
from typing import Any

import pytest

from lib.engine.power.sample import Sampler, over
from lib.host.power_card import Reading


def reading(at: float, **told: Any) -> Reading:
    steady = Reading(at, 400.0, 60.0, 2000.0, None, 400.0 * at, ["sw_power_cap"])
    return steady._replace(**told)


READINGS = [reading(float(at)) for at in range(11)]


def test_a_steady_card() -> None:
    found = over(READINGS, 2.5, 7.5)
    assert found.energy_j == pytest.approx(2000)
    assert found.power_w == pytest.approx(400)
    assert (found.temperature_c, found.clock_mhz, found.reasons) == (60, 2000, ["sw_power_cap"])
    assert "counter" in found.energy_by


def test_what_came_before_and_after_does_not_count() -> None:
    noisy = [reading(0.0, temperature_c=99.0, reasons=["hw_slowdown"]), *READINGS[1:10], reading(10.0, power_w=999.0)]
    found = over(noisy, 1, 9)
    assert (found.temperature_c, found.reasons) == (60, ["sw_power_cap"])


def test_without_a_counter_the_power_is_integrated() -> None:
    ramp = [reading(float(at), energy_j=None, power_w=100.0 * at) for at in range(11)]
    found = over(ramp, 2, 4)
    assert found.energy_j == pytest.approx(600)  # the mean of 200 and 400 W over 2 s
    assert found.power_w == pytest.approx(300)
    assert "integrated" in found.energy_by


def test_a_counter_that_fails_once_is_not_believed() -> None:
    gap = [*READINGS[:5], reading(5.0, energy_j=None), *READINGS[6:]]
    assert "integrated" in over(gap, 2, 8).energy_by


def test_a_card_that_tells_nothing_gives_nothing() -> None:
    silent = [
        reading(float(at), power_w=None, temperature_c=None, clock_sm_mhz=None, energy_j=None, reasons=[])
        for at in range(5)
    ]
    assert over(silent, 1, 3) == (None, None, None, None, "", [])


@pytest.mark.parametrize(("begin", "end"), [(3.0, 3.0), (5.0, 4.0), (-1.0, 5.0), (5.0, 11.0)])
def test_a_time_that_was_not_sampled_is_refused(begin: float, end: float) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        over(READINGS, begin, end)


def test_no_readings_cover_nothing() -> None:
    with pytest.raises(ValueError, match="0 readings"):
        over([], 0, 1)


def test_the_sampler_reads_from_beginning_to_end() -> None:
    class Ticking:
        def read(self) -> Reading:
            return reading(time.time())

    begin = time.time()
    with Sampler(Ticking(), period_s=0.01) as sampler:
        time.sleep(0.1)
    assert len(sampler.readings) > 5
    assert sampler.readings[0].time - begin < 0.05
    assert sampler.readings[-1].time - begin >= 0.1
