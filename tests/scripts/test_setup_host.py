"""The machine: which lock it takes, whether there is room, which system packages it lacks."""

import os
import platform
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import paths
from scripts import host
from scripts.console import SetupError


def calls(tmp_path: Path) -> list[str]:
    log = tmp_path / "calls"
    return log.read_text().splitlines() if log.exists() else []


class TestHost:
    def test_driver_decides(self, tmp_path: Path) -> None:
        assert host.hardware("", tmp_path / "version") == "cpu"
        (tmp_path / "version").write_text("NVRM version: ...")
        assert host.hardware("", tmp_path / "version") == "cuda"
        assert host.hardware("cpu", tmp_path / "version") == "cpu"

    def test_unknown_hardware_names_the_nearest(self) -> None:
        with pytest.raises(SetupError, match="did you mean: cuda"):
            host.hardware("cudo")

    def test_no_space(self, tmp_path: Path) -> None:
        with pytest.raises(SetupError, match=r"needs 99999999\.0 GB of free disk space, there are"):
            host.check_space(tmp_path, 99_999_999)
        host.check_space(tmp_path, 0)

    def test_other_machines_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host.check_platform()
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        with pytest.raises(SetupError, match="built for Linux x86_64, this is Linux arm64"):
            host.check_platform()


@pytest.fixture
def wanted() -> list[host.SystemPackage]:
    return [host.SystemPackage("probe-tools", "probe-tool", "runbook", "looks at the probe (chapter 01)")]


class TestSystemPackages:
    @pytest.fixture(autouse=True)
    def _search(self, shims: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
        folder = shims("unused")
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setattr(host, "SEARCH", os.environ["PATH"])
        monkeypatch.setattr(os, "geteuid", lambda: 0)

    def install(self, tmp_path: Path) -> str:
        return f'touch "{tmp_path}/bin/probe-tool"; chmod +x "{tmp_path}/bin/probe-tool"'

    def test_root_installs_what_is_missing(
        self,
        tmp_path: Path,
        shims: Callable[..., Path],
        wanted: list[host.SystemPackage],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shims("apt-get", self.install(tmp_path))
        host.install_packages(wanted, True, tmp_path)
        assert len(calls(tmp_path)) == 1
        assert calls(tmp_path)[0].endswith("install probe-tools")
        assert "looks at the probe (chapter 01)" in capsys.readouterr().out
        host.install_packages(wanted, True, tmp_path)
        assert len(calls(tmp_path)) == 1

    def test_an_old_package_list_is_refreshed(
        self, tmp_path: Path, shims: Callable[..., Path], wanted: list[host.SystemPackage]
    ) -> None:
        refreshed = f'case "$*" in *update) touch "{tmp_path}/list";; esac; test -e "{tmp_path}/list" || exit 100'
        shims("apt-get", f'{refreshed}; case "$*" in *install*) {self.install(tmp_path)};; esac')
        host.install_packages(wanted, True, tmp_path)
        assert [line.split()[-1] for line in calls(tmp_path)] == ["probe-tools", "update", "probe-tools"]
        assert not wanted[0].missing

    def test_what_cannot_be_had_is_said_and_not_tried_again(
        self,
        tmp_path: Path,
        shims: Callable[..., Path],
        wanted: list[host.SystemPackage],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shims("apt-get", "exit 100")
        host.install_packages(wanted, True, tmp_path)
        assert "not installed, so what needs them is skipped" in capsys.readouterr().out
        tries = len(calls(tmp_path))
        host.install_packages(wanted, True, tmp_path)
        assert len(calls(tmp_path)) == tries
        assert "sudo apt-get install -y --no-install-recommends probe-tools" in capsys.readouterr().out

    def test_declined_or_not_allowed(
        self,
        tmp_path: Path,
        shims: Callable[..., Path],
        wanted: list[host.SystemPackage],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shims("apt-get")
        shims("sudo", "exit 1")
        host.install_packages(wanted, False, tmp_path)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        host.install_packages(wanted, True, tmp_path)
        assert calls(tmp_path) == ["sudo -n true"]
        assert capsys.readouterr().out.count("sudo apt-get install -y") == 2

    def test_a_server_that_came_with_it_does_not_stay(
        self, tmp_path: Path, shims: Callable[..., Path], wanted: list[host.SystemPackage]
    ) -> None:
        shims("apt-get", self.install(tmp_path))
        shims("systemctl")
        served = [wanted[0], host.SystemPackage("nginx", "no-such-server", "runbook", "on a twin")]
        host.install_packages(served, True, tmp_path)
        assert [call for call in calls(tmp_path) if call.startswith("systemctl")] == ["systemctl disable --now nginx"]

    def test_a_server_that_was_there_before_is_left_alone(
        self, tmp_path: Path, shims: Callable[..., Path], wanted: list[host.SystemPackage]
    ) -> None:
        shims("apt-get", self.install(tmp_path))
        shims("systemctl")
        shims("nginx")
        host.install_packages([*wanted, host.SystemPackage("nginx", "nginx", "runbook", "on a twin")], True, tmp_path)
        assert [call for call in calls(tmp_path) if call.startswith("systemctl")] == []

    def test_sudo_without_a_password_is_used(
        self,
        tmp_path: Path,
        shims: Callable[..., Path],
        wanted: list[host.SystemPackage],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shims("apt-get", self.install(tmp_path))
        shims("sudo", 'shift; exec "$@"')
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        host.install_packages(wanted, True, tmp_path)
        assert not wanted[0].missing
        assert calls(tmp_path)[0] == "sudo -n true"

    @pytest.mark.parametrize("shown_by", ["libnowhere.so.9", "nowhere.h", "nowhere-tool"])
    def test_what_the_engine_needs_is_no_option(
        self, tmp_path: Path, shims: Callable[..., Path], shown_by: str
    ) -> None:
        shims("apt-get", "exit 100")
        package = host.SystemPackage("libnowhere9", shown_by, "cpu", "its kernels are linked with it")
        with pytest.raises(SetupError, match="the engine needs a system package") as caught:
            host.install_packages([package], True, tmp_path)
        assert "sudo apt-get install -y --no-install-recommends libnowhere9" in str(caught.value)

    def test_programs_libraries_and_headers_are_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "Python.h").touch()
        monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
        for shown_by in ("libc.so.6", "Python.h", "sh"):
            assert not host.SystemPackage("any", shown_by, "runbook", "any").missing

    def test_the_real_list_is_used(self) -> None:
        """Each package of the list is there for a program that some chapter or test calls by name."""
        listed = host.read_packages(paths.RUNBOOK / "system-packages.txt", ["runbook", "tests"])
        code = {
            "runbook": "".join(path.read_text() for path in (paths.ROOT / "lib").rglob("*.py")),
            "tests": "".join(path.read_text() for path in (paths.ROOT / "tests").rglob("*.py")),
        }
        assert {package.used_by for package in listed} == {"runbook", "tests"}
        assert all(len(package.purpose) > 10 for package in listed)
        assert [package.name for package in listed if f'"{package.shown_by}"' not in code[package.used_by]] == []
