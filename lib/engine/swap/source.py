"""Where an engine finds a model's files when it starts: on the disk, in the page cache, or in memory (tmpfs)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.serve import guard

Source = Literal["disk", "page_cache", "tmpfs"]
TMPFS = Path("/dev/shm")  # noqa: S108
CHUNK = 4 << 20
PROBES = 64
# Above this share of probes that are still answered from memory, "from the disk" would be a false name.
COLD_UP_TO = 0.1
_WAIT = "import signal; signal.pause()"


class Placed(NamedTuple):
    """A model's files as they lie now.

    Parameters
    ----------
    folder : Path
        What the engine is given.
    cached : float
        Share of the weights that memory holds already, 0 to 1.
    size : int
        Bytes of all files.
    """

    folder: Path
    cached: float
    size: int

    @property
    def cold(self) -> bool:
        """Whether the weights really come from the disk."""
        return self.cached <= COLD_UP_TO


@contextmanager
def placed(folder: Path, source: Source, tmpfs: Path = TMPFS) -> Iterator[Placed]:
    """Prepare a model's files for a start, and undo that afterwards.

    Parameters
    ----------
    folder : Path
        The model's folder in the store.
    source : str
        `disk` drops the files from the page cache, `page_cache` reads them into it, `tmpfs` copies them into memory;
        the copy is removed afterwards, by a guard of its own also when this process is killed.
    tmpfs : Path, optional
        A folder in memory.

    Raises
    ------
    RunbookError
        Memory has no room for the copy.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if source == "tmpfs":
        with _in_memory(folder, size, tmpfs) as copy:
            yield Placed(copy, 1.0, size)
        return
    for path in files:
        if source == "disk":
            drop(path)
        else:
            read(path)
    weights = max(files, key=lambda path: path.stat().st_size, default=None)
    yield Placed(folder, cached_share(weights) if weights else 0.0, size)


def drop(path: Path) -> None:
    """Ask the kernel to forget what it holds of a file. Pages that a process has mapped stay."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def read(path: Path) -> None:
    """Read a file once, so that the page cache holds it."""
    with path.open("rb", buffering=0) as file:
        while file.read(CHUNK):
            pass


def cached_share(path: Path) -> float:
    """Return which share of a file the page cache holds: reads that may not wait either come back or do not."""
    size = path.stat().st_size
    if not size:
        return 0.0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return sum(_held(descriptor, size * probe // PROBES) for probe in range(PROBES)) / PROBES
    finally:
        os.close(descriptor)


def _held(descriptor: int, offset: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(64)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    except OSError:
        return True  # this file system cannot tell; then nothing may be called cold


@contextmanager
def _in_memory(folder: Path, size: int, tmpfs: Path) -> Iterator[Path]:
    free = shutil.disk_usage(tmpfs).free
    if free < size:
        raise RunbookError(
            f"no room in memory for {size / 1e9:.2f} GB of {folder.name}: {free / 1e9:.2f} GB free",
            where=str(tmpfs),
            fix="leave tmpfs out of swap.sources in the profile, or enlarge it: mount -o remount,size=… /dev/shm",
        )
    scratch = Path(tempfile.mkdtemp(prefix="runbook-swap-", dir=tmpfs))
    keeper = _Keeper(scratch)
    try:
        yield Path(shutil.copytree(folder, scratch / folder.name))
    finally:
        keeper.close()
        shutil.rmtree(scratch, ignore_errors=True)


class _Keeper:
    """A process that removes a folder as soon as this one is gone, however it ends."""

    def __init__(self, scratch: Path) -> None:
        read_end, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-IS", guard.__file__, "--pipe", str(read_end), "--scratch", str(scratch)),
                    *("--", sys.executable, "-IS", "-c", _WAIT),
                ],
                stdin=subprocess.DEVNULL,
                cwd=paths.ROOT,
                pass_fds=(read_end,),
                start_new_session=True,
            )
        finally:
            os.close(read_end)

    def close(self) -> None:
        os.close(self._pipe)
        self._process.wait()
