"""Processes on record: exactly those are ended, and what is bound ends with its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lib.lab import process
from lib.lab.process import Identity


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def test_a_process_is_told_apart_by_its_start() -> None:
    with sleeper() as child:
        known = process.identity(child.pid)
        assert known is not None
        assert process.alive(known)
        assert not process.alive(Identity(known.pid, known.started + 1))
        process.end(Identity(known.pid, known.started + 1))
        assert child.poll() is None, "another process with this number is left alone"
        process.end(known)
        child.wait(5)
        assert not process.alive(known)


def test_a_zombie_has_ended() -> None:
    with sleeper() as child:
        known = process.identity(child.pid)
        assert known is not None
        os.kill(child.pid, signal.SIGKILL)
        limit = time.monotonic() + 5
        while process.alive(known) and time.monotonic() < limit:
            time.sleep(0.01)
        assert not process.alive(known)


def test_the_record_is_whole_or_counts_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "up" / "processes.json"
    assert process.read(path) == {}
    process.write(path, {"home": Identity(1, 2)})
    assert process.read(path) == {"home": Identity(1, 2)}
    path.write_text('{"home": [1')
    assert process.read(path) == {}


def test_what_is_bound_dies_with_its_owner_even_when_that_is_killed() -> None:
    script = (
        "import subprocess, time\nfrom lib.lab import process\n"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=process.die_with_parent)\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        known = process.identity(int(owner.stdout.readline()))
        assert known is not None
        owner.kill()
    limit = time.monotonic() + 5
    while process.alive(known) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not process.alive(known)
