"""A leg of a ZFS mirror lost. On a twin: this machine's own kernel need not have ZFS, and its disks are left alone."""

from lib.core.errors import RunbookError
from lib.lab import image, zfs
from lib.lab.settings import Role
from lib.lab.twins import Lab, lab
from lib.resilience.backup.damage.arena import Arena
from lib.resilience.backup.damage.outcome import Outcome, Watch

PLACE = image.PLACE / "mirror"
ROLE: Role = "home"
POOL = "tank"
FILES = 40
# A pool without a second leg waits for its disk for ever, and whoever reads from it with it.
PATIENCE_S = 90


def mirror_leg(_: Arena, defended: bool) -> Outcome:
    """Let a disk of a pool come back empty; the defence is that it mirrors another one."""
    with lab(PLACE, [ROLE]) as twins:
        zfs.give(twins, ROLE)
        legs = zfs.pool(twins, ROLE, POOL, legs=2 if defended else 1)
        written = _hashes(twins.run(ROLE, _WRITE.format(pool=POOL, files=FILES)))
        twins.run(ROLE, _EMPTY.format(leg=legs[0], pool=POOL))
        watch = Watch()
        with watch.run():
            seen = _scrubbed(twins)
            kept = _kept(twins, written)
            after = _replaced(twins, legs[0]) if kept == len(written) else "not replaced"
        good = seen != "healthy" and kept == len(written) == FILES and after == "healthy"
        told = f"after the scrub {seen}; {kept} of {len(written)} files as they were written; new disk: {after}"
        return Outcome(good, told, watch.seconds, len(written) - kept)


def _hashes(said: str) -> dict[str, str]:
    """Return the hash of each file, from what sha256sum printed."""
    lines = [line.split() for line in said.splitlines()]
    return {words[1]: words[0] for words in lines if len(words) == 2 and len(words[0]) == 64}


def _scrubbed(twins: Lab) -> str:
    """Read every block; return what ZFS says of the pool then."""
    try:
        return _state(twins.run(ROLE, f"zpool scrub -w {POOL}; {_STATUS}", PATIENCE_S))
    except RunbookError:
        return "no answer"


def _kept(twins: Lab, written: dict[str, str]) -> int:
    """Return how many files are as they were written, read from the disks and not from memory."""
    script = f"zpool export {POOL} && zpool import -d {zfs.LEGS} {POOL}; sha256sum /{POOL}/note-* 2>/dev/null || true"
    try:
        found = _hashes(twins.run(ROLE, script, PATIENCE_S))
    except RunbookError:
        return 0
    return sum(found.get(name) == digest for name, digest in written.items())


def _replaced(twins: Lab, old: str) -> str:
    """Give the pool a new disk for the one that failed; return what ZFS says once all is copied."""
    new = zfs.leg(POOL, 2)
    twins.run(ROLE, f"set -e\ntruncate -s {zfs.LEG_MIB}M {new}\nzpool replace -w {POOL} {old} {new}", PATIENCE_S)
    return _state(twins.run(ROLE, f"zpool clear {POOL}; zpool scrub -w {POOL}; {_STATUS}", PATIENCE_S))


def _state(said: str) -> str:
    """Return `healthy`, or what `zpool status -x` says is wrong, in one line."""
    if "is healthy" in said:
        return "healthy"
    state = next((line.split(":", 1)[1].strip() for line in said.splitlines() if line.strip().startswith("state:")), "")
    return state.lower() if state not in ("", "ONLINE") else "online with errors"


_STATUS = f"zpool status -x {POOL}"
_WRITE = """
set -e
for number in $(seq {files}); do head -c 524288 /dev/urandom >/{pool}/note-$number; done
zpool sync {pool}
sha256sum /{pool}/note-*
"""
# All of the disk, its labels too: as if somebody had put an empty one in its place.
_EMPTY = """
set -e
dd if=/dev/zero of={leg} bs=1M count=$(($(stat -c %s {leg}) / 1048576)) conv=notrunc,fsync status=none
sync
"""
