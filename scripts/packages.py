"""The packages of a lock, brought into the virtual environment by pip: resumable, and silent but for its progress."""

import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.console import Progress, SetupError, say
from scripts.venv import Venv, Version, environment, normalised

# Packages that one call of pip installs: what was cut short is lost, what was finished stays.
BATCH = 24
# A slow line gets time, a dead one does not: the first call to an index that may be out of reach.
PROBE = ("--timeout", "15", "--retries", "1")


@dataclass(frozen=True)
class Entry:
    """One package of a lock: its name, its version, and its lines, with hashes."""

    name: str
    version: str
    text: str

    def is_for(self, python: Version) -> bool:
        """Whether its marker, if it has one, names this version of Python."""
        marker = self.text.partition("\\")[0].partition(";")[2]
        return all(_holds(condition.strip(), python) for condition in marker.split(" and ") if condition.strip())


def _holds(condition: str, python: Version) -> bool:
    """Evaluate one condition of a marker; `make lock` leaves only those on Python's version."""
    match = re.fullmatch(r"python_full_version (<|>=|==) '([\d.]+?)(\.\*)?'", condition)
    if match is None:
        raise SetupError(f"a marker of the lock is not understood: {condition}", fix="make lock")
    version = tuple(int(part) for part in match[2].split("."))
    if match[1] == "==":
        return python[: len(version)] == version
    return python >= version if match[1] == ">=" else python < version


def read_lock(file: Path) -> list[Entry]:
    """Return the entries of a lock in pip's requirements format."""
    lines = "".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("#"))
    texts = [text for text in re.split(r"(?<!\\)\n", lines) if text.strip()]
    return [
        Entry(normalised(match[1]), match[2], text)
        for text in texts
        if (match := re.match(r"([^=]+)==([^ ;\\]+)", text))
    ]


class Installer:
    """Brings the packages of a lock into an environment."""

    def __init__(self, venv: Venv, entries: Sequence[Entry], cache: Path, log: Path) -> None:
        self.venv, self.entries, self.log = venv, entries, log
        self.work = cache / "setup"
        self.total = len(self.wanted)
        self.progress = Progress("packages")

    @property
    def wanted(self) -> list[Entry]:
        """Entries that are for the environment's Python, or, before there is one, for the Python that makes it."""
        python = self.venv.version() or sys.version_info[:3]
        return [entry for entry in self.entries if entry.is_for(python)]

    @property
    def missing(self) -> list[Entry]:
        """Wanted entries that are not installed in their version."""
        have = self.venv.installed()
        return [entry for entry in self.wanted if have.get(entry.name) != entry.version]

    def run(self, torch_index: str) -> None:
        """Install what is missing and remove what is not in the lock."""
        self.work.mkdir(parents=True, exist_ok=True)
        self.venv.remove_torn()
        self._remove_extra()
        try:
            self._install_missing(torch_index)
        except BaseException:
            self.progress.broken()
            raise
        self.progress.done(f"{len(self.venv.installed())} installed")
        if lost := [entry.name for entry in self.missing]:
            raise SetupError(
                f"pip installed all but: {', '.join(lost)}", where=str(self.log), fix="make distclean, then again"
            )
        self._compile()

    def _install_missing(self, torch_index: str) -> None:
        missing = self.missing
        # The pinned pip first: the one that came with Python may be too old to resume a download.
        first = [entry for entry in missing if entry.name == "pip"]
        apart = [entry for entry in missing if "--hash" not in entry.text]
        rest = [entry for entry in missing if entry not in first and entry not in apart]
        if first:
            self._install(first, *PROBE)
        for entry in apart:
            self._install_apart(entry, torch_index)
        for start in range(0, len(rest), BATCH):
            self._install(rest[start : start + BATCH], "--resume-retries", "5")

    def _install_apart(self, entry: Entry, index: str) -> None:
        """Install the CPU build of torch: from where pip is configured to look, else from the PyTorch index."""
        try:
            self._install([entry], *PROBE)
        except (NotServedError, UnreachableError) as error:
            say(f"{entry.name} {entry.version} is not where pip is configured to look, asking {index}")
            first = error
        else:
            return
        try:
            self._install([entry], "--index-url", index, "--resume-retries", "5", *PROBE)
        except (NotServedError, UnreachableError) as error:
            python = f"{sys.version_info[0]}.{sys.version_info[1]}"
            if isinstance(first, UnreachableError) and isinstance(error, UnreachableError):
                raise
            raise SetupError(
                f"{entry.name} {entry.version} cannot be had",
                where=f"neither where pip is configured to look nor at {index}",
                fix=f"allow that address, or have a wheel for Python {python} in a folder: PIP_FIND_LINKS=/folder",
            ) from error

    def _install(self, entries: Sequence[Entry], *options: str) -> None:
        file = self.work / "requirements.txt"
        file.write_text("".join(f"{entry.text}\n" for entry in entries))
        self._pip("install", "--no-deps", "--no-compile", "--progress-bar", "off", *options, "-r", str(file))

    def _remove_extra(self) -> None:
        known = {entry.name for entry in self.entries} | {"pip"}
        extra = sorted(set(self.venv.installed()) - known)
        if extra:
            say(f"removing packages that are not in the lock: {len(extra)}")
            self._pip("uninstall", "-y", *extra)

    def _pip(self, *arguments: str) -> None:
        """Run pip with its output in the log; show how far it is; raise what its last words mean."""
        temporary = self.work / "tmp"
        temporary.mkdir(exist_ok=True)
        # Wheels are unpacked here: the disk that was checked, not a small /tmp.
        settings = {**environment(), "TMPDIR": str(temporary), "LC_ALL": "C.UTF-8"}
        command = [str(self.venv.python), "-m", "pip", *arguments]
        start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a") as file:
            file.write(f"$ pip {' '.join(arguments)}\n")
            file.flush()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=settings)
            try:
                while process.poll() is None:
                    self.progress.show(self._state(start))
                    time.sleep(0.2)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode:
            raise explain(self._words(start), self.log)

    def _words(self, start: int) -> str:
        with self.log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def _state(self, start: int) -> str:
        at_work = re.findall(r"^(?:Collecting|Processing) (?:\S*/)?([\w.]+(?:-[a-z][\w.]*)*)", self._words(start), re.M)
        return f"{len(self.venv.installed())} of {self.total}" + (f", {at_work[-1]}" if at_work else "")

    def _compile(self) -> None:
        """Compile all modules on all cores, which pip does on one; without it every start of the engine would."""
        say("compiling the packages' modules")
        options = ("-q", "-j", "0", "-x", r"/tests?/")
        command = [str(self.venv.python), "-m", "compileall", *options, str(self.venv.site_packages)]
        with self.log.open("a") as file:
            # Some packages carry templates that are no valid Python: compileall names them and exits 1.
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment(), check=False)


class NotServedError(SetupError):
    """No index that pip knows has the version."""


class UnreachableError(SetupError):
    """An index does not answer."""


NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
ALTERED = re.compile(r"DO NOT MATCH THE HASHES|HashMismatch", re.I)
REFUSED = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError")
UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|timed out|Connection refused"
    r"|Network is unreachable|ProxyError|Connection aborted|ConnectionReset|IncompleteRead|Connection broken"
    r"|Max retries exceeded"
)
NOT_SERVED = re.compile(r"No matching distribution found for (\S+)")


def explain(words: str, log: Path) -> SetupError:
    """Return what pip's output means for a person."""
    again = "then run the same command again: what was installed is kept"
    if NO_SPACE.search(words):
        return SetupError("the disk is full", where=str(log), fix=f"make room (df -h .), {again}")
    if ALTERED.search(words):
        return SetupError(
            "a downloaded package is not the one that the lock names (its sha256 differs)",
            where=f"{log}, 'Expected sha256'",
            fix=f"pip cache purge, {again}; if it stays so, the index that pip uses serves altered files",
        )
    if REFUSED.search(words):
        return SetupError(
            "the package index was reached, but its certificate is not trusted",
            where=_decisive(words) or str(log),
            fix=f"behind an inspecting proxy: PIP_CERT=/path/to/its-ca.pem make ...; {again}",
        )
    if UNREACHABLE.search(words):
        return UnreachableError(
            "no network: the package index cannot be reached",
            where=_decisive(words) or str(log),
            fix=f"check the connection (behind a proxy: HTTPS_PROXY), {again}",
        )
    if found := NOT_SERVED.search(words):
        return NotServedError(
            f"the package index does not have {found[1]}", where=str(log), fix="pip config list  (which index is it?)"
        )
    return SetupError("pip failed", where=f"{log}: {_decisive(words)}", fix=f"read the log, {again}")


def _decisive(words: str) -> str:
    """Return the line that tells most: the last error, else the last warning about a connection."""
    errors = [line for line in words.splitlines() if line.startswith("ERROR:")]
    warnings = [line for line in words.splitlines() if UNREACHABLE.search(line) or REFUSED.search(line)]
    return (warnings or errors or [""])[-1].strip()[:300]


def torch_index(pyproject: Path) -> str:
    """Return the address of the PyTorch CPU wheel index; it is written in pyproject.toml alone."""
    indexes = tomllib.loads(pyproject.read_text())["tool"]["uv"]["index"]
    return str(next(index["url"] for index in indexes if index["name"] == "pytorch-cpu"))
