"""Packages: where torch comes from, altered files, and what pip's words mean."""

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_index import TORCH, Index, module

from lib.core import paths
from scripts import packages, venv
from scripts.console import Progress, SetupError, duration
from scripts.packages import Installer, NotServedError, UnreachableError, explain, read_lock

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> venv.Venv:
    """An environment with the pip of these tests' environment."""
    made = venv.Venv(tmp_path_factory.mktemp("torch") / ".venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.folder], check=True)
    distribution = importlib.metadata.distribution("pip")
    source = Path(str(distribution.locate_file("")))
    for name in ("pip", f"pip-{distribution.version}.dist-info"):
        shutil.copytree(source / name, made.site_packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    return made


class TestTorch:
    """Its two sources, with the other one away."""

    @pytest.fixture
    def installer(self, ready: venv.Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
        for key in [key for key in os.environ if key.startswith("PIP_")]:
            monkeypatch.delenv(key)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setattr(packages, "PROBE", ("--timeout", "1", "--retries", "1"))
        for folder in ready.site_packages.glob("torch*"):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        lock = tmp_path / "torch.txt"
        lock.write_text(f"{TORCH}\n")
        return Installer(ready, read_lock(lock), tmp_path, tmp_path / "setup.log")

    @pytest.fixture
    def black_hole(self) -> Iterator[tuple[str, socket.socket]]:
        """An address that takes connections and never answers; its socket shows whether anybody came."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener

    def test_wheel_folder_is_enough_and_the_index_is_not_asked(
        self, installer: Installer, index: Index, black_hole: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address, listener = black_hole
        folder = module(index.root.parent / "folder", "torch", "2.13.0+cpu").parent
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        installer.run(address)
        assert installer.venv.installed()["torch"] == "2.13.0+cpu"
        with pytest.raises(BlockingIOError):
            listener.accept()

    def test_index_serves_what_pip_does_not_find(
        self, installer: Installer, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "own").mkdir()
        usual = Index(tmp_path / "own")
        usual.add(module(tmp_path / "made", "torch", "2.13.0"))
        index.add(module(tmp_path / "made", "torch", "2.13.0+cpu"))
        monkeypatch.setenv("PIP_INDEX_URL", usual.address)
        installer.run(index.address)
        usual.close()
        assert installer.venv.installed()["torch"] == "2.13.0+cpu"

    def test_neither_has_it(
        self, installer: Installer, index: Index, black_hole: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        started = time.monotonic()
        with pytest.raises(SetupError, match=r"torch 2\.13\.0\+cpu cannot be had") as caught:
            installer.run(black_hole[0])
        assert "PIP_FIND_LINKS=/folder" in str(caught.value)
        assert time.monotonic() - started < 30

    def test_no_network_at_all_is_called_that(
        self, installer: Installer, black_hole: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", black_hole[0])
        with pytest.raises(UnreachableError, match="no network"):
            installer.run(black_hole[0])

    def test_another_file_than_the_lock_names_is_refused(
        self, installer: Installer, index: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index.add(module(index.root.parent / "made", "alpha", "1.0"))
        monkeypatch.setenv("PIP_INDEX_URL", index.address)
        installer.entries = [packages.Entry("alpha", "1.0", f"alpha==1.0 --hash=sha256:{'0' * 64}")]
        with pytest.raises(SetupError, match="not the one that the lock names"):
            installer.run(index.address)
        assert "alpha" not in installer.venv.installed()


class TestWords:
    """What pip says, and what it means."""

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("OSError: [Errno 28] No space left on device", "the disk is full"),
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
                "not the one that the lock names",
            ),
            ("... Failed to resolve 'host' ([Errno -3] Temporary failure in name resolution)", "no network"),
            ("ReadTimeoutError: HTTPSConnectionPool(host='h', port=443): Read timed out.", "no network"),
            ("WARNING: Retrying ... ProxyError('Cannot connect to proxy.')", "no network"),
            (
                "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...'))",
                "certificate is not trusted",
            ),
            ("ERROR: No matching distribution found for alpha==1.0", "does not have alpha==1.0"),
            ("ERROR: something new", "pip failed"),
        ],
    )
    def test_is_explained(self, tmp_path: Path, said: str, meant: str) -> None:
        error = explain(f"Collecting alpha\n{said}\n", tmp_path / "setup.log")
        assert meant in str(error)
        assert "fix: " in str(error)

    def test_a_missing_version_is_told_apart_from_a_missing_network(self, tmp_path: Path) -> None:
        missing = "ERROR: No matching distribution found for alpha==1.0"
        assert isinstance(explain(missing, tmp_path), NotServedError)
        assert isinstance(explain(f"WARNING: ... NewConnectionError(...)\n{missing}", tmp_path), UnreachableError)

    @pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (89, "89 s"), (150, "2 min"), (3600, "60 min")])
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    def test_progress_is_quiet_where_nobody_watches(self, capsys: pytest.CaptureFixture[str]) -> None:
        progress = Progress("packages", every=3600)
        for number in range(50):
            progress.show(f"{number} of 50")
        progress.done("50 of 50")
        assert len(capsys.readouterr().out.splitlines()) == 2

    def test_lock_entries(self, tmp_path: Path) -> None:
        lock = tmp_path / "lock.txt"
        lock.write_text(
            "# about\nruamel.yaml==0.19.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
            "scipy==1.17.1 ; python_full_version < '3.12' \\\n    --hash=sha256:cc\ntorch==2.13.0+cpu\n"
        )
        entries = read_lock(lock)
        assert [(entry.name, entry.version) for entry in entries] == [
            ("ruamel-yaml", "0.19.1"),
            ("scipy", "1.17.1"),
            ("torch", "2.13.0+cpu"),
        ]
        assert [entry.is_for((3, 11, 9)) for entry in entries] == [True, True, True]
        assert [entry.is_for((3, 12, 0)) for entry in entries] == [True, False, True]

    @pytest.mark.parametrize(
        ("marker", "python", "holds"),
        [
            ("python_full_version >= '3.11.5'", (3, 11, 4), False),
            ("python_full_version >= '3.11.5'", (3, 11, 5), True),
            ("python_full_version == '3.12.*'", (3, 12, 7), True),
            ("python_full_version == '3.12.*'", (3, 13, 0), False),
            ("python_full_version >= '3.12' and python_full_version < '3.13'", (3, 12, 7), True),
            ("python_full_version >= '3.12' and python_full_version < '3.13'", (3, 13, 0), False),
        ],
    )
    def test_markers(self, marker: str, python: venv.Version, holds: bool) -> None:
        assert packages.Entry("a", "1", f"a==1 ; {marker} \\\n    --hash=sha256:aa").is_for(python) is holds

    @pytest.mark.parametrize("hardware", ["cpu", "cuda"])
    def test_markers_of_the_real_locks_are_understood(self, hardware: str) -> None:
        entries = read_lock(paths.LOCKS / f"{hardware}.txt")
        for python in ((3, 11, 2), (3, 12, 3), (3, 13, 5)):
            names = [entry.name for entry in entries if entry.is_for(python)]
            assert len(names) == len(set(names)) > 200

    def test_an_unknown_marker_is_an_error(self) -> None:
        with pytest.raises(SetupError, match="not understood: os_name == 'posix'"):
            packages.Entry("a", "1", "a==1 ; os_name == 'posix'").is_for((3, 11, 0))
