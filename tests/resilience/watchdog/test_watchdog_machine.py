"""The table decides alone: whatever is seen, in whatever order, nothing flaps, nothing restarts without cause."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lib.core.sections import Watchdog
from lib.resilience.watchdog import machine, table
from lib.resilience.watchdog.machine import Memory, Seen, Step

SETTINGS = Watchdog(
    bad_after=3, good_after=2, ready_s=50, pause_s=4, pause_max_s=40, loop_after=3, rest_s=100, reboot="once_a_day"
)
NEVER = SETTINGS.model_copy(update={"reboot": "never"})
LOOKS = st.lists(
    st.builds(
        Seen,
        process=st.sampled_from(["running", "ended", "off"]),
        running_s=st.floats(0, 100),
        answered=st.booleans(),
        card_lost=st.sampled_from([False] * 9 + [True]),
        forbidden=st.sampled_from([False] * 9 + [True]),
    ),
    max_size=120,
)
RUNNING = Seen("running", 10, answered=True)
HUNG = Seen("running", 10)
ENDED = Seen("ended")


def play(looks: list[Seen], settings: Watchdog = SETTINGS, every: float = 1.0) -> list[Step]:
    memory, steps = Memory(), []
    for number, seen in enumerate(looks):
        steps.append(machine.step(memory, seen, settings, number * every))
        memory = steps[-1].memory
    return steps


def done(steps: list[Step], action: str) -> list[int]:
    return [number for number, step in enumerate(steps) if action in step.do]


def test_every_state_knows_every_event() -> None:
    assert set(table.TABLE) == {(state, event) for state in table.STATES for event in table.EVENTS}
    assert {row.next for row in table.TABLE.values()} == set(table.STATES)
    assert set(table.STATE_WORDS) == set(table.STATES)
    assert set(table.EVENT_WORDS) == set(table.EVENTS)


def test_the_document_shows_every_row_that_changes_something() -> None:
    changing = [key for key, row in table.TABLE.items() if row != table.Row(key[0])]
    assert len(table.rows()) == len(changing) > 20


@given(LOOKS)
def test_starts_are_never_closer_than_the_pause_that_grows(looks: list[Seen]) -> None:
    memory, last, count = Memory(), None, 0
    for number, seen in enumerate(looks):
        step = machine.step(memory, seen, SETTINGS, float(number))
        if "start" in step.do:
            # Between two starts lie at least the way to `waiting` and the pause of that moment.
            assert last is None or number - last >= machine.pause(memory.restarts, SETTINGS)
            last, count = number, count + 1
        memory = step.memory
    assert count <= 1 + len(looks) / SETTINGS.pause_s


@given(LOOKS)
def test_an_engine_is_stopped_only_for_failures_in_a_row_or_a_lost_card(looks: list[Seen]) -> None:
    steps = play(looks)
    for number in done(steps, "stop"):
        before = looks[max(0, number - SETTINGS.bad_after + 1) : number + 1]
        failed = len(before) == SETTINGS.bad_after and not any(seen.answered for seen in before)
        assert looks[number].card_lost or failed


@given(LOOKS)
def test_what_is_off_or_forbidden_is_never_started(looks: list[Seen]) -> None:
    steps = play(looks)
    assert not [number for number in done(steps, "start") if looks[number].forbidden]
    assert not [number for number in done(steps, "start") if number and steps[number - 1].memory.state == "off"]


@given(LOOKS)
def test_alert_and_all_clear_take_turns(looks: list[Seen]) -> None:
    words = [action for step in play(looks) for action in step.do if action in ("alert", "clear")]
    assert words == (["alert", "clear"] * len(words))[: len(words)]


@given(LOOKS)
def test_a_reboot_needs_the_policy_and_comes_once_a_day(looks: list[Seen]) -> None:
    assert len(done(play(looks), "reboot")) <= 1
    assert not done(play(looks, NEVER), "reboot")


@given(st.lists(st.booleans(), max_size=80))
def test_without_enough_failures_in_a_row_nothing_is_done(answers: list[bool]) -> None:
    calm = [answered or number % 3 == 0 for number, answered in enumerate(answers)]  # never three failures in a row
    steps = play([RUNNING, RUNNING, *(Seen("running", 10, answered=one) for one in calm)])
    assert not [step for step in steps if step.do]


def test_a_hung_engine_is_stopped_and_started() -> None:
    steps = play([RUNNING] * 3 + [HUNG] * 3 + [Seen("off")] * 5 + [RUNNING] * 3)
    assert [step.memory.state for step in steps] == [
        *("starting", "well", "well", "doubtful", "doubtful", "waiting"),
        *("waiting", "waiting", "waiting", "starting", "off", "starting", "starting", "well"),
    ]
    assert done(steps, "stop") == [5]
    assert done(steps, "start") == [9]


def test_a_slow_start_is_left_alone_until_it_is_late() -> None:
    steps = play([Seen("running", float(second)) for second in range(52)])
    assert done(steps, "stop") == [50]


def test_a_crash_loop_slows_down_and_tells_once() -> None:
    steps = play([ENDED] * 400)
    starts = done(steps, "start")
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == SETTINGS.pause_max_s + 1
    assert len(done(steps, "alert")) == 1
    assert done(steps, "alert")[0] == starts[SETTINGS.loop_after - 1]


def test_a_rest_ends_the_loop_with_a_word() -> None:
    steps = play([ENDED] * 60 + [RUNNING] * 150)
    assert len(done(steps, "clear")) == 1
    assert steps[-1].memory.restarts == 0


def test_a_lost_card_waits_for_the_owner_unless_the_policy_says_otherwise() -> None:
    gone = [RUNNING, RUNNING, *[Seen("running", 10, card_lost=True)] * 5]
    assert done(play(gone, NEVER), "alert") == [2]
    assert done(play(gone), "reboot") == [2]
    assert play(gone)[-1].memory.state == "lost"


def test_the_pause_of_weeks_does_not_overflow() -> None:
    assert machine.pause(100_000, SETTINGS) == SETTINGS.pause_max_s
