"""Deploys against a real system over SSH: faults, interruptions, and the way back."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile
from lib.core.errors import RunbookError
from lib.core.sections.hosts import HostAccess
from lib.deploy import apply as deploy
from lib.deploy import record
from lib.deploy.plan import plan
from lib.deploy.rehearsal import snapshot
from lib.deploy.resources import File, Resource, Unit
from lib.deploy.serving import service, unit
from lib.deploy.site import Site
from lib.deploy.target import Target, connected
from lib.lab import image, tools, twins
from lib.lab.twins import Lab

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]


HOLD_APT = """
cat >/run/hold.py <<'END'
import fcntl, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
open("/run/held", "w")
time.sleep(600)
END
nohup python3 /run/hold.py >/dev/null 2>&1 &
echo $! >/run/holder
while [ ! -e /run/held ]; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with twins.lab(image.PLACE / "test", ["vps"]) as up:
        yield up


def access(lab: Lab, **changed: Any) -> HostAccess:
    values = {"address": "127.0.0.1", "port": lab.port("vps"), "key": str(image.KEY)}
    known = {"known_hosts": str(lab.folder / "known_hosts")}
    return HostAccess(role="vps", **known | values | changed)


@pytest.fixture
def target(lab: Lab) -> Iterator[Target]:
    # A twin without KVM on a busy machine needs its time for SSH's arithmetic.
    with connected("vps", access(lab), 30) as found:
        yield found


def site(**changed: Any) -> Site:
    return Site(
        profile.load("embedded", {f"deploy.{key}": value for key, value in changed.items()}), "vps", "vps", lab=True
    )


def test_a_wrong_key_is_refused_with_the_command(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with (
        pytest.raises(RunbookError, match="host 'vps' refused the key for user 'root'") as caught,
        connected("vps", access(lab, key=str(key))),
    ):
        pass
    assert "ssh-copy-id" in caught.value.fix


def test_another_host_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    known = tmp_path / "known"
    other = subprocess.run(["cat", str(image.KEY) + ".pub"], capture_output=True, text=True, check=True).stdout
    known.write_text(f"[127.0.0.1]:{lab.port('vps')} {' '.join(other.split()[:2])}\n")
    with (
        pytest.raises(RunbookError, match="shows another key than before"),
        connected("vps", access(lab, known_hosts=str(known))),
    ):
        pass


def test_apt_at_work_elsewhere_changes_nothing(target: Target) -> None:
    target.run(HOLD_APT)
    try:
        with pytest.raises(RunbookError, match="another program works with apt"):
            deploy.apply(target, site(apt_wait_s=1), "d")
    finally:
        target.run("kill $(cat /run/holder); rm -f /run/held /run/holder /run/hold.py")
    assert record.state(target) == {}


def test_a_full_disk_changes_nothing(target: Target) -> None:
    free = int(target.run("df -Pm / | awk 'NR==2 { print $4 }'"))
    with pytest.raises(RunbookError, match=rf"has \d+ MiB free, and {free + 500} are needed"):
        deploy.apply(target, site(free_mib=free + 500), "d")
    assert record.state(target) == {}


def test_a_unit_that_failed_is_among_the_failed(target: Target) -> None:
    before = snapshot.failed(target)
    try:
        target.run("! systemd-run -q --unit planted-fault --wait false")  # it reports that its program failed
        assert snapshot.failed(target) - before == {"planted-fault.service"}
    finally:
        target.run("systemctl reset-failed planted-fault")
    assert snapshot.failed(target) == before


def test_an_engine_without_its_program_or_its_model_has_not_failed(target: Target) -> None:
    """As it is at a boot after an apply that could not bring the engine: the unit is enabled, and passed over."""
    described = service(
        profile.load("embedded"), "some-model", ["--model", "/srv/models/some-model", "--port", "8000"], {}
    )
    path = "/etc/systemd/system/vllm-planted.service"
    script = f"cat >{path} <<'END'\n{unit(described)}END\nsystemctl daemon-reload; systemctl start vllm-planted"
    before = snapshot.failed(target)
    try:
        target.run(script)
        assert target.run("systemctl is-active vllm-planted", check=False).strip() == "inactive"
        assert target.run("systemctl show -p ConditionResult --value vllm-planted").strip() == "no"
        assert snapshot.failed(target) == before
    finally:
        # Without the conditions it would have failed; with them there is nothing to reset, and systemctl says so.
        target.run(f"systemctl stop vllm-planted; rm {path}; systemctl daemon-reload")
        target.run("systemctl reset-failed vllm-planted", check=False)


def test_undo_names_the_unit_that_does_not_come_back(target: Target) -> None:
    """A service of the owner's, changed, and its program lost: what undo cannot bring back is not passed over."""
    program, path = "/usr/local/bin/owners", "/etc/systemd/system/owners.service"
    target.run(
        f"printf '#!/bin/sh\\nexec sleep 9999\\n' >{program}; chmod 755 {program}\n"
        f"printf '[Service]\\nType=exec\\nExecStart={program}\\n[Install]\\nWantedBy=multi-user.target\\n' >{path}\n"
        "systemctl daemon-reload; systemctl -q enable --now owners"
    )
    was = target.run(f"sha256sum {path}; systemctl is-enabled owners; systemctl is-active owners")
    changed: list[Resource] = [
        File(path, "[Service]\nType=exec\nExecStart=/bin/sleep 7777\n[Install]\nWantedBy=multi-user.target\n"),
        Unit("owners.service", reads=(path,)),
    ]
    record.begin(target, "d", "embedded")
    for item in changed:
        assert record.change(target, item) == item.wanted
    record.finish(target, "d", "embedded")
    assert "sleep 7777" in target.run("ps -o args= -p $(systemctl show -p MainPID --value owners)")
    target.run(f"mv {program} {program}.lost")
    with pytest.raises(RunbookError, match=r"host 'vps' is not as it was: unit owners\.service") as caught:
        deploy.undo(target)
    assert "it is not running; it was running" in caught.value.where
    target.run(f"mv {program}.lost {program}; systemctl reset-failed owners")
    assert deploy.undo(target) == []
    assert target.run(f"sha256sum {path}; systemctl is-enabled owners; systemctl is-active owners") == was
    assert "sleep 9999" in target.run("ps -o args= -p $(systemctl show -p MainPID --value owners)")
    target.run(f"systemctl -q disable --now owners; rm {path} {program}; systemctl daemon-reload")


def test_an_interrupted_apply_goes_on_shuts_nobody_out_and_is_taken_back_whole(target: Target) -> None:
    """In one, for each apply of all packages takes minutes here."""
    before = snapshot.take(target)

    class StopError(Exception):
        pass

    def stop(line: str) -> None:
        if "packages curl" in line:
            raise StopError

    with pytest.raises(StopError):
        deploy.apply(target, site(), "d", stop)
    assert record.state(target)["status"] == "applying"
    left = len(plan(target, site()))
    assert left
    assert len(deploy.apply(target, site(), "d").changes) == left
    assert record.state(target)["status"] == "applied"
    assert deploy.apply(target, site(), "d").changes == []
    # Once home's key is known, the profile opens SSH on a VPS to clients in the tunnel only; this test is elsewhere.
    alone = replace(site(), public_keys={"home": "A" * 43 + "="})
    with pytest.raises(RunbookError, match="would shut you out of host 'vps'") as caught:
        deploy.apply(target, alone, "d")
    assert "bastion.ssh_from" in caught.value.fix
    assert target.opens()
    deploy.undo(target)
    left_over = snapshot.difference(before, snapshot.take(target))
    assert not left_over, "\n".join(left_over)
