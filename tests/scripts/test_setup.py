"""Set-up as a stranger meets it: the whole of it, cut short, without a network, with a wrong Python, through make."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_index import Index, Project, module, pinned

from lib.core import paths
from scripts import venv

pytestmark = pytest.mark.timeout(180)
COMPLETE = {"alpha": "1.0", "beta": "2.0", "torch": "2.13.0+cpu"}


class TestSetUp:
    def test_installs_the_lock_then_repeats_at_once_and_follows_changes(self, project: Project, index: Index) -> None:
        first = project.setup("--profile", "embedded")
        assert first.returncode == 0, first.stdout + first.stderr
        assert project.installed() == COMPLETE
        assert "called: models fetch --profile embedded with alpha 1.0" in first.stdout
        assert "WARNING" not in first.stdout + first.stderr
        assert "4 of 4 packages into .venv, 0.0 GB to download" in first.stdout

        index.asked.clear()
        started = time.monotonic()
        again = project.setup("--profile", "embedded")
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert time.monotonic() - started < 2
        assert not index.asked

        (project.folder / ".cache" / "models" / "small" / "model.safetensors").unlink()
        assert "called: models fetch" in project.setup("--profile", "embedded").stdout
        assert "models of profile h200 are fetched by" in project.setup("--profile", "h200").stdout

        # A package torn by a power cut, one that somebody put there, one that the lock raises: all put right.
        site = venv.Venv(project.folder / ".venv").site_packages
        (site / "alpha-1.0.dist-info" / "INSTALLER").unlink()
        (site / "alpha.py").write_text("torn")
        stranger = module(project.wheels, "stranger", "9.0")
        pip = [
            str(project.folder / ".venv" / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            str(stranger),
        ]
        subprocess.run(pip, check=True, env=project.env, capture_output=True)
        locks = project.folder / "runbook" / "locks" / "cpu.txt"
        newer = pinned(index.add(project.make("beta", "2.1")))
        locks.write_text(re.sub(r"beta==2\.0 \\\n.*\n", lambda _: newer, locks.read_text()))
        changed = project.setup()
        assert changed.returncode == 0, changed.stdout + changed.stderr
        assert project.installed() == {**COMPLETE, "beta": "2.1"}
        assert (site / "alpha.py").read_text() == "VERSION = '1.0'\n"

    def test_goes_on_after_an_interruption(self, project: Project, index: Index) -> None:
        index.go_on.clear()
        with subprocess.Popen(
            project.command, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            deadline = time.monotonic() + 60
            while not any(path.endswith(".whl") for path in index.asked) and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            output = process.communicate(timeout=30)[0]
        assert process.returncode == 130, output
        assert "interrupted; the same command goes on from here" in output
        index.go_on.set()
        second = project.setup()
        assert second.returncode == 0, second.stdout + second.stderr
        assert "making .venv" not in second.stdout
        assert project.installed() == COMPLETE

    def test_no_network(self, project: Project) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = project.setup(PIP_INDEX_URL=nobody)
        assert done.returncode == 2
        assert "error: no network: the package index cannot be reached" in done.stderr
        assert "what was installed is kept" in done.stderr
        assert "Traceback" not in done.stderr

    def test_broken_environment_is_made_anew(self, project: Project) -> None:
        folder = project.folder / ".venv"
        (folder / "bin").mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
        (folder / "bin" / "python").symlink_to("/nowhere/python3.12")
        done = project.setup()
        assert done.returncode == 0, done.stdout + done.stderr
        assert ".venv does not start" in done.stdout
        assert project.installed() == COMPLETE

    def test_two_at_once_make_one_environment(self, project: Project) -> None:
        both = [
            subprocess.Popen(
                project.command, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for _ in range(2)
        ]
        outputs = [process.communicate(timeout=150)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        assert sum("another set-up is at work here" in output for output in outputs) == 1
        assert sum("making .venv" in output for output in outputs) == 1


class TestPython:
    OLD = 'case "$2" in *platform*) echo 3.9.18;; *) exit 1;; esac'

    @pytest.fixture
    def bare(self, shims: Callable[..., Path]) -> Path:
        """A search path with no more than set-up's first steps need."""
        folder = shims("unused")
        (folder / "dirname").symlink_to(str(shutil.which("dirname")))
        return folder

    def run(self, tmp_path: Path, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run set-up from a copy that has no .venv to fall back on."""
        shutil.copytree(paths.ROOT / "scripts", tmp_path / "copy" / "scripts")
        command = [str(shutil.which("sh")), str(tmp_path / "copy" / "scripts" / "setup.sh"), "--help"]
        return subprocess.run(command, env={"PATH": str(path), **env}, capture_output=True, text=True, check=False)

    def test_an_old_one_is_named_with_the_way_out(self, tmp_path: Path, bare: Path, shims: Callable[..., Path]) -> None:
        shims("python3", self.OLD)
        done = self.run(tmp_path, bare)
        assert done.returncode == 2
        assert "error: no Python 3.11, 3.12 or 3.13 was found" in done.stderr
        assert "python3=3.9.18" in done.stderr
        assert "PYTHON=/path/to/python3.12" in done.stderr
        assert "apt-get" not in done.stderr

    def test_none_at_all_on_debian(self, tmp_path: Path, bare: Path, shims: Callable[..., Path]) -> None:
        shims("apt-get")
        done = self.run(tmp_path, bare)
        assert done.returncode == 2
        assert "found: none" in done.stderr
        assert "sudo apt-get install -y python3 python3-venv" in done.stderr
        assert not (tmp_path / "calls").exists()

    def test_a_fitting_one_beside_an_old_one_is_taken(
        self, tmp_path: Path, bare: Path, shims: Callable[..., Path]
    ) -> None:
        shims("python3", self.OLD)
        (bare / "python3.13").symlink_to(sys.executable)
        done = self.run(tmp_path, bare)
        assert done.returncode == 0, done.stderr
        assert "--hardware" in done.stdout

    def test_the_one_that_was_asked_for_must_fit(self, tmp_path: Path, bare: Path, shims: Callable[..., Path]) -> None:
        old = shims("python3.9", self.OLD) / "python3.9"
        (bare / "python3").symlink_to(sys.executable)
        done = self.run(tmp_path, bare, PYTHON=str(old))
        assert done.returncode == 2
        assert f"where: PYTHON={old}" in done.stderr


class TestMake:
    def test_help_is_the_default_and_names_every_command(self) -> None:
        done = subprocess.run(["make"], cwd=paths.ROOT, capture_output=True, text=True, check=True)
        named = {
            line.split()[0]
            for line in done.stdout.splitlines()
            if line and not line.startswith(("make", "PROFILE", "REPORT_LANG", "HARDWARE"))
        }
        declared = re.search(r"^\.PHONY: (help .*)$", (paths.ROOT / "Makefile").read_text(), re.M)
        assert declared is not None
        assert named == set(declared[1].split())

    def test_clean_keeps_the_environment_and_the_models(self, project: Project) -> None:
        kept = [".venv/runbook.json", ".cache/models/smollm2/model.safetensors", "lib/__main__.py"]
        removed = [".cache/setup.log", "runbook/runs/latest/run.json", "lib/__pycache__/a.pyc"]
        for name in kept + removed:
            file = project.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for folder in ("notebooks", "tests"):
            (project.folder / folder).mkdir()
        make = ["make", "--no-print-directory", "-C", str(project.folder)]
        subprocess.run([*make, "clean"], check=True, capture_output=True)
        assert [name for name in kept if (project.folder / name).exists()] == kept
        assert [name for name in removed if (project.folder / name).exists()] == []
        subprocess.run([*make, "distclean"], check=True, capture_output=True)
        assert not (project.folder / ".venv").exists()
        assert not (project.folder / ".cache").exists()

    def test_shell_scripts_are_clean(self) -> None:
        program = shutil.which("shellcheck")
        if program is None:
            pytest.skip("shellcheck is not installed: sudo apt-get install shellcheck")
        scripts = [str(paths.ROOT / "scripts" / "setup.sh"), str(paths.ROOT / ".ci" / "run")]
        done = subprocess.run([program, *scripts], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
