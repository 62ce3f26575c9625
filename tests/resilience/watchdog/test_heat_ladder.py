"""The ladder for heat: one rung at a time, each given time to work, and no swinging to and fro."""

from hypothesis import given
from hypothesis import strategies as st

from lib.core.sections import Watchdog
from lib.resilience.watchdog import heat
from lib.resilience.watchdog.heat import LEVELS, Heat, HeatStep

SETTINGS = Watchdog(cap_c=80, shed_c=85, stop_c=90, cool_c=70, hot_s=3, calm_s=10)
READINGS = st.lists(st.one_of(st.none(), st.floats(20, 110)), max_size=150)


def climb(readings: list[float | None]) -> list[HeatStep]:
    state, steps = Heat(), []
    for second, temperature in enumerate(readings):
        steps.append(heat.step(state, temperature, SETTINGS, float(second)))
        state = steps[-1].heat
    return steps


def test_every_level_knows_every_trend() -> None:
    assert set(heat.LADDER) == {(level, trend) for level in heat.LEVELS for trend in heat.TRENDS}


@given(READINGS)
def test_one_rung_at_a_time_and_each_has_its_time(readings: list[float | None]) -> None:
    levels = [LEVELS.index(step.heat.level) for step in climb(readings)]
    last, before = -1, 0
    for second, level in enumerate(levels):
        assert abs(level - before) <= 1
        if level != before:
            needed = SETTINGS.hot_s if level > before else SETTINGS.calm_s
            assert second - last >= needed
            last = second
        before = level


@given(st.lists(st.floats(71, 79), max_size=100))
def test_between_cool_and_hot_nothing_moves(readings: list[float]) -> None:
    assert not [step for step in climb([*readings]) if step.do]


def test_heat_that_comes_and_goes_within_seconds_moves_nothing() -> None:
    assert not [step for step in climb([95.0, 95.0, 60.0] * 40) if step.do]


def test_without_a_reading_all_stays() -> None:
    assert climb([95.0] * 4 + [None] * 50)[-1].heat.level == "capped"


def test_all_the_way_up_and_back_in_order() -> None:
    done = [action for step in climb([95.0] * 20 + [60.0] * 50) for action in step.do]
    assert done == ["cap", "shed", "stop", "start", "admit", "uncap"]


def test_the_document_shows_every_level() -> None:
    assert [row["At"] for row in heat.rows(SETTINGS)] == list(LEVELS)
