"""Real twins: up in seconds, apart from the world, cut from power, and gone without a trace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.lab import image, process, ssh, tools, twins
from lib.lab.twins import Lab

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with twins.lab(image.PLACE / "test", ["home", "vps"]) as up:
        yield up


def test_a_twin_is_a_real_system(lab: Lab) -> None:
    assert lab.run("home", "hostname").strip() == "home"
    assert lab.run("home", "cat /proc/1/comm").strip() == "systemd"
    assert lab.run("home", "systemctl --failed --no-legend --plain").strip() == ""
    lab.run("home", "modprobe wireguard")


def test_the_clock_of_a_resumed_twin_is_set(lab: Lab) -> None:
    assert abs(float(lab.run("vps", "date +%s")) - time.time()) < 30


def test_twins_see_each_other_and_nothing_else(lab: Lab) -> None:
    reach = "timeout 10 bash -c '</dev/tcp/{}/22' 2>/dev/null && echo reached || echo not reached"
    assert lab.run("home", reach.format("10.80.1.2")).strip() == "reached"
    assert lab.run("home", reach.format("10.80.2.2")).strip() == "not reached"
    assert lab.run("home", reach.format("10.0.2.2")).strip() == "not reached"
    assert lab.run("home", "ip route | grep -c default || true").strip() == "0"


def test_a_command_that_fails_says_what_it_said(lab: Lab) -> None:
    with pytest.raises(RunbookError, match="exited 3: last words"):
        lab.run("home", "echo last words >&2; exit 3")


def test_a_power_cut_loses_what_was_not_on_disk_and_keeps_what_was(lab: Lab) -> None:
    lab.run("vps", "echo kept >/var/kept; sync; echo lost >/var/lost")
    lab.power_cut("vps")
    with pytest.raises(RunbookError, match="'vps' is not up"):
        lab.port("vps")
    lab.power_on("vps")
    assert lab.run("vps", "cat /var/kept").strip() == "kept"
    assert lab.run("vps", "cat /var/lost 2>/dev/null || echo gone").strip() in ("gone", "")


def test_down_leaves_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "up")
    lab.up(["client"])
    known = process.read(tmp_path / "up" / "processes.json")
    assert lab.down() == ["client"]
    assert not process.alive(known["client"])
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_bound_twins_end_with_their_owner(tmp_path: Path, how: signal.Signals) -> None:
    script = (
        "import time\nfrom pathlib import Path\nfrom lib.lab import twins\n"
        f"with twins.lab(Path({str(tmp_path / 'up')!r}), ['client']):\n"
        "    print('up', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        known = process.read(tmp_path / "up" / "processes.json")["client"]
        assert process.alive(known)
        owner.send_signal(how)
    limit = time.monotonic() + 10
    while process.alive(known) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not process.alive(known)
    Lab(tmp_path / "up").down()
    assert not (tmp_path / "up").exists()


def test_a_twin_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with pytest.raises(RunbookError, match="did not answer within 1 s"):
        ssh.wait(tmp_path / "home", 1, 1)
