"""Commands in a twin, over its own SSH and one kept connection."""

import subprocess
import time
from pathlib import Path

from lib.core.errors import RunbookError
from lib.lab import image

# The kept connection's socket. ssh runs in the twin's folder and names it from there, for a socket's address has
# 107 bytes, of which ssh wants 17 for itself, and a repository may lie deep.
_CONTROL = "ControlPath=ssh"


def _options() -> list[str]:
    """Return ssh's options: the lab's key alone, no files of the user's, one connection for all commands."""
    return [
        *("-F", "none", "-i", str(image.key()), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
        *("-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", _CONTROL),
        *("-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"),
    ]


def command(port: int, *words: str) -> list[str]:
    """Return the ssh command line that runs `words` in the twin behind this port; it is to run in the twin's folder."""
    return ["ssh", *_options(), "-p", str(port), "root@127.0.0.1", *words]


def run(
    folder: Path, port: int, script: str, timeout: float = 120, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a twin.

    Raises
    ------
    RunbookError
        It failed, and `check` was asked for; the message has the last line of what it said.
    """
    argv = command(port, "sh", "-s")
    try:
        done = subprocess.run(
            argv, cwd=folder, input=script, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunbookError(f"a command in the twin took longer than {timeout:g} s", where=folder.name) from error
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RunbookError(
            f"a command in the twin exited {done.returncode}: {said[-1] if said else 'no output'}", where=folder.name
        )
    return done


def wait(folder: Path, port: int, patience: float) -> float:
    """Wait until the twin answers; return the seconds it took.

    Raises
    ------
    RunbookError
        It did not answer in time.
    """
    started = time.monotonic()
    while time.monotonic() - started < patience:
        try:
            if run(folder, port, "true", timeout=15, check=False).returncode == 0:
                return time.monotonic() - started
        except RunbookError:
            pass
        time.sleep(0.2)
    raise RunbookError(f"the twin did not answer within {patience:g} s", where=f"{folder}/console.log")


def close(folder: Path) -> None:
    """End the kept connection, if there is one."""
    argv = ["ssh", "-O", "exit", "-o", _CONTROL, "root@127.0.0.1"]
    subprocess.run(argv, cwd=folder, capture_output=True, check=False, timeout=10)
