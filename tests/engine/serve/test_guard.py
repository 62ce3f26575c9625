"""The guard leaves nothing behind, whoever is killed, and however."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.core import paths
from lib.engine.serve import guard
from lib.engine.serve.process import Guarded, Identity, alive

# Ignores SIGTERM, and so does its child, which left its session: what a careless engine would do.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
time.sleep(60)
"""
OBEDIENT = "import sys, time; open(f'{sys.argv[1]}/started', 'w').close(); time.sleep(60)"
# Holds a guarded process, as a notebook's kernel does, and tells its tree.
OWNER = """
import sys, time
from pathlib import Path
from lib.engine.serve.process import Guarded
folder, script = Path(sys.argv[1]), sys.argv[2]
process = Guarded([sys.executable, "-c", script, str(folder)], folder / "log", {}, grace=0.5)
(folder / "owner-ready").write_text(str(process.pid))
time.sleep(60)
"""


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def started(folder: Path) -> int:
    """How many processes of STUBBORN have said that they run."""
    return sum(path.name.isdigit() for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "marks"
    made.mkdir()
    return made


@pytest.fixture
def stubborn(folder: Path) -> Iterator[Guarded]:
    process = Guarded([sys.executable, "-c", STUBBORN, str(folder)], folder / "log", {}, grace=0.5)
    assert until(lambda: started(folder) == 3), (folder / "log").read_text()
    yield process
    process.stop()


def gone(tree: list[Identity]) -> bool:
    return not [process for process in tree if alive(process)]


def test_stop_ends_also_what_ignores_sigterm_and_left_its_session(stubborn: Guarded) -> None:
    tree = stubborn.tree()
    assert len(tree) == 5, "watcher, keeper, the command, its child and its grandchild"
    stubborn.stop()
    assert gone(tree)


@pytest.mark.parametrize("victim", [0, 1], ids=["watcher", "keeper"])
def test_the_death_of_a_guard_ends_the_tree(stubborn: Guarded, victim: int) -> None:
    tree = stubborn.tree()
    os.kill(tree[victim].pid, signal.SIGKILL)
    assert until(lambda: gone(tree))


def test_sigterm_to_the_guard_ends_the_tree(stubborn: Guarded) -> None:
    tree = stubborn.tree()
    os.kill(tree[0].pid, signal.SIGTERM)
    assert until(lambda: gone(tree))


def test_what_outlives_the_command_is_ended(folder: Path) -> None:
    script = "import os, sys, time\nif os.fork() == 0:\n time.sleep(60)\nprint(os.getpid()); sys.exit(3)"
    process = Guarded([sys.executable, "-c", script], folder / "log", {})
    assert process.wait(15) == 3
    assert gone(process.tree())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_the_owner_ends_the_tree(folder: Path, number: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), STUBBORN], cwd=paths.ROOT)
    assert until(lambda: (folder / "owner-ready").exists() and started(folder) == 3)
    root = int((folder / "owner-ready").read_text())
    tree = [root, *guard.descendants(root)]
    owner.send_signal(number)
    owner.wait(10)
    assert until(lambda: not [pid for pid in tree if live(pid)])


def live(pid: int) -> bool:
    state, _ = guard._stat(Path(f"/proc/{pid}"))
    return state not in "ZX"


def test_forgetting_the_process_ends_it(folder: Path) -> None:
    process = Guarded([sys.executable, "-c", OBEDIENT, str(folder)], folder / "log", {})
    assert until((folder / "started").exists)
    tree = process.tree()
    with pytest.warns(ResourceWarning, match="still running"):
        del process
    assert until(lambda: gone(tree))


def test_exit_status_of_the_command_is_kept(folder: Path) -> None:
    process = Guarded([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], folder / "log", {})
    assert process.wait(15) == 128 + signal.SIGKILL


def test_a_missing_program_says_so(folder: Path) -> None:
    process = Guarded(["/nowhere/vllm"], folder / "log", {})
    assert process.wait(15) == 127
    assert "/nowhere/vllm: No such file" in (folder / "log").read_text()


def test_temporary_files_are_removed_at_the_end(folder: Path) -> None:
    script = "import tempfile; print(tempfile.mkstemp()[1], flush=True); import time; time.sleep(60)"
    process = Guarded([sys.executable, "-c", script], folder / "log", {}, grace=1)
    assert until(lambda: (folder / "log").read_text().endswith("\n"))
    made = Path((folder / "log").read_text().strip())
    assert made.exists()
    assert made.parent.name.startswith("rb-")
    process.stop()
    assert not made.parent.exists()


def test_shared_memory_is_cleaned_up_even_after_sigkill(folder: Path) -> None:
    # The owner of the segment ignores SIGTERM and is killed; Python's resource tracker must live long enough.
    script = (
        "import signal, time\nfrom multiprocessing import shared_memory\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "segment = shared_memory.SharedMemory(create=True, size=4096)\n"
        "print(segment.name, flush=True); time.sleep(60)"
    )
    process = Guarded([sys.executable, "-c", script], folder / "log", {}, grace=0.5)
    assert until(lambda: (folder / "log").read_text().endswith("\n"))
    segment = Path("/dev/shm") / (folder / "log").read_text().strip()
    assert segment.exists()
    process.stop()
    assert until(lambda: not segment.exists(), 5)


def test_a_zombie_counts_as_dead() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        assert until(lambda: guard._stat(Path(f"/proc/{child}"))[0] == "Z")
        assert child not in guard.descendants()
    finally:
        os.waitpid(child, 0)


def test_a_name_with_parentheses_is_read(folder: Path) -> None:
    copy = folder / "odd) S 1 (name"
    copy.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(copy), "60"])
    try:
        assert until(lambda: child.pid in guard.descendants())
    finally:
        child.kill()
        child.wait()
