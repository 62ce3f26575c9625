"""The program that runs on NUT's events: what it does alone, without NUT, and with everything in its way."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lib.deploy.ups import outage
from lib.deploy.ups.outage import Host


def host(folder: Path, status: str = "OL", **more: Any) -> Host:
    """Return a host whose UPS is a script that prints what is asked for here."""
    readings = {"ups.status": status, "battery.charge": "100", "battery.runtime": "900", **more.pop("readings", {})}
    said = "\n".join(f"{name}: {value}" for name, value in readings.items())
    engine = {
        "name": "a",
        "url": "http://127.0.0.1:9",
        "path": "/v1/chat/completions",
        "ask": {},
        "stop": ["sh", "-c", f"echo x >>{folder}/stops"],
    }
    return Host(
        {
            "ups": said,
            "upsc": ["echo"],
            "upsmon": ["sh", "-c", f"touch {folder}/fsd", "upsmon"],
            "final": ["touch", str(folder / "off")],
            "holds": str(folder / "holds"),
            "state": str(folder / "state"),
            "run": str(folder / "run"),
            "gateway": "http://127.0.0.1:9",
            "engines": [engine],
            "notify": ["sh", "-c", f'echo "$1" >>{folder}/messages', "sh"],
            **dict.fromkeys(("drain_s", "stop_s", "shutdown_s", "margin_s"), 10),
            "start_charge": 40,
            "retry_after_s": 7,
            "poll_s": 0.01,
            "blind_s": 0.05,
            **more,
        }
    )


def events(one: Host) -> list[str]:
    return [line["event"] for line in one.lines()]


def test_on_battery_requests_are_held_and_nothing_is_stopped_yet(tmp_path: Path) -> None:
    one = host(tmp_path, "OB")
    one.onbatt()
    assert json.loads((tmp_path / "holds/power").read_text())["retry_after_s"] == 7
    assert events(one) == ["on battery"]
    assert not (tmp_path / "stops").exists()


def test_too_little_run_time_shuts_down_at_once(tmp_path: Path) -> None:
    one = host(tmp_path, "OB", readings={"battery.runtime": "25"})
    began = time.monotonic()
    one.onbatt()
    assert time.monotonic() - began < 5
    assert (tmp_path / "fsd").exists()
    assert events(one)[-3:] == ["shutting down", "engines stopped", "disks synced"]


def test_mains_that_are_back_when_the_streams_had_their_time_stop_nothing(tmp_path: Path) -> None:
    host(tmp_path, "OL").drained()
    assert not (tmp_path / "fsd").exists()
    host(tmp_path, "OB").drained()
    assert (tmp_path / "fsd").exists()


def test_engines_are_stopped_once_whoever_asks(tmp_path: Path) -> None:
    one = host(tmp_path, "OB LB")
    one.lowbatt()
    one.last()
    assert (tmp_path / "stops").read_text().split() == ["x"]
    assert (tmp_path / "off").exists()


def test_stable_admits_only_where_nothing_was_decided(tmp_path: Path) -> None:
    one = host(tmp_path, "OL")
    one.hold("x")
    one.stable()
    assert not (tmp_path / "holds/power").exists()
    one.hold("x")
    one.stop_engines()
    one.stable()
    assert (tmp_path / "holds/power").exists()


@pytest.mark.parametrize(("status", "charge"), [("OB", "100"), ("OL LB", "100"), ("FSD OL", "100"), ("OL", "12")])
def test_engines_do_not_start_while_mains_or_battery_forbid_it(tmp_path: Path, status: str, charge: str) -> None:
    argv = [sys.executable, "-c", "import sys, json; from lib.deploy.ups.outage import Host; "
            "Host(json.loads(sys.argv[1])).ready()"]  # fmt: skip
    told = json.dumps(host(tmp_path, status, readings={"battery.charge": charge}).told)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([*argv, told], timeout=1, check=False)


def test_a_host_without_its_ups_starts_after_a_while_and_says_so(tmp_path: Path) -> None:
    one = host(tmp_path, upsc=["false"])
    one.ready()
    assert "starting without a UPS" in events(one)[-1]
    assert "does not answer" in (tmp_path / "messages").read_text()


def test_a_missing_messenger_or_full_state_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    one = host(tmp_path, "OB", notify=["/no/such/program"])
    one.onbatt()
    one.lost()
    one.drained()
    assert (tmp_path / "fsd").exists()


def test_holds_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "holds").write_text("a file where a folder should be")
    one = host(tmp_path, "OB", readings={"battery.runtime": "25"})
    one.onbatt()
    assert "requests cannot be held" in events(one)
    assert (tmp_path / "fsd").exists()


def test_one_message_tells_the_last_outage_only(tmp_path: Path) -> None:
    one = host(tmp_path)
    for event in ("on battery", "admitted again", "on battery", "shut down", "booted", "served again"):
        one.line(event)
    message = one.message(one.timeline())
    assert message.count("on battery") == 1
    assert "served again" in message


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    one = host(tmp_path)
    one.line("on battery")
    with (tmp_path / "state/timeline.jsonl").open("a") as file:
        file.write('{"time": "2026')
    assert events(one) == ["on battery"]


@pytest.mark.parametrize("words", [[], ["unknown"], ["onbatt", "more"]])
def test_a_wrong_event_is_refused_with_the_right_ones(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert outage.main(words) == 2
    assert "onbatt" in capsys.readouterr().err


def test_it_runs_with_the_standard_library_alone(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-IS", outage.__file__], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: outage")
