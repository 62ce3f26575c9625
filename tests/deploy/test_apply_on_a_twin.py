"""`python -m lib deploy` against a twin over SSH, as against a real host: the gate, the name, what is in the way."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib import cli
from lib.core import profile
from lib.core.errors import Exit
from lib.deploy import gate
from lib.lab import image, tools, twins
from lib.lab.twins import Lab
from tests.deploy.test_on_a_twin import HOLD_APT

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]

Deploy = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with twins.lab(image.PLACE / "apply", ["vps"]) as up:
        yield up


@pytest.fixture
def deploy(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Deploy:
    """Return the command: its words, and what differs from the profile that names the twin; the gate is open or not."""
    monkeypatch.setattr(gate, "REHEARSALS", tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)

    def call(word: str, confirm: str | None = "vps", rehearsed: bool = True, **changed: Any) -> tuple[int, str]:
        known = str(lab.folder / "known_hosts")
        host = {"role": "vps", "address": "127.0.0.1", "port": lab.port("vps"), "key": str(image.KEY)}
        host |= {"known_hosts": known} | {key: value for key, value in changed.items() if key in host}
        settings = {"hosts": {"vps": host}, "deploy.connect_timeout_s": 30}
        settings |= {f"deploy.{key}": value for key, value in changed.items() if key not in host}
        if rehearsed:
            gate.remember(profile.load("embedded", settings), "virtual machines", 1)
        monkeypatch.delenv("CONFIRM", raising=False)
        if confirm is not None:
            monkeypatch.setenv("CONFIRM", confirm)
        words = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        monkeypatch.setattr("sys.argv", ["lib", "deploy", word, "--host=vps", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return call


def untouched(lab: Lab) -> bool:
    return lab.run("vps", "ls /var/lib/inference-runbook /run/inference-runbook.lock 2>/dev/null || true").strip() == ""


def test_without_a_green_rehearsal_nothing_is_applied(deploy: Deploy, lab: Lab) -> None:
    code, said = deploy("apply", rehearsed=False)
    assert code == Exit.REFUSED
    assert "nothing is applied that was not rehearsed" in said
    assert untouched(lab)


@pytest.mark.parametrize(("confirm", "says"), [(None, "nobody is at the terminal"), ("vsp", "is not the host's name")])
def test_without_its_name_no_host_is_changed(deploy: Deploy, lab: Lab, confirm: str | None, says: str) -> None:
    code, said = deploy("apply", confirm)
    assert code == Exit.REFUSED
    assert says in said
    assert untouched(lab)


def test_a_host_that_is_down_is_bad_input(deploy: Deploy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, said = deploy("apply", port=port)
    assert code == Exit.BAD_INPUT
    assert "host 'vps' cannot be reached" in said
    assert f"ssh -p {port}" in said


def test_a_wrong_key_is_bad_input(deploy: Deploy, lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    code, said = deploy("apply", key=str(key))
    assert code == Exit.BAD_INPUT
    assert "refused the key" in said
    assert untouched(lab)


def test_a_disk_without_space_is_bad_input(deploy: Deploy, lab: Lab) -> None:
    code, said = deploy("apply", free_mib=10**6)
    assert code == Exit.BAD_INPUT
    assert "and 1000000 are needed" in said
    assert untouched(lab)


def test_apt_at_work_is_bad_input(deploy: Deploy, lab: Lab) -> None:
    lab.run("vps", HOLD_APT)
    try:
        code, said = deploy("apply", apt_wait_s=1)
    finally:
        lab.run("vps", "kill $(cat /run/holder); rm -f /run/held /run/holder /run/hold.py")
    assert code == Exit.BAD_INPUT
    assert "another program works with apt" in said
    assert untouched(lab)


def test_plan_apply_again_and_undo(deploy: Deploy, lab: Lab) -> None:
    code, said = deploy("plan")
    assert code == Exit.GREEN
    planned = said.splitlines()[-1]
    assert "PasswordAuthentication no" in said
    assert untouched(lab), "a plan changes nothing"
    code, said = deploy("apply")
    assert code == Exit.GREEN, said
    assert planned in said
    code, said = deploy("apply")
    assert code == Exit.GREEN
    assert "\n0 changes" in f"\n{said}"
    code, said = deploy("undo")
    assert code == Exit.GREEN
    assert f"{planned.split()[0]} restored" in said
    assert untouched(lab)
