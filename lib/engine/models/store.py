"""The folder that holds models: paths, free space, one fetcher at a time, and finished folders put in place at once."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError

STORE = Path(".cache/models")
Report = Callable[[str], None]


def silent(_text: str) -> None:
    """Report nothing."""


def path(store: str | Path | None = None) -> Path:
    """Return the store as an absolute path; a relative one lies below the repository."""
    return paths.ROOT / (store if store is not None else STORE)


def partial(target: Path) -> Path:
    """Return the folder where a model is made before it is put in place."""
    return target.with_name(f"{target.name}.partial")


def command(verb: str, target: Path, *rest: str) -> str:
    """Return the command line that fetches or imports the model of a folder in a store."""
    elsewhere = [] if target.parent == path() else ["--store", paths.short(target.parent)]
    return " ".join(["python -m lib models", verb, target.name, *rest, *elsewhere])


def need_space(where: Path, needed: int, what: str) -> None:
    """Raise `RunbookError` unless the disk that holds `where` has `needed` bytes free."""
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free
    if free < needed:
        raise RunbookError(
            f"not enough disk space for {what}: needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB free",
            where=paths.short(where),
            fix="free space there, or set models.store in the profile to a folder on another disk",
        )


def install(made: Path, target: Path) -> None:
    """Put a finished folder in its place by renames, so that a reader sees the old one, none, or the new one."""
    _flush(made)
    old = target.with_name(f"{target.name}.damaged")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    made.rename(target)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial(target), ignore_errors=True)


@contextmanager
def lock(target: Path, report: Report = silent) -> Iterator[None]:
    """Hold a model's lock: two processes that want the same model fetch it once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"{target.name}: another process is at work on it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _flush(folder: Path) -> None:
    """Force every file to disk and let a service account read it: after a power cut a name must not lead to zeros."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            _sync(file)
    _sync(folder)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
