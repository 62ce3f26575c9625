"""`make test` runs each test in exactly one stage, goes on after a failure, and is never green without a test."""

import itertools
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.core import paths
from scripts import test as stages


def markers() -> list[str]:
    told = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    return [line.partition(":")[0] for line in told]


def test_whatever_its_markers_are_a_test_runs_once() -> None:
    known = markers()
    assert {"engine", "browser", "end_to_end", "twins", "lab", "alone"} == set(known)
    for having in itertools.product((True, False), repeat=len(known)):
        marked = dict(zip(known, having, strict=True))
        chosen = [stage.title for stage in stages.STAGES if eval(stage.markers, {}, marked)]
        assert len(chosen) == 1, f"{marked} is run by {chosen}"


def test_tests_with_virtual_machines_are_known_by_the_name_of_their_file() -> None:
    """One worker gets all of them, and it is told names alone (tests/conftest.py)."""
    files = [*(paths.ROOT / "tests").rglob("test_*.py")]
    marked = {file.name for file in files if "pytest.mark." + "twins" in file.read_text()}
    assert len(marked) >= 4
    assert {file.name for file in files if "twin" in file.name} == marked


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        ([0, 0, 0], 0),
        ([0, 5, 5], 0),
        ([5, 0, 5], 0),
        ([5, 5, 5], 5),
        ([1, 0, 0], 1),
        ([0, 5, 1], 1),
        ([0, 2, 0], 2),
        ([4, 4, 4], 4),
    ],
)
def test_red_anywhere_is_red_and_nothing_is_not_green(
    codes: list[int], wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run(argv: list[str], check: bool) -> SimpleNamespace:
        calls.append(argv)
        return SimpleNamespace(returncode=codes[len(calls) - 1])

    monkeypatch.setattr(subprocess, "run", run)
    assert stages.main(["tests/core"]) == wanted
    assert [argv[-1] for argv in calls] == ["tests/core"] * len(stages.STAGES)


def test_a_real_red_test_is_red_and_the_rest_still_runs(tmp_path: Path) -> None:
    place = tmp_path
    (place / "pytest.ini").write_text("[pytest]\nmarkers =\n" + "".join(f"    {name}: x\n" for name in markers()))
    (place / "test_few.py").write_text(
        "import pytest\n"
        "def test_computes(): assert 1 + 1 == 3\n"
        "@pytest.mark.alone\n"
        "def test_measures(): open('measured', 'w').close()\n"
    )
    argv = [sys.executable, "-m", "scripts.test", "-p", "no:cacheprovider", "--rootdir", str(place), str(place)]
    environment = {"PYTHONPATH": str(paths.ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert (place / "measured").exists()
