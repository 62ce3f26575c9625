"""One process writes to a memory; another is told who does."""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from lib.core import paths
from lib.core.errors import RefusedError


def hold(folder: Path) -> IO[str]:
    """Return the lock file of a memory, locked and with this process's number in it; closing it lets go.

    Raises
    ------
    RefusedError
        Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (folder / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read()
        file.close()
        with suppress(ValueError):
            holder = f"process {json.loads(holder)['pid']}"
        raise RefusedError(
            "another process writes to this memory",
            where=f"{paths.short(folder)}, {holder or 'process unknown'}",
            fix="let the gateway do it, or stop that process",
        ) from error
    file.truncate(0)
    json.dump({"pid": os.getpid()}, file)
    file.flush()
    return file
