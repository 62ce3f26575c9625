"""One run at a time, and a runs folder that can be written."""

import subprocess
import sys
from pathlib import Path

import pytest

from lib.core import lock
from lib.core.errors import Exit, RefusedError, RunbookError


def test_a_second_run_is_refused_and_names_the_first(tmp_path: Path) -> None:
    code = f"from pathlib import Path\nfrom lib.core import lock\nwith lock.only_run(Path({str(tmp_path)!r})): pass"
    with lock.only_run(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        with pytest.raises(RefusedError) as caught, lock.only_run(tmp_path):
            pytest.fail("two runs at once")
    assert "another run is at work" in second.stderr
    assert "process " in caught.value.where
    assert caught.value.exit_code == Exit.REFUSED


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.only_run(tmp_path):
            assert (tmp_path / ".lock").exists()


def test_an_unwritable_runs_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RunbookError, match="cannot be written") as caught, lock.only_run(tmp_path / "runs"):
        pytest.fail("entered")
    assert caught.value.exit_code == Exit.BAD_INPUT
    assert "--runs" in caught.value.fix
