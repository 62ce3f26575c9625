"""The environment: recognised when it is complete, moved, or not one at all."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import venv
from scripts.console import SetupError


class TestVenv:
    def test_a_folder_that_is_none_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / "thesis.txt").write_text("years")
        with pytest.raises(SetupError, match="not a virtual environment") as caught:
            venv.Venv(tmp_path / ".venv").ensure()
        assert "mv .venv .venv.old" in str(caught.value)
        assert (tmp_path / ".venv" / "thesis.txt").read_text() == "years"

    def test_a_moved_one_is_recognised(self, tmp_path: Path) -> None:
        made = venv.Venv(tmp_path / "here" / ".venv")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.folder], check=True)
        assert made.complaint() == ""
        lock = tmp_path / "lock.txt"
        lock.write_text("alpha==1.0\n")
        made.set_complete([lock])
        assert made.is_complete([lock])
        (tmp_path / "here").rename(tmp_path / "there")
        assert not venv.Venv(tmp_path / "there" / ".venv").is_complete([lock])

    def test_another_lock_is_not_complete(self, tmp_path: Path) -> None:
        made = venv.Venv(tmp_path / ".venv")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.folder], check=True)
        lock = tmp_path / "lock.txt"
        lock.write_text("alpha==1.0\n")
        made.set_complete([lock])
        lock.write_text("alpha==1.1\n")
        assert not made.is_complete([lock])

    def test_the_wanted_python_decides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = venv.Venv(tmp_path / ".venv")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.folder], check=True)
        monkeypatch.setattr(sys, "version_info", (3, 10, 0, "final", 0))
        assert made.complaint() == ""
        monkeypatch.setenv("PYTHON", "/usr/bin/python3.10")
        assert "PYTHON asks for 3.10" in made.complaint()

    def test_venv_packaged_apart(
        self, tmp_path: Path, shims: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        python = shims("python3", "exit 1") / "python3"
        monkeypatch.setattr(sys, "executable", str(python))
        with pytest.raises(SetupError, match="without venv") as caught:
            venv.Venv(tmp_path / ".venv").ensure()
        version = ".".join(platform.python_version_tuple()[:2])
        assert f"sudo apt-get install -y python{version}-venv" in str(caught.value)
        assert not (tmp_path / ".venv").exists()
