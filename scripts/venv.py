"""The virtual environment: made, recognised when it is broken or somebody else's, stamped when it is complete."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.console import SetupError, say

VENV_PACKAGE = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
Version = tuple[int, int, int]
SUPPORTED = ((3, 11), (3, 12), (3, 13))


class Venv:
    """A virtual environment in the project's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.stamp = folder / "runbook.json"

    def version(self) -> Version | None:
        """Return the version of its Python, or None if that does not start or lies in another environment."""
        code = "import json, sys; print(json.dumps([sys.prefix, sys.version_info[:3]]))"
        try:
            done = subprocess.run(
                [self.python, "-c", code], capture_output=True, text=True, check=True, env=environment()
            )
            prefix, version = json.loads(done.stdout)
        except (OSError, subprocess.CalledProcessError, ValueError):
            return None
        major, minor, micro = version
        return (major, minor, micro) if Path(prefix).resolve() == self.folder.resolve() else None

    def complaint(self) -> str:
        """Return why the environment cannot be used, or the empty string."""
        if not (self.folder / "pyvenv.cfg").exists():
            return "is not there"
        version = self.version()
        if version is None:
            return "does not start (its Python was removed, or the folder was moved)"
        if version[:2] not in SUPPORTED:
            return f"has Python {version[0]}.{version[1]}"
        wanted = sys.version_info[:2]
        if os.environ.get("PYTHON") and version[:2] != wanted:
            return f"has Python {version[0]}.{version[1]}, PYTHON asks for {wanted[0]}.{wanted[1]}"
        return ""

    def ensure(self) -> None:
        """Make the environment, or make it anew if it cannot be used."""
        complaint = self.complaint()
        if not complaint:
            return
        if os.path.lexists(self.folder):
            self._remove(complaint)
        _check_ensurepip()
        say(f"making {self.folder.name} with Python {sys.version.split()[0]}")
        done = subprocess.run(
            [sys.executable, "-m", "venv", self.folder], capture_output=True, text=True, check=False, env=environment()
        )
        if done.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            raise SetupError(
                f"{sys.executable} cannot make a virtual environment", where="".join(last), fix=venv_package()
            )

    def _remove(self, complaint: str) -> None:
        """Remove a broken environment; anything that is not one is left alone."""
        ours = self.folder.is_dir() and not self.folder.is_symlink()
        if not ours or (any(self.folder.iterdir()) and not (self.folder / "pyvenv.cfg").exists()):
            name = self.folder.name
            raise SetupError(
                f"{name} is not a virtual environment of this project",
                where=str(self.folder),
                fix=f"mv {name} {name}.old",
            )
        if any(self.folder.iterdir()):
            say(f"{self.folder.name} {complaint}: removing it and making it anew")
        shutil.rmtree(self.folder)

    @property
    def site_packages(self) -> Path:
        """Return the folder of its packages."""
        return next(iter(sorted(self.folder.glob("lib/python3.*/site-packages"))), self.folder / "site-packages")

    def installed(self) -> dict[str, str]:
        """Return name and version of each package that is completely installed; pip writes INSTALLER last."""
        return dict(_name_version(folder) for folder in self._metadata() if (folder / "INSTALLER").exists())

    def remove_torn(self) -> None:
        """Forget packages whose installation was cut short, so that pip installs them again."""
        for folder in self._metadata():
            if not (folder / "INSTALLER").exists():
                shutil.rmtree(folder)

    def _metadata(self) -> list[Path]:
        return sorted(self.site_packages.glob("*.dist-info"))

    def is_complete(self, locks: Iterable[Path]) -> bool:
        """Tell whether these locks were installed here before, completely."""
        try:
            return bool(json.loads(self.stamp.read_text()) == self._state(locks)) and not self.complaint()
        except (OSError, ValueError):
            return False

    def set_complete(self, locks: Iterable[Path]) -> None:
        """Remember that these locks are installed, completely."""
        self.stamp.write_text(json.dumps(self._state(locks), indent=1))

    def unset_complete(self) -> None:
        """Forget it, before anything is changed."""
        self.stamp.unlink(missing_ok=True)

    def _state(self, locks: Iterable[Path]) -> dict[str, str]:
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in locks)).hexdigest()
        return {"locks": digest, "folder": str(self.folder.resolve())}


def environment() -> dict[str, str]:
    """Return the environment for Python and pip: without what would lead them elsewhere."""
    lead_away = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "__PYVENV_LAUNCHER__")
    kept = {key: value for key, value in os.environ.items() if key not in lead_away}
    return {**kept, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def venv_package() -> str:
    """Return the command that brings Python's venv module on Debian and Ubuntu, which package it apart."""
    return f"sudo apt-get install -y {VENV_PACKAGE}"


def _name_version(folder: Path) -> tuple[str, str]:
    name, _, version = folder.name.removesuffix(".dist-info").partition("-")
    return normalised(name), version


def has_venv_module() -> bool:
    """Tell whether this Python can make environments; Debian and Ubuntu package that apart."""
    done = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False)
    return done.returncode == 0


def _check_ensurepip() -> None:
    """Raise `SetupError` where the distribution left venv's pip out of Python's package."""
    if not has_venv_module():
        raise SetupError(
            "this Python comes without venv, which Debian and Ubuntu package apart",
            where=sys.executable,
            fix=venv_package(),
        )
