"""What set-up needs to know about this machine and may add to it: hardware, disk space, system packages."""

import ctypes
import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from scripts.console import SetupError, say

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CHOICES = ("cpu", "cuda")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def hardware(wanted: str, driver: Path = NVIDIA_DRIVER) -> str:
    """Return which lock fits: `wanted` if it is given, else `cuda` where an NVIDIA driver is loaded."""
    if wanted in CHOICES:
        return wanted
    if wanted:
        near = get_close_matches(wanted, CHOICES, n=1, cutoff=0.3)
        raise SetupError(
            f"unknown hardware '{wanted}'", where="HARDWARE", nearest="".join(near), fix="HARDWARE=cpu or HARDWARE=cuda"
        )
    return "cuda" if driver.exists() else "cpu"


def check_platform() -> None:
    """Raise `SetupError` where the engine has no wheel."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise SetupError(
            f"the engine's packages are built for Linux x86_64, this is {system} {machine}",
            fix="use a Linux x86_64 machine, or a virtual one",
        )


def check_space(folder: Path, gigabytes: float) -> None:
    """Raise `SetupError` unless so much disk space is free where `folder` is."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise SetupError(
            f"set-up needs {gigabytes:.1f} GB of free disk space, there are {free:.1f} GB",
            where=str(folder),
            fix=f"make room (df -h {folder}), or clone the repository onto a larger disk",
        )


@dataclass(frozen=True)
class SystemPackage:
    """A package of the distribution, and the program, library or header that shows that it is there."""

    name: str
    shown_by: str
    used_by: str
    purpose: str

    @property
    def missing(self) -> bool:
        """Whether that program, library or header is not found where it is looked for."""
        if ".so" in self.shown_by:
            return not _loads(self.shown_by)
        if self.shown_by.endswith(".h"):
            folders = (sysconfig.get_paths()["include"], "/usr/include")
            return not any(Path(folder, self.shown_by).exists() for folder in folders)
        return shutil.which(self.shown_by, path=SEARCH) is None

    @property
    def required(self) -> bool:
        """Whether the engine does not start without it."""
        return self.used_by in CHOICES


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def read_packages(file: Path, purposes: Sequence[str]) -> list[SystemPackage]:
    """Return the packages of a list (see runbook/system-packages.txt) that are used by one of `purposes`."""
    lines = [line.split(maxsplit=3) for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return [package for package in (SystemPackage(*line) for line in lines) if package.used_by in purposes]


def install_packages(packages: Sequence[SystemPackage], allowed: bool, cache: Path) -> None:
    """Install what is missing where that is possible; otherwise say the one command and go on.

    What could not be installed once is not tried again: `cache` remembers it.

    Raises
    ------
    SetupError
        A package without which the engine does not start is missing in the end.
    """
    missing = [package for package in packages if package.missing]
    names = [package.name for package in missing]
    tried = cache / "system-packages-tried.txt"
    prefix = may_install() if missing and allowed else None
    if prefix is not None and not (tried.exists() and set(names) <= set(tried.read_text().split())):
        say("installing system packages (SYSTEM_PACKAGES=no declines):")
        for package in missing:
            say(f"  {package.name.ljust(15)} {package.purpose}")
        apt(prefix, names, cache / "setup.log")
        quiet(prefix, names, cache / "setup.log")
        missing = [package for package in missing if package.missing]
        tried.write_text("\n".join(package.name for package in missing))
    if missing:
        _tell_missing(missing)


def _tell_missing(missing: Sequence[SystemPackage]) -> None:
    command = f"sudo apt-get install -y --no-install-recommends {' '.join(package.name for package in missing)}"
    required = [f"{package.name} ({package.purpose})" for package in missing if package.required]
    if required:
        raise SetupError(f"the engine needs a system package that is not installed: {', '.join(required)}", fix=command)
    names = ", ".join(package.name for package in missing)
    say(f"not installed, so what needs them is skipped and says so: {names}  ({command})")


def may_install() -> list[str] | None:
    """Return what to put before apt-get so that it runs as root without a question, or None if it cannot."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return sudo
    return None


def apt(prefix: list[str], names: list[str], log: Path) -> None:
    """Install packages; refresh the package list if it does not know them, then take those that exist."""
    if _run([*prefix, *APT, "install", *names], log):
        return
    _run([*prefix, *APT, "update"], log)
    if not _run([*prefix, *APT, "install", *names], log):
        for name in names:
            _run([*prefix, *APT, "install", name], log)


def quiet(prefix: list[str], names: list[str], log: Path) -> None:
    """Stop what the distribution starts by itself: the runbook runs these programs on the lab's twins only."""
    for name in SERVICES.intersection(names):
        if shutil.which("systemctl", path=SEARCH):
            _run([*prefix, "systemctl", "disable", "--now", name], log)


# Packages whose installation starts a service of the same name, open to the network.
SERVICES = frozenset({"nginx"})
APT = (
    *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "--no-install-recommends"),
    *("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "DPkg::Lock::Timeout=60"),
)


def _run(command: list[str], log: Path) -> bool:
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False).returncode == 0
