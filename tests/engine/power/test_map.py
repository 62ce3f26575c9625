"""The power map: what is measured, what is recorded, and which limit follows."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lib.core.evidence import Decision, Measurement, Scalar
from lib.core.sections import Gpu, PowerMap
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result
from lib.engine.power import map as power_map
from lib.engine.power.map import Cell, Phase
from lib.engine.power.sample import Draw
from lib.host import power_curve

CARD = Gpu(name="RTX PRO 6000", memory_mib=97887, temperature_warn_c=83)
WANTED = PowerMap(may_change_limit=True, limits_w=[600, 450, 300], settle_s=0)


def cell(limit: int, phase: Phase, rate: float, reasons: Sequence[str] = ("sw_power_cap",), hot: float = 70) -> Cell:
    draw = Draw(limit * 0.99, hot, 2000, limit * 0.99 * 10, "the card's energy counter", list(reasons))
    return Cell(limit, phase, rate, int(10 * rate), draw, Result(Point(1, 1, 2), [], [], ""))


def published(hot: Callable[[int], float] = lambda _: 70, **fields: float) -> list[Measurement]:
    """The map as the published curves give it: decode by vLLM, prefill by the tensor cores alone."""
    cells = []
    for limit in (600, 500, 450, 400, 350, 300):
        for noise in (0.999, 1.001):
            cells.append(cell(limit, "decode", 1000 * power_curve.DECODE[0].share(limit) * noise, hot=hot(limit)))
            cells.append(cell(limit, "prefill", 9000 * power_curve.DECODE[2].share(limit) * noise, hot=hot(limit)))
    found = power_map.measurements(cells)
    return found + power_map.in_a_warm_room(found, WANTED.model_copy(update=fields))


def decide(found: list[Measurement], **fields: float) -> Decision:
    return power_map.decide(found, WANTED.model_copy(update=fields), CARD)


def test_every_limit_and_phase_has_its_figures() -> None:
    found = power_map.measurements([cell(450, "decode", rate) for rate in (990.0, 1010.0)])
    by_name = {m.name: m for m in found}
    assert set(by_name) == {
        "power.output_throughput", "power.tokens_per_joule", "power.draw_w", "power.clock_mhz", "power.temperature_c",
    }  # fmt: skip
    speed, energy = by_name["power.output_throughput"], by_name["power.tokens_per_joule"]
    expected: dict[str, Scalar] = {"limit_w": 450, "phase": "decode"}
    assert speed.conditions == expected
    assert speed.value == pytest.approx(1000, rel=1e-3)
    assert speed.interval is not None
    assert energy.value == pytest.approx(1000 / (450 * 0.99), rel=1e-3)
    assert "energy counter" in energy.method


def test_what_the_card_does_not_tell_is_left_out() -> None:
    mute = cell(450, "prefill", 5000.0)._replace(draw=Draw(None, None, None, None, "", []))
    assert [m.name for m in power_map.measurements([mute, mute])] == ["power.prefill_throughput"]


def test_the_smallest_limit_that_costs_at_most_5_percent() -> None:
    decision = decide(published())
    assert decision.choice == "400 W"  # 1320.2 of 1382.1 and 2370.8 of 2472.8 tok/s: 4.5 and 4.1 % less
    assert "4.5% of the speed" in decision.reason
    assert "450 to 500 W" in decision.reason
    assert power_curve.MMBT in decision.reason
    assert "set power.room_now_c" in decision.reason
    assert decide(published(), loss=0.2).choice == "350 W"
    assert decide(published(), loss=0.001).choice == "450 W", "none holds: the phases peak at different limits"


def test_the_phase_that_suffers_more_decides() -> None:
    cells = [cell(600, "decode", 100), cell(600, "prefill", 100), cell(300, "decode", 99), cell(300, "prefill", 60)]
    assert decide(power_map.measurements(cells * 2)).choice == "600 W"


def test_a_warm_room_is_derived_and_said_to_be() -> None:
    found = published(room_now_c=22)
    warm = [m for m in found if m.name == "power.temperature_warm_c"]
    assert {m.value for m in warm} == {83}
    assert all(m.method.startswith("derived: measured in a room of 22 °C") for m in warm)
    assert not [m for m in published() if m.name == "power.temperature_warm_c"]


def test_a_cool_card_has_headroom() -> None:
    decision = decide(published(room_now_c=30), room_now_c=30)
    assert decision.choice == "400 W"
    assert "it would reach 75 °C (derived), 8 °C below the 83 °C" in decision.reason


def test_a_hot_card_gets_the_fastest_limit_that_stays_cool() -> None:
    found = published(hot=lambda limit: limit / 5, room_now_c=30)
    decision = decide(found, room_now_c=30)
    assert decision.choice == "350 W"
    assert "that speed alone asks for is too hot" in decision.reason


def test_when_every_limit_is_too_hot_cooling_comes_first() -> None:
    decision = decide(published(hot=lambda _: 82, room_now_c=30), room_now_c=30)
    assert decision.choice.endswith("and better cooling")
    assert "Every measured limit is too hot" in decision.reason


def test_a_power_cap_is_no_trouble_and_heat_is() -> None:
    assert power_map.throttling([cell(450, "decode", 1)]).status == "pass"
    hot = power_map.throttling([cell(450, "decode", 1), cell(600, "decode", 1, ["hw_thermal_slowdown"])])
    assert (hot.status, hot.observed) == ("warn", "hw_thermal_slowdown at 600 W; sw_power_cap at 450 W")
    assert power_map.throttling([cell(600, "decode", 1, [])]).observed == "no reason at any limit"


def result(point: Point, folder: Path, seconds: float) -> Result:
    """What vLLM's client leaves behind at the end of a run."""
    requests = point.concurrency * 2
    told = {
        "duration": seconds,
        "total_input_tokens": requests * point.input_tokens,
        "total_output_tokens": requests * point.output_tokens,
    }
    file = folder / f"{point.label}.json"
    file.write_text(json.dumps(told))
    os.utime(file, (time.time(), time.time()))
    return Result(point, [told], [file], "")


def test_the_points_of_both_phases() -> None:
    points = power_map.phases(WANTED)
    assert points["prefill"] == Point(32, 2048, 2)
    assert points["decode"] == Point(32, 32, 512)
