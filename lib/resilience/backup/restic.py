"""restic itself: one command, run to its end, and what it said turned into an answer or an error with its fix."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lib.core.errors import RunbookError
from lib.resilience.backup.repository import Repository

PATIENCE_S = 600.0
END_S = 8
MISSING = "restic is not installed"
# What restic says, and what kind of trouble it is.
KINDS = {
    "password": "wrong password or no key found",
    "locked": "already locked",
    "absent": "Is there a repository at the following location",
    "full": "no space left on device",
    "refused": r"\(403\)|403 Forbidden",  # the digits alone stand in many a pack's name
    # ssh's words; restic itself only misses the other end.
    "stranger": "Host key verification failed",
    "unwelcome": r"Permission denied \(",
    "unreachable": "connection refused|connection reset|no such host|i/o timeout|broken pipe|EOF|connect: ",
}
FIXES = {
    "password": "compare backup's password file with the page on paper",
    "locked": "wait for the other command; a lock whose process is gone is removed by `python -m lib backup verify`",
    "absent": "python -m lib backup now  (makes the repository the first time); where a bucket's history was deleted: "
    "python -m lib backup rewind MOMENT",
    "full": "make room at the target; snapshots that were complete stay whole",
    "refused": "the target is append-only: only its own side may delete",
    "stranger": "another machine answers at this address, or the target was set up anew: compare its key on its own "
    "screen (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then delete its line in known_hosts of backup.folder",
    "unwelcome": "add this host's public key to authorized_keys at the target; sftp_key names the private one",
    "unreachable": "see that the target is up and can be reached; the next backup goes on where this one ended",
    "late": "the same command goes on where this one ended; raise backup.give_up_min for a slower line",
    "damaged": "python -m lib backup verify  (says what is damaged)",
}


class ResticError(RunbookError):
    """restic did not do it; `kind` is one of `KINDS`, or ``late`` or ``damaged``; `detail` names what is damaged."""

    def __init__(self, kind: str, said: str, where: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"restic: {said}", where=where, fix=FIXES[kind])


class Said(NamedTuple):
    """What a command that succeeded said, and how long it took."""

    out: str
    error: str
    seconds: float

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines that are JSON objects."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


class Snapshot(NamedTuple):
    """One state of the past."""

    id: str
    time: datetime
    host: str
    tags: tuple[str, ...]


def program() -> str:
    """Return restic's path.

    Raises
    ------
    RunbookError
        It is not installed.
    """
    found = shutil.which("restic")
    if found is None:
        raise RunbookError(MISSING, fix="apt-get install restic")
    return found


def run(
    repository: Repository, words: Sequence[str], *, folder: Path | None = None, patience_s: float = PATIENCE_S
) -> Said:
    """Run one command of restic.

    Parameters
    ----------
    words : sequence of str
        The command and its flags; no secret is among them.
    folder : Path, optional
        Where it runs, for paths that it shall keep relative.
    patience_s : float
        It is asked to end after so long, and leaves no lock behind.

    Raises
    ------
    ResticError
        It failed, or took too long.
    """
    begun = time.monotonic()
    repository.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    repository.ssh_log.unlink(missing_ok=True)
    process = start(repository, words, folder=folder)
    try:
        out, error = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        error = _end(process)[1] + _ssh_said(repository)
        said = f"no end after {patience_s:g} s; {_last(error)}"
        raise ResticError("late" if kind(error) == "damaged" else kind(error), said, repository.name) from None
    except BaseException:
        _end(process)
        raise
    seconds = time.monotonic() - begun
    # 3: some files could not be read. They are listed in what it said, and a backup with holes is no backup.
    if process.returncode:
        error += _ssh_said(repository)
        said = _last(error) or f"exit {process.returncode}"
        raise ResticError(kind(error + out), said, repository.name, _detail(error))
    return Said(out, error, seconds)


def start(repository: Repository, words: Sequence[str], *, folder: Path | None = None) -> "subprocess.Popen[str]":
    """Start one command and return its process."""
    return subprocess.Popen(
        [program(), *repository.options(), *words],
        cwd=folder,
        env=repository.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def snapshots(repository: Repository) -> list[Snapshot]:
    """Return all snapshots, oldest first."""
    told = json.loads(run(repository, ["snapshots", "--json", "--no-lock"]).out or "null") or []
    found = [
        Snapshot(str(one["id"]), _moment(one["time"]), str(one.get("hostname", "")), tuple(one.get("tags") or ()))
        for one in told
    ]
    return sorted(found, key=lambda one: one.time)


def kind(said: str) -> str:
    """Return which trouble restic's words tell of."""
    for name, pattern in KINDS.items():
        if re.search(pattern, said):
            return name
    return "damaged"


def _end(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Ask a command to end, so that it takes its lock away; one that does not is killed."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


def _ssh_said(repository: Repository) -> str:
    try:
        return "\n" + repository.ssh_log.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _moment(told: str) -> datetime:
    """Read Go's time of nine decimals; Python takes six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", told).replace("Z", "+00:00"))


def _last(said: str) -> str:
    """Return the line that names the trouble: of a known kind, or fatal, or the last; addresses without secrets."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    known = KINDS.get(kind(said), "^Fatal")
    chosen = next((line for line in lines if re.search(known, line)), lines[-1] if lines else "")
    return re.sub(r"//([^/@\s:]+):[^/@\s]+@", r"//\1@", chosen).removeprefix("Fatal: ")


def _detail(said: str) -> str:
    """Return the first lines about a pack, an index or a tree, cut short."""
    lines = [line for line in said.splitlines() if re.search(r"pack|index|tree|blob", line, re.IGNORECASE)]
    return "; ".join(re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", line.strip()) for line in lines[:2])
