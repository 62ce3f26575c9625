"""How locks are written: which wheels count, what is left of a marker, what happens when uv fails."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lib.core import paths
from scripts import lock

SUPPORTED = "python_full_version < '3.14' and platform_machine == 'x86_64' and sys_platform == 'linux'"


def package(name: str, *tags: str, version: str = "1.0", marker: str = SUPPORTED) -> dict[str, Any]:
    """Return a package as pylock.toml has it; the sha256 of each wheel is its tag."""
    wheels = [
        {"url": f"https://host.invalid/a/{name}-{version}-{tag}.whl", "size": 2_000_000, "hashes": {"sha256": tag}}
        for tag in tags
    ]
    return {"name": name, "version": version, "marker": marker, "wheels": wheels}


@pytest.mark.parametrize(
    ("tag", "taken"),
    [
        ("py3-none-any", True),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp313-cp313-manylinux_2_28_x86_64", True),
        ("cp38-abi3-manylinux_2_28_x86_64", True),
        ("cp314-cp314-manylinux_2_28_x86_64", False),
        ("cp313-cp313t-manylinux_2_28_x86_64", False),
        ("cp312-cp312-manylinux_2_39_x86_64", False),
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-manylinux_2_28_aarch64", False),
        ("cp312-cp312-win_amd64", False),
        ("cp312-cp312-macosx_11_0_arm64", False),
    ],
)
def test_wheels_that_a_supported_machine_takes(tag: str, taken: bool) -> None:
    found = lock.hashes(package("alpha", "py3-none-any", tag) if not taken else package("alpha", tag))
    assert (tag in found) is taken


def test_wheels_of_a_python_that_the_marker_excludes_do_not_count() -> None:
    tags = ("cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_x86_64")
    later = package("alpha", *tags, marker=f"python_full_version >= '3.12' and {SUPPORTED}")
    assert lock.hashes(later) == [tags[1]]
    assert lock.entry(later) == f"alpha==1.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:{tags[1]}\n"


def test_a_package_that_would_have_to_be_compiled_is_an_error() -> None:
    with pytest.raises(SystemExit, match=r"alpha 1\.0 has no wheel for Linux x86_64"):
        lock.entry(package("alpha", "cp312-cp312-win_amd64"))


@pytest.mark.parametrize(
    ("marker", "left"),
    [
        (SUPPORTED, ""),
        (f"python_full_version == '3.12.*' and {SUPPORTED}", "python_full_version == '3.12.*'"),
        ("python_full_version < '3.12' or os_name == 'nt'", "python_full_version < '3.12' or os_name == 'nt'"),
    ],
)
def test_markers_keep_what_differs_between_supported_machines(marker: str, left: str) -> None:
    assert lock.strip_marker(marker) == left


def test_torch_for_the_cpu_is_kept_apart() -> None:
    torch = package("torch", "cp311-cp311-manylinux_2_28_x86_64", version="2.13.0+cpu")
    written = {path.name: text for path, text in lock.render("cpu", [package("alpha", "py3-none-any"), torch])}
    assert written["cpu-torch.txt"].splitlines()[-1] == "torch==2.13.0+cpu"
    assert "torch==" not in written["cpu.txt"]
    assert "# Packages: 1. Download: 2 MB, and torch" in written["cpu.txt"]
    written = {path.name: text for path, text in lock.render("cuda", [package("torch", "py3-none-any")])}
    assert list(written) == ["cuda.txt"]
    assert "torch==1.0 \\" in written["cuda.txt"]


def test_a_failed_resolution_leaves_the_locks_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(2, command)

    before = {path: path.stat().st_mtime_ns for path in paths.LOCKS.glob("*.txt")}
    monkeypatch.setattr(subprocess, "run", fail)
    assert lock.main(["--hardware", "cpu"]) == 2
    assert "its lock is as it was" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in paths.LOCKS.glob("*.txt")} == before


def test_todays_pins_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """What uv finds in its output file it keeps where it can; `--upgrade` gives it an empty one."""
    seen: list[str] = []

    def resolve(command: list[str], **_: object) -> None:
        output = Path(command[command.index("--output-file") + 1])
        if output.suffix == ".txt":
            seen.append(output.read_text())
        else:
            output.write_text('[[packages]]\nname = "alpha"\nversion = "1.0"\n')

    monkeypatch.setattr(subprocess, "run", resolve)
    lock.resolve("cpu", upgrade=False, find_links=None)
    lock.resolve("cpu", upgrade=True, find_links=None)
    assert "\ntorch==" in seen[0]
    assert seen[1] == ""
