"""QEMU's control socket: one command, one answer."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from lib.core.errors import RunbookError


def ask(path: Path, command: str, patience: float = 60, **arguments: Any) -> Any:
    """Send one command and return its answer.

    Raises
    ------
    RunbookError
        QEMU is gone, or says that the command failed.
    """
    with _connected(path, patience) as connection:
        stream = connection.makefile("rwb")
        json.loads(stream.readline())  # the greeting
        for name, values in (("qmp_capabilities", {}), (command, arguments)):
            stream.write(json.dumps({"execute": name, "arguments": values}).encode() + b"\n")
            stream.flush()
            answer = _answer(stream)
    if "error" in answer:
        raise RunbookError(f"the virtual machine refused {command}: {answer['error']['desc']}", where=path.stem)
    return answer["return"]


def monitor(path: Path, line: str, patience: float = 120) -> str:
    """Send a line to the human monitor; what it prints is its error, for the commands used here print nothing else."""
    said = str(ask(path, "human-monitor-command", patience, **{"command-line": line})).strip()
    if said:
        raise RunbookError(f"the virtual machine refused '{line}': {said}", where=path.stem)
    return said


def _answer(stream: Any) -> dict[str, Any]:
    while line := stream.readline():
        said: dict[str, Any] = json.loads(line)
        if "return" in said or "error" in said:
            return said
    raise RunbookError("the virtual machine ended while it was asked")


def _connected(path: Path, patience: float) -> socket.socket:
    """Connect through the folder's descriptor, for a socket's address has 107 bytes and a repository may lie deep."""
    limit = time.monotonic() + min(patience, 5)
    folder = os.open(path.parent, os.O_PATH)
    try:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(patience)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            except (FileNotFoundError, ConnectionRefusedError) as error:
                connection.close()
                if time.monotonic() > limit:
                    raise RunbookError("the virtual machine does not answer", where=path.stem) from error
                time.sleep(0.05)
            else:
                return connection
    finally:
        os.close(folder)
