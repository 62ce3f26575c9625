"""Snapshots by sanoid on a twin with the kernel's ZFS: applied, at work, kept through a power cut, taken back."""

import os
import re
from collections.abc import Iterator

import pytest

from lib.core import profile
from lib.deploy import apply as deploy
from lib.deploy import backup
from lib.deploy.rehearsal import snapshot, storage
from lib.deploy.rehearsal.play import access
from lib.deploy.site import Site
from lib.deploy.target import Target, connected
from lib.lab import image, tools, twins, zfs
from lib.lab.twins import Lab

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]
DATASETS = ["tank/memory", "tank/state"]
# Snapshots and nothing else: restic is rehearsed without ZFS.
PROFILE = profile.load("embedded", {"backup.zfs": {"datasets": DATASETS}, "backup.targets": {}})
SITE = Site(PROFILE, "home", "home", lab=True)
CONCERNS = ("packages", "backup")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if not zfs.built(image.current()):
        pytest.skip("make drill builds ZFS for the twins' kernel: minutes")
    with twins.lab(image.PLACE / "test", ["home"]) as up:
        storage.lay(up, PROFILE, "home")
        zfs.pool(up, "home", "copy", legs=1)
        yield up


@pytest.fixture
def target(lab: Lab) -> Iterator[Target]:
    with connected("home", access(lab, "home"), 60) as found:
        yield found


def unanswered(lab: Lab) -> list[str]:
    """Return the probes of the concern that the twin does not answer as they expect."""
    answers = {probe.name: lab.run("home", probe.script, check=False).strip() for probe in backup.probes(SITE)}
    assert answers
    return [
        f"{probe.name}: {answers[probe.name]}"
        for probe in backup.probes(SITE)
        if not re.fullmatch(probe.expected, answers[probe.name].partition("\n")[0])
    ]


def test_snapshots_are_applied_work_and_are_taken_back(lab: Lab, target: Target) -> None:
    before = snapshot.take(target)
    assert unanswered(lab), "before, nothing of it is there"
    changes = deploy.apply(target, SITE, "digest", only=CONCERNS).changes
    assert any("sanoid" in change.title for change in changes)
    assert unanswered(lab) == []
    assert deploy.apply(target, SITE, "digest", only=CONCERNS).changes == []

    lab.run("home", "echo precious >/tank/memory/note; systemctl start sanoid.service")
    taken = lab.run("home", "zfs list -H -t snapshot -o name -r tank/memory").split()
    assert any(name.startswith("tank/memory@autosnap_") and name.endswith("_daily") for name in taken)
    lab.run("home", "rm /tank/memory/note")
    assert lab.run("home", "cat /tank/memory/.zfs/snapshot/autosnap_*_daily/note").strip() == "precious"
    lab.run("home", "systemctl start inference-scrub-tank.service", timeout=300)
    assert "scrub repaired 0B" in lab.run("home", "zpool status tank")

    # What the replication's unit runs, to a pool of this twin instead of another host's.
    lab.run("home", "syncoid --recursive --no-sync-snap tank/memory copy/tank-memory", timeout=300)
    copied = lab.run("home", "zfs list -H -t snapshot -o name -r copy/tank-memory").split()
    assert {name.partition("@")[2] for name in copied} == {name.partition("@")[2] for name in taken}
    lab.run("home", "zfs destroy -r copy/tank-memory")

    deploy.undo(target)
    assert snapshot.difference(before, snapshot.take(target)) == []
    assert unanswered(lab)


def test_pools_and_snapshots_outlive_a_power_cut(lab: Lab) -> None:
    before = lab.run("home", "zfs snapshot tank/state@kept; zpool sync; zfs list -H -o name -t all -r tank")
    lab.power_cut("home")
    lab.power_on("home")
    lab.run("home", "timeout 180 systemctl is-system-running --wait || true", timeout=200)
    assert lab.run("home", "zfs list -H -o name -t all -r tank") == before
    assert lab.run("home", "zpool status -x").strip() == "all pools are healthy"
