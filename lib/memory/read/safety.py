"""Opening a file that may be hostile: never outside its root, never a link or a device, never more than allowed."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from lib.memory.read.document import Limits, Refused, Torn

PIECE = 1 << 20
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK the open of a named pipe would wait for its writer.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class State(NamedTuple):
    """What tells that a file is the same as before, without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "State":
        """Take it from a stat."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


def relative(root: Path, path: Path) -> str:
    """Return a path below its root, as it is written into the manifest.

    Raises
    ------
    Refused
        It lies outside, or its name cannot be shown.
    """
    try:
        inside = Path(os.path.normpath(path)).relative_to(root)
    except ValueError:
        raise Refused("outside the folder that the memory may read") from None
    name = inside.as_posix()
    if name in (".", "") or ".." in inside.parts:
        raise Refused("outside the folder that the memory may read")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Refused("its name is not valid UTF-8") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise Refused("control characters in its name")
    return name


def read(root: Path, name: str, limits: Limits) -> tuple[bytes, State]:
    """Read one file below its root, each folder opened in turn, so that no link is followed, not even in a race.

    Raises
    ------
    Refused
        A link, not a plain file, or too big.
    Torn
        It changed while it was read, or is gone.
    """
    try:
        descriptor = _open(root, name)
    except FileNotFoundError:
        raise Torn("it is gone") from None
    except PermissionError:
        raise Refused("no permission to read it") from None
    except OSError as error:
        raise Refused(_why(error, root / name)) from None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Refused("not a plain file")
        if before.st_size > limits.file_bytes:
            raise Refused(f"{before.st_size >> 20} MiB, more than the {limits.file_bytes >> 20} MiB allowed")
        pieces: list[bytes] = []
        length = 0
        while piece := file.read(PIECE):
            pieces.append(piece)
            length += len(piece)
            if length > limits.file_bytes:
                raise Torn("it grows while it is read")
        if State.of(os.fstat(descriptor)) != State.of(before) or length != before.st_size:
            raise Torn("it changed while it was read")
    return b"".join(pieces), State.of(before)


def _open(root: Path, name: str) -> int:
    *folders, last = Path(name).parts
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, FOLDER, dir_fd=here)
            os.close(here)
            here = below
        return os.open(last, FILE, dir_fd=here)
    finally:
        os.close(here)


def _why(error: OSError, path: Path) -> str:
    if path.is_symlink() or any(parent.is_symlink() for parent in path.parents):
        return "a symbolic link: links are not followed"
    return f"it cannot be opened: {os.strerror(error.errno or 0)}"
