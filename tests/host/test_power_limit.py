"""A borrowed power limit comes back: after the work, an error, ctrl-C, kill -9 of the borrower and of its guard."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import power_stand_in
import pynvml
import pytest
from typer.testing import CliRunner

from lib import cli
from lib.core.errors import RefusedError
from lib.host import power_card, power_curve, power_guard, power_limit
from lib.host.power_card import Card, LimitError
from lib.host.power_limit import Borrowed

# A borrower in a process of its own: changes the limit, says so, and stays.
BORROWER = """
import sys, time
from pathlib import Path
import power_stand_in
from lib.host.power_card import Card
from lib.host.power_limit import Borrowed
with Borrowed(Card(library=power_stand_in), Path(sys.argv[1])) as limit:
    limit.set(400)
    print("changed", flush=True)
    time.sleep(60)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh card of 600 W; returns the place of the note that remembers its limit."""
    place = tmp_path / "card.json"
    place.write_text(json.dumps(power_stand_in.FRESH))
    monkeypatch.setenv("STAND_IN_CARD", str(place))
    monkeypatch.setattr(power_card, "HOLDS_WITHIN_S", 0.2)
    return tmp_path / "note.json"


@pytest.fixture
def borrower(note: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(code: str = BORROWER) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(note)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "changed\n", process.communicate()
        assert limit_w() == 400
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def card() -> Card:
    return Card(library=power_stand_in)


def limit_w() -> float:
    return float(power_stand_in.card()["limit_mw"]) / 1000


def change(**fields: Any) -> None:
    with power_stand_in.changed() as state:
        state.update(fields)


def sets_w() -> list[float]:
    return [limit / 1000 for limit in power_stand_in.card()["sets"]]


def wait_for(truth: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not truth() and time.monotonic() < deadline:
        time.sleep(0.05)
    return truth()


def guard_of(process: "subprocess.Popen[str]") -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (guard,) = (int(pid) for pid in children if b"power_guard" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return guard


def test_a_limit_is_changed_and_given_back(note: Path) -> None:
    with Borrowed(card(), note) as limit:
        assert limit.original_w == 600
        assert json.loads(note.read_text())["limit_mw"] == 600_000
        for wanted in (450, 300):
            limit.set(wanted)
            assert limit_w() == wanted
        assert power_limit.leftover(note) == 600
    assert limit_w() == 600
    assert not note.exists()
    assert sets_w() == [600, 450, 300, 600]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_error_and_an_interrupt_give_it_back(note: Path, error: BaseException) -> None:
    def work() -> None:
        with Borrowed(card(), note) as limit:
            limit.set(300)
            raise error

    with pytest.raises(type(error)):
        work()
    assert limit_w() == 600
    assert not note.exists()


def test_a_limit_that_is_not_the_default_is_given_back_to_the_milliwatt(note: Path) -> None:
    change(limit_mw=452_345)
    with Borrowed(card(), note) as limit:
        limit.set(300)
    assert power_stand_in.card()["limit_mw"] == 452_345


def test_without_permission_nothing_is_changed_and_nothing_left(note: Path) -> None:
    change(refuse=power_stand_in.NVML_ERROR_NO_PERMISSION)
    with (
        pytest.raises(LimitError, match="600 W was refused: Insufficient Permissions") as caught,
        Borrowed(card(), note),
    ):
        pytest.fail("must not be entered")
    assert caught.value.fix.splitlines()[1].startswith("sudo ")
    assert (limit_w(), sets_w()) == (600, [])
    assert not note.exists()


def test_a_guard_that_does_not_start_leaves_nothing(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_guard, "__file__", str(note.with_name("missing.py")))
    with pytest.raises(LimitError, match="guard of the power limit did not start"), Borrowed(card(), note):
        pytest.fail("must not be entered")
    assert limit_w() == 600
    assert not note.exists()


def test_a_limit_that_another_limit_undercuts_is_an_error(note: Path) -> None:
    with Borrowed(card(), note) as limit:
        change(stuck=True)
        with pytest.raises(LimitError, match="450 W was set and 600 W are in force"):
            limit.set(450)
    assert not note.exists()


def test_a_limit_out_of_range_is_refused_by_the_card(note: Path) -> None:
    assert card().range_w == (150, 600)
    assert card().impossible([100, 150, 600, 601]) == [100, 601]
    with pytest.raises(LimitError, match="700 W was refused"), Borrowed(card(), note) as limit:
        limit.set(700)
    assert limit_w() == 600


def test_only_one_may_change_it(note: Path) -> None:
    with Borrowed(card(), note):
        with pytest.raises(RefusedError, match="measured by another run"), Borrowed(card(), note):
            pytest.fail("must not be entered")
        with pytest.raises(RefusedError):
            power_limit.restore(note, power_stand_in)


def test_ctrl_c_while_it_is_given_back_leaves_it_to_the_guard(note: Path, borrower: Start) -> None:
    slow = BORROWER.replace("time.sleep(60)", "").replace(
        "with Borrowed", "power_stand_in.nvmlDeviceGetHandleByUUID = lambda _: time.sleep(60)\nwith Borrowed"
    )
    process = borrower(slow)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert wait_for(lambda: not note.exists())
    assert limit_w() == 600


def test_kill_of_the_borrower_the_guard_gives_it_back(note: Path, borrower: Start) -> None:
    process = borrower()
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for(lambda: not note.exists()), "the guard did not restore"
    assert limit_w() == 600
    assert sets_w() == [600, 400, 600]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_other_ends_of_the_borrower_give_it_back(note: Path, borrower: Start, number: signal.Signals) -> None:
    process = borrower()
    guard = guard_of(process)
    os.kill(guard, number)  # a terminal tells the whole group; the guard stays for its work
    os.kill(process.pid, number)
    assert wait_for(lambda: not note.exists())
    assert limit_w() == 600


def test_kill_of_both_the_next_start_gives_it_back(note: Path, borrower: Start) -> None:
    process = borrower()
    for pid in (guard_of(process), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert limit_w() == 400
    assert power_limit.leftover(note) == 600
    assert power_limit.restore(note, power_stand_in) == 600
    assert limit_w() == 600
    assert power_limit.restore(note, power_stand_in) is None


def test_a_new_borrower_restores_first_so_that_the_true_limit_is_remembered(note: Path, borrower: Start) -> None:
    process = borrower()
    for pid in (guard_of(process), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    with Borrowed(card(), note) as limit:
        assert limit.original_w == 600


def test_a_late_guard_leaves_the_next_borrower_alone(note: Path) -> None:
    text = json.dumps({"uuid": power_stand_in.UUID, "limit_mw": 600_000, "owner": 1})
    note.write_text(text)
    assert power_guard.mine(note, text)
    with Borrowed(card(), note) as limit:
        limit.set(300)
        assert not power_guard.mine(note, text)
        assert power_guard.restore(power_stand_in, note, text) == 0
        assert limit_w() == 300


def test_what_cannot_be_given_back_stays_noted(note: Path) -> None:
    limit = Borrowed(card(), note).__enter__()
    limit.set(400)
    change(refuse=power_stand_in.NVML_ERROR_NO_PERMISSION)
    with pytest.raises(LimitError, match="600 W could not be set again") as caught:
        limit.__exit__(None, None, None)
    assert "nvidia-smi -pl 600" in caught.value.fix
    assert "python -m lib power restore" in caught.value.fix
    assert note.exists()
    change(refuse=0)
    assert power_limit.restore(note, power_stand_in) == 600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"uuid": "x"}', '{"uuid": "x", "limit_mw": "much"}'])
def test_a_damaged_note_is_an_error_that_says_what_to_do(note: Path, text: str) -> None:
    note.write_text(text)
    for ask in (power_limit.leftover, lambda place: power_limit.restore(place, power_stand_in)):
        with pytest.raises(LimitError, match="cannot be read") as caught:
            ask(note)
        assert "nvidia-smi" in caught.value.fix


def test_a_note_of_a_card_that_is_gone_stays(note: Path) -> None:
    note.write_text('{"uuid": "GPU-other", "limit_mw": 500000}')
    with pytest.raises(LimitError, match="500 W could not be set again: Not Found"):
        power_limit.restore(note, power_stand_in)
    assert note.exists()


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetPowerManagementLimit"])
def test_a_card_without_a_limit_is_an_error(note: Path, broken: str) -> None:
    change(broken=[broken])
    with pytest.raises(LimitError, match="power limit cannot be read"):
        card()


def test_a_reading_tells_what_the_card_tells(note: Path) -> None:
    seen = card().read()
    assert (seen.power_w, seen.temperature_c, seen.clock_sm_mhz, seen.clock_memory_mhz) == (573, 76, 2719, 13365)
    assert seen.reasons == []
    change(broken=["nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetCurrentClocksEventReasons"], limit_mw=300_000)
    less = card().read()
    assert (less.energy_j, less.reasons) == (None, [])
    assert less.power_w == 298.7


def test_the_stand_in_has_the_names_of_the_real_binding() -> None:
    names = [name for name in dir(power_stand_in) if name.startswith(("nvml", "NVML"))]
    assert len(names) > 12
    assert not [name for name in names if not hasattr(pynvml, name)]


def test_the_stand_in_draws_what_was_published() -> None:
    published = power_curve.DECODE[0].drawn_w
    assert dict(zip(power_stand_in.LIMITS_W, power_stand_in.DRAWN_W, strict=True)) == published
    for limit, drawn in published.items():
        assert power_stand_in.draws({"busy": True, "limit_mw": 1000 * limit}) == pytest.approx(drawn)


def test_the_command_without_a_leftover_changes_nothing(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_limit, "STATE", note)
    said = CliRunner().invoke(cli.app, ["power", "restore"])
    assert (said.exit_code, said.output) == (0, "no power limit was left changed\n")


def test_the_command_gives_a_leftover_back(note: Path, borrower: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = borrower()
    for pid in (guard_of(process), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    monkeypatch.setitem(sys.modules, "pynvml", power_stand_in)
    monkeypatch.setattr(power_limit, "STATE", note)
    said = CliRunner().invoke(cli.app, ["power", "restore"])
    assert (said.exit_code, said.output) == (0, "600 W are set again\n")
    assert limit_w() == 600


def test_the_guard_can_load_the_real_binding() -> None:
    assert power_guard.load(Path(str(pynvml.__file__))).NVML_ERROR_NO_PERMISSION == 4
