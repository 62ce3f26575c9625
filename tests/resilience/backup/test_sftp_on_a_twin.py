"""A target over SFTP: a real sshd on a twin, reached with one key, remembered, and refused when another one answers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.core.profile import change
from lib.core.sections import Profile
from lib.lab import image, tools, twins
from lib.lab.twins import Lab
from lib.resilience.backup import restic, verify
from lib.resilience.backup.damage.arena import TARGET, Arena
from lib.resilience.backup.repository import find
from lib.resilience.backup.restic import ResticError
from lib.resilience.backup.restore import restore

pytestmark = [
    pytest.mark.twins,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the image of the twins is built by root"),
    pytest.mark.skipif(any(tools.find(name) is None for name in tools.PROGRAMS), reason="make setup installs QEMU"),
]
NEW_HOST_KEY = (
    "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh"
)


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with twins.lab(tmp_path_factory.mktemp("nas") / "up", ["client"]) as up:
        yield up


def over_sftp(arena: Arena, lab: Lab, name: str, **fields: Any) -> Profile:
    own = arena.place / "damages" / name
    profile = arena.fresh(name)
    address = f"sftp://root@127.0.0.1:{lab.port('client')}//srv/{name}"
    told = {"address": address, "password_file": str(own / "password"), "sftp_key": str(image.key())}
    return change(profile, "backup", targets={TARGET: told | fields})


def test_a_backup_goes_there_and_comes_back(arena: Arena, nas: Lab, tmp_path: Path) -> None:
    profile = over_sftp(arena, nas, "sftp")
    done = arena.back_up(profile)
    assert done.added > 0
    assert [check.status for check in verify.verify(profile, TARGET)] == ["pass"] * 4
    assert restore(profile, tmp_path / "back", TARGET).wrong == []
    assert nas.run("client", "ls /srv/sftp").split() == ["config", "data", "index", "keys", "locks", "snapshots"]


def test_another_machine_at_the_same_address_gets_nothing(arena: Arena, nas: Lab) -> None:
    profile = over_sftp(arena, nas, "false")
    arena.back_up(profile)
    nas.run("client", NEW_HOST_KEY)
    for _ in range(6):  # two of seven times restic ended before it had passed on what ssh said
        with pytest.raises(ResticError, match="Host key verification failed") as caught:
            restic.snapshots(find(profile))
        assert (caught.value.kind, "set up anew" in caught.value.fix) == ("stranger", True)
    known = find(profile).place / "known_hosts"
    assert known.exists()
    known.unlink()  # the owner has looked, and it is the NAS after all
    assert len(restic.snapshots(find(profile))) == 1


def test_a_wrong_key_is_refused_without_a_question(arena: Arena, nas: Lab, tmp_path: Path) -> None:
    wrong = tmp_path / "key"
    wrong.write_text("no key\n")
    wrong.chmod(0o600)
    with pytest.raises(ResticError) as caught:
        restic.snapshots(find(over_sftp(arena, nas, "wrong", sftp_key=str(wrong))))
    assert (caught.value.kind, "authorized_keys" in caught.value.fix) == ("unwelcome", True)
