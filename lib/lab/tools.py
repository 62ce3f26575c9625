"""What the lab needs of this machine, and the one sentence that says what is missing."""

import os
import shutil
from pathlib import Path

from lib.core.errors import RunbookError

# Program to the package that has it.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "dpkg-deb": "dpkg",
}
BUILDING = ("mmdebstrap", "mke2fs", "qemu-img", "dpkg-deb")
RUNNING = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen")
FALL_BACK = "the faster tier of network namespaces needs none of it"


class NoLabError(RunbookError):
    """Twins cannot run on this machine; the message has the command that changes it."""


def find(program: str) -> str | None:
    """Return a program's path; administrators' folders count too."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def need(*programs: str) -> None:
    """Raise `NoLabError` unless all programs are here; it names every package that is missing."""
    missing = [name for name in programs if find(name) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
        raise NoLabError(
            f"the virtual machines of the lab need {', '.join(missing)}, which this machine does not have",
            where=FALL_BACK,
            fix=f"sudo apt-get install -y --no-install-recommends {packages}",
        )


def need_root(what: str, command: str) -> None:
    """Raise `NoLabError` unless this process is root."""
    if os.geteuid() != 0:
        raise NoLabError(f"{what} needs root", where=FALL_BACK, fix=f"sudo {command}")


def need_space(folder: Path, mib: int) -> None:
    """Raise `RunbookError` unless so much is free where the folder lies."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free // 2**20
    if free < mib:
        raise RunbookError(
            f"the lab needs {mib} MiB and {free} MiB are free",
            where=str(folder),
            fix="free some space, or RUNBOOK_CACHE=/another/disk",
        )
