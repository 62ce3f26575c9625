"""How a machine is looked at: commands, files and NVML, live or replayed from a recorded host.

Everything in this room takes a `Host`, so that a machine that nobody here owns runs through the same code.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, Protocol

from lib.core import paths
from lib.core.errors import RunbookError

Reason = Literal["", "missing", "forbidden", "timeout"]
REASONS: tuple[Reason, ...] = ("missing", "forbidden", "timeout")


@dataclass(frozen=True)
class Output:
    """What a command printed; `reason` tells why there is no usable output."""

    code: int | None
    out: str = ""
    err: str = ""
    reason: Reason = ""

    @property
    def ok(self) -> bool:
        """Whether the command ran and exited 0."""
        return self.code == 0


class Host(Protocol):
    """A machine, live or recorded. Nothing here raises when a tool or file is missing."""

    @property
    def kind(self) -> Literal["live", "captured", "constructed"]:
        """How the machine is seen."""

    def run(self, *argv: str, timeout: float = 15) -> Output:
        """Run a read-only command."""

    def read(self, path: str) -> str | None:
        """Return a text file's content, or None when it is absent or unreadable."""

    def glob(self, pattern: str) -> list[str]:
        """Return absolute paths that match, sorted."""

    def nvml(self) -> dict[str, Any] | None:
        """Return a snapshot of NVML (see `lib.host.nvml`), or None without a driver."""


class LiveHost:
    """The machine it runs on. Commands run with a fixed locale, so that their output can be read."""

    kind: Literal["live"] = "live"

    def run(self, *argv: str, timeout: float = 15) -> Output:
        """Run a read-only command. ``python`` is this Python with the runbook's own modules, wherever it runs."""
        search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        program = sys.executable if argv[0] == "python" else shutil.which(argv[0], path=search)
        if program is None:
            return Output(None, reason="missing")
        environment = {**os.environ, "PATH": search, "LC_ALL": "C.UTF-8"}
        if argv[0] == "python":
            known = os.environ.get("PYTHONPATH")
            environment["PYTHONPATH"] = f"{paths.ROOT}{os.pathsep}{known}" if known else str(paths.ROOT)
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env=environment,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Output(None, reason="timeout")
        except PermissionError:
            return Output(None, reason="forbidden")
        return Output(done.returncode, done.stdout, done.stderr)

    def read(self, path: str) -> str | None:
        """Return a text file's content, or None when it is absent or unreadable."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return None

    def glob(self, pattern: str) -> list[str]:
        """Return absolute paths that match, sorted."""
        return sorted(str(path) for path in Path("/").glob(pattern.lstrip("/")))

    def nvml(self) -> dict[str, Any] | None:
        """Return a snapshot of NVML, or None without a driver."""
        from lib.host import nvml

        return nvml.snapshot()


class RecordedHost:
    """A machine replayed from a folder.

    `host.json` holds `kind` (captured or constructed), `about`, `sources` and optionally `extends`, the name of a
    neighbouring recorded host that this one overlays, and then `without`, patterns of the other's files that this
    machine does not have. `files/` mirrors the machine's file tree. `nvml.json` is a
    snapshot of NVML. `commands/*.txt` are transcripts: the first line is ``$ lspci -vvnn``, an optional second line
    ``# exit 1``, ``# missing`` or ``# forbidden``, the rest is what the command printed.
    A command that was not recorded counts as missing; a file likewise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = json.loads((folder / "host.json").read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise RunbookError("not a recorded host", where=f"{folder}/host.json: {error}") from error
        self.kind: Literal["captured", "constructed"] = about["kind"]
        self.about: dict[str, Any] = about
        self._below = RecordedHost(folder.parent / about["extends"]) if "extends" in about else None
        self._commands = dict(_transcript(path) for path in sorted((folder / "commands").glob("*.txt")))

    def run(self, *argv: str, timeout: float = 15) -> Output:
        """Return the recorded output of a command."""
        recorded = self._commands.get(argv)
        if recorded is None and self._below:
            return self._below.run(*argv, timeout=timeout)
        return recorded or Output(None, reason="missing")

    def read(self, path: str) -> str | None:
        """Return a recorded file."""
        recorded = self.folder / "files" / path.lstrip("/")
        if recorded.is_file():
            return recorded.read_text()
        return self._below.read(path) if self._below and not self._without(path) else None

    def glob(self, pattern: str) -> list[str]:
        """Return recorded paths that match, sorted."""
        root = self.folder / "files"
        own = {"/" + str(path.relative_to(root)) for path in root.glob(pattern.lstrip("/"))}
        below = self._below.glob(pattern) if self._below else []
        return sorted(own.union(path for path in below if not self._without(path)))

    def _without(self, path: str) -> bool:
        return any(fnmatch(path, pattern) for pattern in self.about.get("without", []))

    def nvml(self) -> dict[str, Any] | None:
        """Return the recorded NVML snapshot."""
        path = self.folder / "nvml.json"
        if path.exists():
            return dict(json.loads(path.read_text()))
        return self._below.nvml() if self._below else None


def _transcript(path: Path) -> tuple[tuple[str, ...], Output]:
    command, *lines = path.read_text().splitlines(keepends=True)
    argv = tuple(shlex.split(command.removeprefix("$ ")))
    mark = lines.pop(0).removeprefix("#").strip() if lines and lines[0].startswith("# ") else "exit 0"
    out = "".join(lines)
    if mark.startswith("exit "):
        return argv, Output(int(mark.removeprefix("exit ")), out)
    for reason in REASONS:
        if mark == reason:
            return argv, Output(None, out, reason=reason)
    raise RunbookError(f"unknown mark '{mark}'", where=str(path), fix="one of: exit N, missing, forbidden, timeout")


def current() -> Host:
    """Return the machine to look at: this one, or the recorded host that `RUNBOOK_HOST` names."""
    recorded = os.environ.get("RUNBOOK_HOST")
    return RecordedHost(Path(recorded)) if recorded else LiveHost()
