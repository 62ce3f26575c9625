"""One run at a time: a lock that the kernel drops when its holder dies."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lib.core import paths
from lib.core.errors import RefusedError, RunbookError


@contextmanager
def only_run(runs: Path) -> Iterator[None]:
    """Hold the runs folder for one run.

    Raises
    ------
    RunbookError
        The folder cannot be written.
    RefusedError
        Another run holds it; the message names its process.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        file = (runs / ".lock").open("a+")
    except OSError as error:
        raise RunbookError(
            f"the runs folder cannot be written: {error.strerror}",
            where=paths.short(runs),
            fix=f"ls -ld {paths.short(runs)}, then make it writable, or choose another with --runs FOLDER",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RefusedError(
                "another run is at work here", where=_holder(file), fix="wait for it, or stop that process"
            ) from error
        file.truncate(0)
        json.dump({"pid": os.getpid(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}, file)
        file.flush()
        yield


def _holder(file: object) -> str:
    text = Path(getattr(file, "name", "")).read_text()
    try:
        about = json.loads(text)
        return f"process {about['pid']}, since {about['since']}"
    except (json.JSONDecodeError, KeyError):
        return "process unknown"
