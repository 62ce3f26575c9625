"""A disk that fills up in mid-run: a message, a state that is still true, and a run that goes on afterwards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core import paths
from lib.core.errors import Exit

pytestmark = pytest.mark.end_to_end

SCRIPT = """
set -e
mount -t tmpfs -o size=400k tmpfs "$RUNS"
head -c 386k /dev/zero > "$RUNS/filler"
"$PYTHON" -m lib run --only 00 --runs "$RUNS" 2> "$OUT/first" && code=0 || code=$?
echo $code > "$OUT/code"
rm "$RUNS/filler"
mount -o remount,size=40m "$RUNS"
"$PYTHON" -m lib run --only 00 --runs "$RUNS"
cp -L "$RUNS/latest/run.json" "$OUT/run.json"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted as root: sudo make test")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is missing: apt-get install util-linux")
def test_full_disk_is_told_and_the_next_run_is_green(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    environment = {**os.environ, "RUNS": str(runs), "OUT": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SCRIPT],
        cwd=paths.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr and "permission denied" in done.stderr.lower():
        pytest.skip("mounting is not allowed in this container")
    assert done.returncode == Exit.GREEN, done.stdout + done.stderr
    assert (tmp_path / "code").read_text().strip() == str(int(Exit.BAD_INPUT))
    told = (tmp_path / "first").read_text()
    assert "No space left on device" in told
    assert "df -h" in told
    assert "Traceback" not in told
    after = json.loads((tmp_path / "run.json").read_text())
    assert after["complete"]
    assert [chapter["status"] for chapter in after["chapters"]] == ["passed"]
