"""Disks: which are there, how much room is left, and how fast one really reads."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement
from lib.core.sections import Disk as Wanted
from lib.core.sections import Profile
from lib.host import arrays, tools
from lib.host.probe import Host

LIST = ("lsblk", "-J", "-b", "-o", "NAME,TYPE,SIZE,ROTA,TRAN,MODEL,FSTYPE")
SPACE = ("df", "-B1", "-x", "devtmpfs", "--output=source,fstype,avail,target")
FORGET_TRIES = 10
FORGET_PAUSE_S = 0.05
PIECES = 8
BLOCK = 8 << 20
# These keep files in a cache that a reader cannot empty, or in memory altogether.
UNMEASURABLE = ("zfs", "tmpfs", "ramfs")


@dataclass(frozen=True)
class Disk:
    """A physical disk; the size is in GB (10^9 bytes)."""

    name: str
    kind: str
    size_gb: float
    model: str
    filesystems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}, {self.model or 'no model name'}, {self.size_gb:.0f} GB {self.kind}"


def parse(text: str) -> list[Disk]:
    """Read ``lsblk -J -b``; loop, RAM and swap devices are left out, anything else gives none."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return []
    entries = tree.get("blockdevices") if isinstance(tree, dict) else None
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    disks = [_disk(entry) for entry in listed if entry.get("type") == "disk"]
    return [disk for disk in disks if disk.size_gb and not re.match(r"(zram|ram|loop|nbd|sr|fd)\d", disk.name)]


def _disk(entry: dict[str, object]) -> Disk:
    name, transport, rotating = str(entry.get("name")), entry.get("tran"), entry.get("rota")
    if name.startswith("nvme") or transport == "nvme":
        kind = "nvme"
    elif transport is None and re.match(r"(vd|xvd)", name):
        kind = "virtual"
    else:
        kind = "hdd" if rotating in (True, "1") else "ssd"
    return Disk(
        name=name,
        kind=kind,
        size_gb=(tools.count(str(entry.get("size"))) or 0) / 1e9,
        model=str(entry.get("model") or "").strip(),
        filesystems=tuple(_filesystems(entry)),
    )


def _filesystems(entry: dict[str, object]) -> Iterator[str]:
    if isinstance(kind := entry.get("fstype"), str):
        yield kind
    children = entry.get("children")
    for child in children if isinstance(children, list) else []:
        if isinstance(child, dict):
            yield from _filesystems(child)


def checks(host: Host, profile: Profile) -> list[Check]:
    """Hold the disks against the profile: presence, free space, arrays."""
    listing = host.run(*LIST)
    found = parse(listing.out)
    present = _expected(found, profile.host.disks)
    if not found:
        present = [tools.skip("hardware.disk.present", "Disks", "lsblk", listing, "disks are listed")]
    return [
        *present,
        _free(host, profile),
        arrays.check(host, zfs=any("zfs_member" in disk.filesystems for disk in found)),
    ]


def _expected(found: list[Disk], wanted: list[Wanted]) -> list[Check]:
    """Give each expectation the smallest disk that meets it, the largest expectation first."""
    left, given = sorted(found, key=lambda disk: disk.size_gb), dict[str, Disk]()
    for want in sorted(wanted, key=lambda want: want.minimum_gb, reverse=True):
        fitting = [d for d in left if want.kind in ("any", d.kind) and d.size_gb >= want.minimum_gb]
        if fitting:
            given[want.purpose] = fitting[0]
            left.remove(fitting[0])
    unused = "; not yet used: " + ", ".join(str(disk) for disk in left) if left else ""
    return [_presence(want, given.get(want.purpose), unused) for want in wanted]


def _presence(want: Wanted, disk: Disk | None, unused: str) -> Check:
    kind = "" if want.kind == "any" else f" {want.kind}"
    return Check(
        name=f"hardware.disk.{tools.slug(want.purpose)}",
        title=f"Disk for {want.purpose}",
        status="pass" if disk else "fail",
        expected=f"{want.minimum_gb:g} GB{kind} at least",
        observed=str(disk) if disk else f"none{unused}",
        fix="see that the drive is seated and enabled in the firmware (lsblk, dmesg | grep -i nvme), or correct "
        "host.disks in the profile",
    )


def _free(host: Host, profile: Profile) -> Check:
    listing, store = host.run(*SPACE), profile.models.store
    wanted = profile.host.free_disk_gb
    absolute = os.path.realpath(paths.ROOT / store) if host.kind == "live" else str(Path("/") / store)
    title, name = "Free space where models are kept", "hardware.disk.free"
    mounts = parse_space(listing.out)
    holding = [mount for mount in mounts if absolute == mount or absolute.startswith(mount.rstrip("/") + "/")]
    if not holding:
        return tools.skip(name, title, "df", listing, f"at least {wanted:g} GB")
    mount = max(holding, key=len)
    free = mounts[mount]
    return Check(
        name=name,
        title=title,
        status="pass" if free >= wanted else "fail",
        expected=f"at least {wanted:g} GB free for {store}",
        observed=f"{free:,.0f} GB on the file system mounted at {mount}".replace(",", " "),
        fix="free space there, or set models.store in the profile to a folder on a larger disk",
    )


def parse_space(text: str) -> dict[str, float]:
    """Return mount point to free GB from ``df -B1 --output=source,fstype,avail,target``."""
    rows = (line.split(None, 3) for line in text.splitlines()[1:])
    return {row[3]: int(row[2]) / 1e9 for row in rows if len(row) == 4 and row[2].isascii() and row[2].isdigit()}


def read_speed(path: Path, seconds: float, megabytes: int) -> Measurement:
    """Measure how fast a file is read from its disk, front to back, past the page cache.

    The file is read in pieces, each byte once, so that neither this machine's cache nor that of a virtual machine's
    host answers for the disk. The engine loads weights through the same buffered reads.

    Parameters
    ----------
    path : Path
        A file on the disk in question.
    seconds, megabytes : float, int
        Bounds: it stops after this time, in s, or this much data, in MB, whichever comes first.

    Returns
    -------
    Measurement
        ``hardware.disk_read`` in MB/s (10^6 bytes): mean over pieces with a 95 % t interval.

    Raises
    ------
    RunbookError
        The file is missing or empty, or its file system would answer from memory.
    """
    return measurement(path, read_pieces(path, seconds, megabytes))


def measurement(path: Path, speeds: list[float]) -> Measurement:
    """Return the mean speed of pieces, in MB/s, with its 95 % t interval; see `read_speed`."""
    from scipy import stats  # Slow to import; the audit itself does without.

    mean = sum(speeds) / len(speeds)
    half = float(stats.t.ppf(0.975, len(speeds) - 1) * stats.sem(speeds)) if len(speeds) > 1 else 0.0
    return Measurement(
        name="hardware.disk_read",
        title="Sequential read of a file, cold",
        value=round(mean, 1),
        unit="MB/s",
        n=len(speeds),
        interval=(round(mean - half, 1), round(mean + half, 1)) if len(speeds) > 1 else None,
        method=f"buffered reads of {BLOCK >> 20} MiB after posix_fadvise(DONTNEED), each piece once; 95 % t interval",
        conditions={"disk": mount_of(path)[0].removeprefix("/dev/"), "path": paths.short(path)},
    )


def read_pieces(path: Path, seconds: float, megabytes: int) -> list[float]:
    """Return the speed of each piece of a file, in MB/s; see `read_speed`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise RunbookError(f"cannot read: {error.strerror}", where=paths.short(path)) from error
    try:
        kind = mount_of(path)[1]
        if kind in UNMEASURABLE:
            raise RunbookError(
                f"{kind} answers from memory, so a disk cannot be measured through it",
                where=paths.short(path),
                fix="give a file on ext4, xfs or btrfs; ZFS reads from disk only after: zpool export, zpool import",
            )
        piece = min(os.fstat(descriptor).st_size, megabytes * 10**6) // PIECES
        if piece < 1 << 20:
            raise RunbookError("the file is too small to measure", where=paths.short(path), fix="at least 16 MB")
        os.fsync(descriptor)
        _forget(descriptor, path, piece)
        return _timed(descriptor, piece, time.monotonic() + seconds)
    finally:
        os.close(descriptor)


def _forget(descriptor: int, path: Path, piece: int) -> None:
    """Make the page cache forget the file, or raise; what has just been written may be busy for a moment.

    Asking reads ahead, so an answer counts only right after the cache was told to forget; at the end it is told again.
    """
    for _ in range(FORGET_TRIES):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        held = _held(descriptor, piece)
        if not held:
            break
        time.sleep(FORGET_PAUSE_S)
    if held > PIECES // 2:
        raise RunbookError(
            "the file stays in memory, so a read would not reach the disk",
            where=paths.short(path),
            fix="stop the process that has it mapped, for example a running engine, or give another file",
        )
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _held(descriptor: int, piece: int) -> int:
    """Return how many pieces the page cache answers from: a read that may not wait must come back empty-handed."""
    buffer = bytearray(4096)
    held = 0
    for index in range(PIECES):
        try:
            held += os.preadv(descriptor, [buffer], index * piece + piece // 2, os.RWF_NOWAIT) > 0
        except BlockingIOError:
            continue
        except OSError:
            return 0  # This file system cannot tell (overlayfs); DONTNEED was obeyed as far as can be known.
    return held


def _timed(descriptor: int, piece: int, deadline: float) -> list[float]:
    """Read piece by piece; a piece that the deadline cuts short counts only when it is the first."""
    buffer = bytearray(BLOCK)
    speeds: list[float] = []
    for index in range(PIECES):
        begun, done = time.monotonic(), 0
        while done < piece and (not done or time.monotonic() < deadline):
            got = os.preadv(descriptor, [memoryview(buffer)[: min(BLOCK, piece - done)]], index * piece + done)
            if not got:
                raise RunbookError(
                    "the file became shorter while it was read", fix="give a file that nothing writes to"
                )
            done += got
        if done == piece or not speeds:
            speeds.append(done / 1e6 / (time.monotonic() - begun))
        if time.monotonic() >= deadline:
            break
    return speeds


def mount_of(path: Path) -> tuple[str, str]:
    """Return device and type of the file system that holds a path on this machine."""
    resolved = os.path.realpath(path)
    best = ("/", "unknown", "unknown")
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        source, target, kind = line.split(" ")[:3]
        if (resolved == target or resolved.startswith(target.rstrip("/") + "/")) and len(target) >= len(best[0]):
            best = (target, source, kind)
    return best[1], best[2]
