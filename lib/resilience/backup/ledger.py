"""What is remembered of each target between runs: last success of every kind, and the snapshots that were seen."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.core import paths, state
from lib.core.errors import RefusedError

JOBS = {"backup": "backup", "backup-verify": "verified", "restore-drill": "drilled"}


class Entry(BaseModel):
    """One target.

    Parameters
    ----------
    backup, verified, drilled, pruned : datetime or None
        When each last succeeded.
    seconds, rto_seconds, rpo_seconds : float
        Of the last backup and of the last restore drill.
    known : mapping of str to datetime
        Snapshots that were seen and not forgotten by this host.
    """

    backup: datetime | None = None
    verified: datetime | None = None
    drilled: datetime | None = None
    pruned: datetime | None = None
    seconds: float = 0.0
    added_bytes: int = 0
    rto_seconds: float = 0.0
    rpo_seconds: float = 0.0
    known: dict[str, datetime] = {}

    model_config = ConfigDict(extra="ignore", frozen=True)


def read(folder: Path, name: str) -> Entry:
    """Return what is known of a target; a damaged file counts as knowing nothing."""
    try:
        return Entry.model_validate_json((folder / f"{name}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return Entry()


def note(folder: Path, name: str, **changes: object) -> Entry:
    """Write down what changed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    entry = read(folder, name).model_copy(update=changes)
    state.replace(folder / f"{name}.json", entry.model_dump_json(indent=1).encode())
    return entry


def metrics(entries: Mapping[str, Entry]) -> str:
    """Return the text that node_exporter's textfile collector reads; the alerts of chapter 12 go by it.

    A job that never succeeded is as old as can be: its alert comes.
    """
    lines = ["# TYPE job_last_success_timestamp_seconds gauge"]
    for job, field in JOBS.items():
        for name, entry in entries.items():
            moment = getattr(entry, field)
            told = f'name="{job}",target="{name}"'
            seconds = f"{moment.timestamp():.0f}" if moment else "0"
            lines.append(f"job_last_success_timestamp_seconds{{{told}}} {seconds}")
    for field in ("rto_seconds", "rpo_seconds"):
        drilled = {name: entry for name, entry in entries.items() if entry.drilled}
        lines.append(f"# TYPE backup_{field} gauge")
        lines += [f'backup_{field}{{target="{name}"}} {getattr(entry, field):g}' for name, entry in drilled.items()]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the backup's folder: two backups at once would copy into each other.

    Raises
    ------
    RefusedError
        Another one is at work.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RefusedError(
                "another backup, verification or drill is at work", where=paths.short(folder), fix="wait for its end"
            ) from error
        yield
    finally:
        os.close(lock)
