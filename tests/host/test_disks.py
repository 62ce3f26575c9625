"""Disks: presence, free space, arrays, and a read that really reaches the disk."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import MISSING, Changed, box, embedded, fuzz, named, owner

from lib.core import paths
from lib.core.errors import RunbookError
from lib.host import arrays, disks
from lib.host.probe import LiveHost, Output

LSBLK = " ".join(disks.LIST)


def listing(*entries: dict[str, object]) -> str:
    return json.dumps({"blockdevices": [{"type": "disk", "rota": False, "tran": "nvme", **entry} for entry in entries]})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """32 MB of random bytes, on the disk."""
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(os.urandom(32 * 10**6))
        file.flush()
        os.fsync(file.fileno())
    return path


def test_the_owners_disks() -> None:
    found = disks.parse(owner().run(*disks.LIST).out)
    assert [(disk.name, disk.kind, round(disk.size_gb)) for disk in found] == [
        ("sda", "hdd", 10001),
        ("nvme0n1", "nvme", 1000),
        ("nvme1n1", "nvme", 2000),
    ]
    assert found[1].filesystems == ("vfat", "ext4")


def test_each_expectation_gets_its_own_disk() -> None:
    checks = disks.checks(owner(), box())
    assert "990 PRO 1TB" in named(checks, "hardware.disk.system_and_state").observed
    assert "990 PRO 2TB" in named(checks, "hardware.disk.models").observed
    assert "ST10000" in named(checks, "hardware.disk.backups").observed
    assert {check.status for check in checks} == {"pass"}


def test_a_missing_disk_fails_and_tells_what_is_there_instead() -> None:
    text = listing(
        {"name": "nvme0n1", "size": 10**12, "model": "A"},
        {"name": "sda", "size": 10**13, "rota": True, "tran": "sata", "model": "B"},
        {"name": "sdb", "size": 10**12, "tran": "usb", "model": "STICK"},
    )
    checks = disks.checks(Changed(owner(), commands={LSBLK: text}), box())
    assert named(checks, "hardware.disk.system_and_state").status == "pass"
    models = named(checks, "hardware.disk.models")
    assert models.status == "fail"
    assert "STICK" in models.observed


@pytest.mark.parametrize("name", ["zram0", "loop3", "ram1", "nbd0", "sr0"])
def test_what_is_no_disk_is_left_out(name: str) -> None:
    assert disks.parse(listing({"name": name, "size": 10**12})) == []


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"name": "nvme0n1", "tran": None}, "nvme"),
        ({"name": "sda", "tran": "sata", "rota": True}, "hdd"),
        ({"name": "sda", "tran": "sata", "rota": "1"}, "hdd"),
        ({"name": "sda", "tran": "sata", "rota": "0"}, "ssd"),
        ({"name": "vda", "tran": None, "rota": True}, "virtual"),
        ({"name": "xvda", "tran": None}, "virtual"),
    ],
)
def test_kinds(entry: dict[str, object], kind: str) -> None:
    assert disks.parse(listing({"size": "1000000000000", **entry}))[0].kind == kind


def test_free_space_is_that_of_the_file_system_with_the_models() -> None:
    check = named(disks.checks(owner(), box()), "hardware.disk.free")
    assert (check.status, check.observed) == ("pass", "1 402 GB on the file system mounted at /srv/models")
    elsewhere = named(disks.checks(owner(), box(models__store="/srv/backup/models")), "hardware.disk.free")
    assert "mounted at /srv/backup" in elsewhere.observed
    similar = named(disks.checks(owner(), box(models__store="/srv/models2")), "hardware.disk.free")
    assert "mounted at /" in similar.observed, "a name that only begins alike is another folder"


def test_too_little_space_fails() -> None:
    check = named(disks.checks(owner(), box(host__free_disk_gb=2000.0)), "hardware.disk.free")
    assert check.status == "fail"
    assert "models.store" in check.fix


def test_on_this_machine_the_store_is_found() -> None:
    check = named(disks.checks(LiveHost(), embedded()), "hardware.disk.free")
    assert check.status in ("pass", "fail")
    assert "GB on the file system mounted at /" in check.observed


@pytest.mark.parametrize(
    ("command", "name", "package"),
    [("lsblk", "hardware.disk.present", "util-linux"), ("df", "hardware.disk.free", "coreutils")],
)
def test_a_missing_tool_is_a_skip(command: str, name: str, package: str) -> None:
    check = named(disks.checks(Changed(owner(), commands={command: MISSING}), embedded()), name)
    assert (check.status, check.fix) == ("skip", f"sudo apt-get install {package}")


HEALTHY = """md0 : active raid1 nvme1n1p1[1] nvme0n1p1[0]
      976630464 blocks super 1.2 [2/2] [UU]
      bitmap: 0/8 pages [0KB], 65536KB chunk
"""
DEGRADED = HEALTHY.replace("nvme1n1p1[1]", "nvme1n1p1[1](F)").replace("[2/2] [UU]", "[2/1] [U_]")
POOL = """  pool: tank
 state: {state}
  scan: scrub repaired 0B in 00:12:44 with 0 errors on Sun Nov  9 00:36:45 2025
config:

\tNAME         STATE     READ WRITE CKSUM
\ttank         {state}       0     0     0
\t  mirror-0   {state}       0     0     0
\t    nvme0n1  ONLINE       0     0     0
\t    nvme1n1  ONLINE       0     0     0

errors: {errors}
"""


@pytest.mark.parametrize(
    ("mdstat", "pools", "status", "seen"),
    [
        ("Personalities : \nunused devices: <none>\n", "", "pass", "no array"),
        (f"Personalities : [raid1]\n{HEALTHY}\nunused devices: <none>\n", "", "pass", "md0 raid1 active [UU]"),
        (f"Personalities : [raid1]\n{DEGRADED}\nunused devices: <none>\n", "", "fail", "md0 raid1 active [U_]"),
        (HEALTHY.replace("active", "inactive"), "", "fail", "inactive"),
        ("", POOL.format(state="ONLINE", errors="No known data errors"), "pass", "tank mirror, ONLINE"),
        ("", POOL.format(state="DEGRADED", errors="No known data errors"), "fail", "DEGRADED"),
        ("", POOL.format(state="ONLINE", errors="2 data errors, use '-v' for a list"), "fail", "2 data errors"),
        (HEALTHY, POOL.format(state="ONLINE", errors="No known data errors"), "pass", "md0"),
    ],
)
def test_arrays(mdstat: str, pools: str, status: str, seen: str) -> None:
    host = Changed(commands={"zpool status": pools}, files={"/proc/mdstat": mdstat})
    check = arrays.check(host, zfs=bool(pools))
    assert (check.status, seen in check.observed) == (status, True), check.observed


def test_a_zfs_disk_without_its_tool_is_a_skip() -> None:
    check = arrays.check(Changed(), zfs=True)
    assert (check.status, check.fix) == ("skip", "sudo apt-get install zfsutils-linux")


def test_the_read_speed_has_an_interval_and_says_what_was_read(weights: Path) -> None:
    measured = disks.read_speed(weights, seconds=20, megabytes=32)
    assert (measured.name, measured.unit, measured.n) == ("hardware.disk_read", "MB/s", disks.PIECES)
    assert measured.interval
    assert measured.interval[0] <= measured.value <= measured.interval[1]
    assert measured.value > 1
    assert set(measured.conditions) == {"disk", "path"}
    assert measured.conditions["disk"]


def test_a_read_reaches_the_disk_and_not_the_page_cache(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.read_bytes()
    held: list[bool] = []
    timed = disks._timed

    def spy(descriptor: int, piece: int, deadline: float) -> list[float]:
        held.append(_cached(descriptor, piece))
        return timed(descriptor, piece, deadline)

    monkeypatch.setattr(disks, "_timed", spy)
    disks.read_pieces(weights, seconds=20, megabytes=32)
    assert held == [False]


def test_asking_whether_a_page_is_cached_reads_ahead_and_is_not_taken_for_the_answer(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast disk has read ahead what the first question asked for before a second one could be asked."""
    asked = disks._held

    def slow_question(descriptor: int, piece: int) -> int:
        held = asked(descriptor, piece)
        os.preadv(descriptor, [bytearray(disks.PIECES * piece)], 0)
        return held

    monkeypatch.setattr(disks, "_held", slow_question)
    assert len(disks.read_pieces(weights, seconds=20, megabytes=32)) == disks.PIECES


def _cached(descriptor: int, offset: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(4096)], offset, os.RWF_NOWAIT) > 0
    except OSError:
        return False


def test_a_file_that_stays_in_memory_is_refused(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if disks.mount_of(weights)[1] not in ("ext4", "xfs", "btrfs"):
        pytest.skip(f"{disks.mount_of(weights)[1]} cannot tell whether a page is cached")
    weights.read_bytes()
    monkeypatch.setattr(os, "posix_fadvise", lambda *_: None)
    with pytest.raises(RunbookError, match="stays in memory"):
        disks.read_pieces(weights, seconds=20, megabytes=32)


def test_a_file_system_in_memory_is_refused(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "mount_of", lambda path: ("tmpfs", "tmpfs"))
    with pytest.raises(RunbookError, match="answers from memory") as caught:
        disks.read_speed(weights, seconds=1, megabytes=32)
    assert "ext4" in caught.value.fix


def test_the_bounds_hold(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    preadv = os.preadv

    def slow(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if not flags:
            time.sleep(0.05)
            reads.append(len(buffers[0]))
        return preadv(descriptor, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", slow)
    assert len(disks.read_pieces(weights, seconds=60, megabytes=16)) == disks.PIECES
    assert sum(reads) == 16 * 10**6, "no more data than asked for"
    reads.clear()
    begun = time.monotonic()
    assert disks.read_speed(weights, seconds=0.0, megabytes=32).n == 1, "one piece at least"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("size", "what"), [(None, "cannot read"), (0, "too small"), (10**6, "too small")])
def test_a_file_that_cannot_be_measured_is_refused(tmp_path: Path, size: int | None, what: str) -> None:
    path = tmp_path / "file"
    if size is not None:
        path.write_bytes(bytes(size))
    with pytest.raises(RunbookError, match=what):
        disks.read_speed(path, seconds=1, megabytes=32)


def test_the_mount_of_a_path(tmp_path: Path) -> None:
    source, kind = disks.mount_of(tmp_path)
    assert source
    assert kind != "unknown"
    assert disks.mount_of(Path("/proc/self"))[1] == "proc"
    assert disks.mount_of(paths.ROOT / "no" / "such" / "folder") == disks.mount_of(paths.ROOT)


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    assert disks.parse(text) == []
    assert isinstance(disks.parse_space(text), dict)
    assert isinstance(arrays.parse_mdstat(text), dict)
    assert isinstance(arrays.parse_pools(text), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, max_size=4), max_leaves=6
)
ENTRY = st.dictionaries(st.sampled_from(["name", "type", "size", "rota", "tran", "model", "fstype", "children"]), JSON)


@fuzz
@given(st.lists(ENTRY | JSON))
def test_garbage_in_the_right_shape_never_raises(entries: list[object]) -> None:
    text = json.dumps({"blockdevices": entries})
    assert isinstance(disks.parse(text), list)
    assert disks.checks(Changed(commands={LSBLK: Output(0, text)}), embedded())


@fuzz
@given(st.lists(st.sampled_from((DEGRADED + POOL).splitlines())))
def test_shuffled_array_reports_never_raise(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert isinstance(arrays.parse_mdstat(text) | arrays.parse_pools(text), dict)


def test_pages_that_are_busy_for_a_moment_are_waited_for(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([8, 8])
    held = disks._held
    monkeypatch.setattr(disks, "_held", lambda *where: next(looks, None) or held(*where))
    monkeypatch.setattr(disks, "FORGET_PAUSE_S", 0.0)
    assert disks.read_speed(weights, seconds=20, megabytes=32).value > 1
    assert next(looks, None) is None
