"""A host that cannot be reached or changed: one clear error each, and nothing half done."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core import profile
from lib.core.errors import Exit, RefusedError, RunbookError
from lib.core.sections.hosts import HostAccess
from lib.deploy import apply as deploy
from lib.deploy import record
from lib.deploy.site import Site
from lib.deploy.target import Target, connected
from lib.lab import process
from tests.deploy import here
from tests.deploy.here import as_root


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    yield from here.target(tmp_path, monkeypatch)


def site() -> Site:
    return Site(profile.load("embedded"), "here", "vps")


def test_a_host_that_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    access = HostAccess(role="home", address="127.0.0.1", port=port, known_hosts=str(tmp_path / "known"))
    with (
        pytest.raises(RunbookError, match="host 'home' cannot be reached") as caught,
        connected("home", access, timeout=2),
    ):
        pass
    assert caught.value.exit_code == Exit.BAD_INPUT
    assert f"ssh -p {port} root@127.0.0.1 true" in caught.value.fix


def test_a_host_that_shuts_the_door_is_knocked_at_again(tmp_path: Path) -> None:
    knocks = 0

    def shut(door: socket.socket) -> None:
        nonlocal knocks
        with contextlib.suppress(OSError):
            while True:
                door.accept()[0].close()
                knocks += 1

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=shut, args=(door,), daemon=True).start()
        access = HostAccess(
            role="home", address="127.0.0.1", port=door.getsockname()[1], known_hosts=str(tmp_path / "known")
        )
        with (
            pytest.raises(RunbookError, match="host 'home' cannot be reached: Error reading SSH protocol banner"),
            connected("home", access, timeout=3),
        ):
            pass
        door.shutdown(socket.SHUT_RDWR)
    assert 2 <= knocks <= 3


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    access = HostAccess(role="home", address="127.0.0.1", key=str(tmp_path / "none"))
    with (
        pytest.raises(RunbookError, match="there is no key file for host 'home'") as caught,
        connected("home", access),
    ):
        pass
    assert caught.value.fix == "set hosts.home.key"


@as_root
def test_a_command_that_fails_says_the_host_and_its_last_words(target: Target) -> None:
    with pytest.raises(RunbookError, match="failed on host 'here': these are my last words"):
        target.run("echo first; echo these are my last words >&2; exit 3")


@as_root
def test_another_run_at_work_is_refused(target: Target) -> None:
    with (
        deploy.held(target),
        pytest.raises(RefusedError, match="another run is changing host 'here'") as caught,
        deploy.held(target),
    ):
        pass
    assert f"process {os.getpid()}" in caught.value.where
    assert not Path(record.LOCK).exists()


@as_root
def test_the_lock_of_a_dead_process_is_taken_over(target: Target) -> None:
    me = process.identity(os.getpid())
    assert me is not None
    Path(record.LOCK).write_text(f"{os.uname().nodename} {me.pid} {me.started + 1}\n")
    with deploy.held(target):
        assert f" {me.started}" in Path(record.LOCK).read_text()


@as_root
def test_the_lock_of_another_machine_is_not(target: Target) -> None:
    Path(record.LOCK).write_text("another 1 2\n")
    with pytest.raises(RefusedError) as caught, deploy.held(target):
        pass
    assert caught.value.fix.endswith(f"rm {record.LOCK}  (there)")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("id=arch\nversion=1\nuid=0\nfree=9999\napt=0\nwhy=", "runs arch 1"),
        ("id=debian\nversion=13\nuid=1000\nfree=9999\napt=0\nwhy=", "cannot become root"),
        ("id=debian\nversion=13\nuid=0\nfree=12\napt=0\nwhy=", "has 12 MiB free, and 300 are needed"),
        (
            "id=ubuntu\nversion=24.04\nuid=0\nfree=9999\napt=100\nwhy=E: Could not get lock /x, held by 9",
            "another program works with apt: E: Could not get lock /x, held by 9",
        ),
    ],
)
def test_what_is_refused_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, error: str
) -> None:
    for here_target in here.target(tmp_path, monkeypatch):
        monkeypatch.setattr(here_target, "run", lambda *_, **__: said)
        with pytest.raises(RunbookError) as caught:
            deploy.preflight(here_target, site())
        assert error in caught.value.what
