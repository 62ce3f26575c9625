"""The watchdog's loop and what it rests on: units, notes that may fail, and what it remembers over its own restart."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.core.sections import Watchdog
from lib.deploy.template import render
from lib.gateway import admission
from lib.resilience.watchdog import card, cli
from lib.resilience.watchdog.engines import Owned, Unit
from lib.resilience.watchdog.journal import Journal
from lib.resilience.watchdog.machine import Process
from lib.resilience.watchdog.watch import Watch

SETTINGS = Watchdog(bad_after=2, good_after=1, pause_s=1, loop_after=2, rest_s=5)


class Staged:
    """An engine that is as it is told to be."""

    name, url, model = "staged", "http://127.0.0.1:9", "m"

    def __init__(self) -> None:
        self.process: Process = "running"
        self.done: list[str] = []

    def look(self) -> tuple[Process, float]:
        return self.process, 10.0

    def start(self) -> None:
        self.done.append("start")

    def stop(self) -> None:
        self.done.append("stop")


def watch(folder: Path, engine: Staged, now: list[float], answers: bool = True) -> Watch:
    journal = Journal(folder / "state", say=lambda _: None)
    asks = {engine.name: lambda url, model, limit: answers}
    return Watch(SETTINGS, [engine], journal, folder / "holds", asks=asks, clock=lambda: now[0])


def test_power_forbids_every_start(tmp_path: Path) -> None:
    engine, now = Staged(), [0.0]
    engine.process = "ended"
    one = watch(tmp_path, engine, now)
    admission.hold(tmp_path / "holds", "power", "on battery")
    for second in range(30):
        now[0] = float(second)
        one.look()
    assert engine.done == []
    admission.release(tmp_path / "holds", "power")
    for second in range(30, 40):
        now[0] = float(second)
        one.look()
    assert "start" in engine.done


def test_a_crash_loop_is_remembered_over_the_watchdogs_own_restart(tmp_path: Path) -> None:
    engine, now = Staged(), [0.0]
    engine.process = "ended"
    one = watch(tmp_path, engine, now)
    for second in range(12):
        now[0] = float(second)
        one.look()
    again = watch(tmp_path, engine, now)
    assert again.memories["staged"].restarts == one.memories["staged"].restarts > 1
    assert again.memories["staged"].alerted


@pytest.mark.parametrize("note", ["", "{", "[]", '{"engines": 3}', '{"engines": {"staged": {"rebooted": "x"}}}'])
def test_a_damaged_note_counts_as_none(tmp_path: Path, note: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/watchdog.json").write_text(note)
    assert watch(tmp_path, Staged(), [0.0]).memories["staged"].restarts == 0


def test_a_journal_without_a_disk_still_alerts(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    said: list[str] = []
    told = tmp_path / "told"
    journal = Journal(tmp_path / "state", ["sh", "-c", f'echo "$1" >{told}', "sh"], said.append)
    journal.alert("it burns")
    journal.keep({"a": 1})
    assert told.read_text() == "it burns\n"
    assert said == ["alert=it burns"]
    assert journal.kept() == {}


def test_a_messenger_that_is_missing_stops_nothing(tmp_path: Path) -> None:
    Journal(tmp_path, ["/no/such/program"], lambda _: None).alert("it burns")
    assert json.loads((tmp_path / "watchdog.jsonl").read_text())["alert"] == "it burns"


def test_what_must_succeed_before_a_start_keeps_the_engine_from_it(tmp_path: Path) -> None:
    engine = Owned(
        "a", "", "", ["sleep", "60"], tmp_path / "log", {"PATH": "/usr/bin:/bin"}, ["sh", "-c", "echo no >&2; exit 1"]
    )
    engine.start()
    assert engine.look() == ("ended", 0.0)
    assert engine.said == "no"


def test_units_are_asked_for_and_a_failed_one_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ncat {tmp_path}/says\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    unit = Unit("vllm-a.service", "", "a")
    for state, process in (("active", "running"), ("activating", "running"), ("failed", "ended"), ("inactive", "off")):
        (tmp_path / "says").write_text(f"ActiveState={state}\nActiveEnterTimestampMonotonic=1000000\n")
        assert unit.look()[0] == process
    unit.stop()
    unit.start()
    asked = (tmp_path / "asked").read_text().splitlines()[4:]
    assert asked == [
        "kill --signal=SIGKILL vllm-a.service",
        "stop vllm-a.service",
        "reset-failed vllm-a.service",
        "start --no-block vllm-a.service",
    ]


def test_the_owners_profile_names_his_units() -> None:
    watched = cli.engines(profiles.load("rtx-pro-6000"))
    assert watched[0].name == "vllm-gpt-oss-120b.service"
    assert all(engine.url.startswith("http://127.0.0.1:") for engine in watched)


def test_a_profile_without_fixed_addresses_is_bad_input() -> None:
    argv = [sys.executable, "-m", "lib", "watchdog", "run", "--profile", "embedded"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing to watch" in done.stderr
    assert "fix:" in done.stderr


def test_a_machine_without_a_card_is_never_hot() -> None:
    none = card.of("cpu")
    none.cap(0.5)
    assert none.temperature_c() is None
    assert not none.lost()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    units = {
        "inference-engine-watchdog": render(
            "systemd/inference-engine-watchdog.service.j2", profile="rtx-pro-6000", home="/opt/inference"
        ).replace("ExecStart=/opt/inference/.venv/bin/python", f"ExecStart={sys.executable}"),
        **{
            f"inference-power-{name}": render(f"nut/{name}.service.j2", outage=sys.executable)
            for name in ("ready", "back")
        },
    }
    for name, text in units.items():
        path = tmp_path / f"{name}.service"
        path.write_text(text)
        argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert not [line for line in (done.stdout + done.stderr).splitlines() if f"{name}.service" in line]
