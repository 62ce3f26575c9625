"""Damages on the way and at the target's end: no room, no line, and somebody with the host's own credentials."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from lib.core.profile import change
from lib.core.sections import Profile
from lib.resilience.backup import ledger, restic, verify, work
from lib.resilience.backup.damage.arena import TARGET, Arena, Server, names
from lib.resilience.backup.damage.outcome import Outcome, Watch
from lib.resilience.backup.items import folder
from lib.resilience.backup.repository import Repository, find
from lib.resilience.backup.restic import ResticError

SMALL_MIB = 4
BALLAST_MB = 6.0
HALF_A_PACK = 500_000
UPLOAD_MBIT_S = 16.0
AWAY_S = 1.5
PATIENCE_MIN = 0.1
YEARS = timedelta(days=3650)
DAY_AND_MORE = timedelta(hours=30)


def full_target(arena: Arena, defended: bool) -> Outcome:
    """Let the target run full in mid-backup. restic says so and leaves what is there; a plain copy writes over it."""
    profile, watch = arena.fresh("full_target"), Watch()
    with _small(arena.place / "damages" / "full_target" / "small") as small:
        shutil.copytree(arena.place / "repository", small / "repository")
        ballast = arena.ballast("full_target", SMALL_MIB * 2)
        try:
            if not defended:
                return _copied_over(ballast, small)
            there = {TARGET: profile.backup.targets[TARGET].model_dump() | {"address": str(small / "repository")}}
            profile = change(profile, "backup", targets=there)
            with watch.run():
                said = _refused(arena, profile)
            check = verify.read_back(profile, find(profile), datetime.now(UTC))
        finally:
            ballast.unlink()
    good = said.endswith("full") and check.status == "pass"
    return Outcome(good, f"{said}; earlier snapshots: {check.observed}", watch.seconds)


def connection_lost(arena: Arena, defended: bool) -> Outcome:
    """Kill the target in mid-backup. It comes back, and the backup goes on; if it does not, the backup says so.

    The server is one that lets a file be written again. Behind `rclone serve restic --append-only` (1.60) the half pack
    that the kill left keeps its name, restic's further attempts are refused, and only the next backup is complete.
    """
    watch, ballast = Watch(), arena.ballast("connection_lost", BALLAST_MB)
    try:
        limited = arena.served("connection_lost", append_only=False, upload_mbit_s=UPLOAD_MBIT_S)
        with limited as (profile, server), watch.run():
            if not defended:
                profile = change(profile, "backup", give_up_min=PATIENCE_MIN)
            cut = threading.Thread(target=_cut, args=(server, defended))
            cut.start()
            good, seen = _completed(arena, profile)
            cut.join()
    finally:
        ballast.unlink()
    return Outcome(good, seen, watch.seconds)


def ransomware(arena: Arena, defended: bool) -> Outcome:
    """Try to delete and to overwrite the history, with everything that the host knows. Append-only refuses: 403."""
    watch = Watch()
    with arena.served("ransomware", append_only=defended) as (profile, server):
        before = set(_ids(profile))
        with watch.run():
            statuses = [server.ask(*request) for request in _attacks(server.folder)]
            forgotten = _forget(profile, before)
        there = set(_ids(profile)) if _opens(profile) else set()
    refused = sum(status == httpx.codes.FORBIDDEN for status in statuses)
    seen = (
        f"{refused} of {len(statuses)} requests refused (403), {forgotten}; {len(before & there)} of {len(before)} left"
    )
    good = before == there and refused == len(statuses)
    return Outcome(good, seen, watch.seconds, lost=0 if before <= there else len(arena.golden.notes))


def deleted_history(arena: Arena, defended: bool) -> Outcome:
    """Delete a snapshot at a target that allows it. Only who remembers what was there can miss it."""
    profile, watch = arena.fresh("deleted_history"), Watch()
    repository, now = find(profile), datetime.now(UTC)
    _dated(arena, repository, now - DAY_AND_MORE)
    seen = restic.snapshots(repository)
    ledger.note(folder(profile), TARGET, known={one.id: one.time for one in seen} if defended else {})
    restic.run(repository, ["forget", seen[0].id])
    with watch.run():
        found = verify.history(profile, TARGET, restic.snapshots(repository), now)
    check = next(one for one in found if one.name == "backup.verify.history")
    return Outcome(check.status == "fail", check.observed, watch.seconds)


def flooded_history(arena: Arena, defended: bool) -> Outcome:
    """Add snapshots of nothing, one of them from ten years ahead: pruning by count pushes the true ones out."""
    profile, watch = arena.fresh("flooded_history"), Watch()
    repository, now = find(profile), datetime.now(UTC)
    before = set(_ids(profile))
    for moment in (now, now + YEARS):
        _dated(arena, repository, moment)
    keeping = work.keeping(profile) if defended else ["--keep-last=2"]
    with watch.run():
        restic.run(repository, ["forget", "--tag", work.TAG, "--group-by", "tags", *keeping])
        present = restic.snapshots(repository)
        found = verify.history(profile, TARGET, present, now)
    ahead = next(one for one in found if one.name == "backup.verify.future")
    kept = before <= {one.id for one in present}
    seen = f"the true ones {'stay' if kept else 'are gone'}; from the future: {ahead.observed}"
    return Outcome(kept and ahead.status == "fail", seen, watch.seconds)


def no_server() -> str:
    """Return what is missing for a target over HTTP."""
    return "" if shutil.which("rclone") else "apt-get install rclone"


def no_mount() -> str:
    """Return what is missing for a small target."""
    return "" if os.geteuid() == 0 else "run as root: a small file system is mounted"


def _ids(profile: Profile) -> list[str]:
    return [one.id for one in restic.snapshots(find(profile))]


def _opens(profile: Profile) -> bool:
    try:
        restic.snapshots(find(profile))
    except ResticError:
        return False
    return True


def _attacks(repository: Path) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield requests that destroy a repository over restic's own interface: to delete, and to write over."""
    for kind in ("snapshots", "data", "index", "keys"):
        for path in names(repository, kind)[:3]:
            yield "POST", f"{kind}/{path.name}", b"encrypted by somebody else"
            yield "DELETE", f"{kind}/{path.name}", None
    yield "POST", "config", b"encrypted by somebody else"
    yield "DELETE", "config", None


def _forget(profile: Profile, ids: Iterable[str]) -> str:
    try:
        restic.run(find(profile), ["forget", *ids, "--prune"], patience_s=2)
    except ResticError as error:
        return f"restic forget: {error.kind}"
    return "restic forget: done"


def _completed(arena: Arena, profile: Profile) -> tuple[bool, str]:
    try:
        done = arena.back_up(profile)
    except ResticError as error:
        return False, error.what
    check = verify.read_back(profile, find(profile), datetime.now(UTC))
    return check.status == "pass", f"away for {AWAY_S:g} s, complete after {done.send_s:.1f} s; {check.observed}"


def _refused(arena: Arena, profile: Profile) -> str:
    try:
        arena.back_up(change(profile, "backup", give_up_min=PATIENCE_MIN * 3))
    except ResticError as error:
        return f"the backup failed: {error.kind}"
    return "the backup says that it succeeded"


def _copied_over(ballast: Path, small: Path) -> Outcome:
    """Do what `rclone sync` and `cp` do: write the new file over the last good copy of it."""
    copy = small / "copy.bin"
    copy.write_bytes(b"the last good copy")
    try:
        shutil.copyfile(ballast, copy)
    except OSError as error:
        kept = copy.read_bytes()[:18] == b"the last good copy"
        return Outcome(kept, f"{error.strerror}: the last good copy is gone", 0.0)
    return Outcome(True, "there was room", 0.0)


@contextlib.contextmanager
def _small(place: Path) -> Iterator[Path]:
    """Mount a file system of a few megabytes."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m,mode=0700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _cut(server: Server, returns: bool) -> None:
    """Kill the server when a part of the ballast has come, and start it again.

    Bytes are counted, not files: the small pack of the folders may come first, and whole.
    """
    known, end = _stored(server), time.monotonic() + 30
    while _stored(server) < known + HALF_A_PACK and time.monotonic() < end:
        time.sleep(0.02)
    server.stop()
    if returns:
        time.sleep(AWAY_S)
        server.start()


def _stored(server: Server) -> int:
    """Return the bytes of all packs at the target."""
    return sum(path.stat().st_size for path in names(server.folder, "data"))


def _dated(arena: Arena, repository: Repository, moment: datetime) -> None:
    """Make a snapshot that says it is of another time."""
    words = ["backup", ".", "--time", moment.strftime("%Y-%m-%d %H:%M:%S"), "--tag", work.TAG, "--host", "drill"]
    restic.run(repository, words, folder=arena.place / "notes")
