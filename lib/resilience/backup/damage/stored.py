"""Damages to what lies at the target: a flipped bit, a lost pack, a torn index, a wrong password, a lock left over."""

import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from lib.core.sections import Profile
from lib.resilience.backup import paper, restic, verify
from lib.resilience.backup.damage.arena import TARGET, Arena, names
from lib.resilience.backup.damage.outcome import Outcome, Watch
from lib.resilience.backup.repository import Repository, find
from lib.resilience.backup.restic import ResticError
from lib.resilience.backup.restore import restore

LOCK_NAME = 64  # hexadecimal digits


def flipped_byte(arena: Arena, defended: bool) -> Outcome:
    """Flip one bit of a pack. Without reading every byte, a check of the structure finds all well."""
    profile = arena.fresh("flipped_byte")
    pack = names(_folder(profile), "data")[0]
    content = bytearray(pack.read_bytes())
    content[len(content) // 3] ^= 1
    pack.write_bytes(content)
    return _checked(profile, reads=defended)


def deleted_pack(arena: Arena, defended: bool) -> Outcome:
    """Delete a pack. The list of snapshots alone looks as before."""
    profile = arena.fresh("deleted_pack")
    names(_folder(profile), "data")[0].unlink()
    if defended:
        return _checked(profile, reads=True)
    found = verify.history(profile, TARGET, restic.snapshots(find(profile)), datetime.now(UTC))
    return Outcome(any(check.status == "fail" for check in found), "every snapshot is listed", 0.0)


def truncated_index(arena: Arena, defended: bool) -> Outcome:
    """Cut the index short. The packs describe themselves, so it is made again and all comes back."""
    profile, watch = arena.fresh("truncated_index"), Watch()
    for index in names(_folder(profile), "index"):
        index.write_bytes(index.read_bytes()[:40])
    shutil.rmtree(find(profile).cache)  # what restores is another machine: it has no cache
    with watch.run():
        if defended:
            restic.run(find(profile), ["rebuild-index"])
        return _restored(arena, profile, watch)


def lost_password(arena: Arena, defended: bool) -> Outcome:
    """Put another password into the host's file. It is refused by name; the page on paper opens the repository."""
    profile, watch = arena.fresh("lost_password"), Watch()
    repository = find(profile)
    file = Path(repository.settings.password_file)
    page = paper.page(repository) if defended else ""
    arena.password(file)
    with watch.run():
        try:
            restic.snapshots(repository)
        except ResticError as error:
            if error.kind != "password":
                return Outcome(False, error.what, watch.seconds)
        else:
            return Outcome(False, "another password opens the repository", watch.seconds)
        groups = page.partition('<p class="password">')[2].partition("</p>")[0]
        typed = groups.replace("<span>", "").replace("</span>", "")
        if typed:
            arena.password(file, typed)
        return _restored(arena, profile, watch)


def stale_lock(arena: Arena, defended: bool) -> Outcome:
    """Kill a backup in its middle. Its lock stays, and every verification would wait for a process that is gone."""
    profile, watch = arena.fresh("stale_lock"), Watch()
    repository = find(profile)
    process = subprocess.Popen(
        [restic.program(), "backup", "--stdin", "--host", "drill"],
        env=repository.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        while not _locks(profile) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    with watch.run():
        try:
            if defended:
                restic.run(repository, ["unlock"])
            restic.run(repository, ["check"])
        except ResticError as error:
            return Outcome(False, error.what, watch.seconds)
    left = _locks(profile)
    return Outcome(not left, f"removed, verified in {watch.seconds:.1f} s; {left} locks left", watch.seconds)


def _locks(profile: Profile) -> int:
    """Count locks; what restic is still writing has another name."""
    return sum(len(path.name) == LOCK_NAME for path in names(_folder(profile), "locks"))


def _folder(profile: Profile) -> Path:
    return Path(profile.backup.targets[TARGET].address)


def _checked(profile: Profile, *, reads: bool) -> Outcome:
    """Return what a verification finds, or, without reading, what a look at the structure finds."""
    watch, repository = Watch(), find(profile)
    with watch.run():
        if reads:
            check = verify.read_back(profile, repository, datetime.now(UTC))
            noticed, seen = check.status == "fail", check.observed
        else:
            noticed, seen = _structure(repository)
    return Outcome(noticed, seen, watch.seconds)


def _structure(repository: Repository) -> tuple[bool, str]:
    try:
        restic.run(repository, ["check"])
    except ResticError as error:
        return True, error.what
    return False, "no error in the structure"


def _restored(arena: Arena, profile: Profile, watch: Watch) -> Outcome:
    """Return whether everything comes back as it was."""
    with tempfile.TemporaryDirectory(dir=arena.place) as folder:
        try:
            with watch.run():
                back = restore(profile, Path(folder) / "out", TARGET)
        except ResticError as error:
            return Outcome(False, error.what, watch.seconds, lost=len(arena.golden.notes))
        return Outcome(not back.wrong, f"{len(back.contents.files)} files back, each with its hash", watch.seconds)
