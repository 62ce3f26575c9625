"""Change a host: look, record what was there, change, see that it took. Interrupted, the next run goes on."""

import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile

from lib.core.errors import RefusedError, RunbookError
from lib.core.evidence import Change
from lib.deploy import record
from lib.deploy.concerns import concerns, things
from lib.deploy.plan import Difference, different, wanted
from lib.deploy.resources import Packages
from lib.deploy.resources.base import quote
from lib.deploy.site import Site
from lib.deploy.target import Target
from lib.lab import process

Say = Callable[[str], None]
# Distributions that this is written for and rehearsed on.
KNOWN = {("ubuntu", "24.04"), ("debian", "12"), ("debian", "13")}


@dataclass(frozen=True)
class Outcome:
    """What an apply did: the changes, in order, and the seconds it took."""

    changes: list[Change]
    seconds: float


def apply(target: Target, site: Site, digest: str, say: Say = lambda _: None, only: Collection[str] = ()) -> Outcome:
    """Bring a host to what its profile says; nothing is done twice.

    Parameters
    ----------
    only : collection of str
        Names of concerns; none: all.

    Raises
    ------
    RunbookError
        The host cannot be changed now (no space, apt at work), or a change failed; what was done is on record.
    RefusedError
        Another run changes this host.
    """
    started = time.monotonic()
    with held(target):
        preflight(target, site)
        found = different(target, wanted(site, only))
        if not found:
            return Outcome([], time.monotonic() - started)
        record.begin(target, digest, site.profile.name)
        done = list(_steps(target, site, found, say, only))
        record.finish(target, digest, site.profile.name)
    return Outcome(done, time.monotonic() - started)


def _steps(
    target: Target, site: Site, found: Sequence[Difference], say: Say, only: Collection[str]
) -> Iterator[Change]:
    """Go through what differs; packages bring files, accounts and units, so that after them it is looked again."""
    looked = True
    for concern in concerns(site, only):
        pairs = [(concern.name, item) for item in things(concern, site)]
        left = [one for one in found if one.concern == concern.name] if looked else different(target, pairs)
        while left:
            together = list(takewhile(_quick, left)) or left[:1]
            yield from _bring(target, together, say)
            left = left[len(together) :]
            if isinstance(together[0].resource, Packages):
                looked = False
                left = different(target, [(concern.name, one.resource) for one in left])


def _quick(found: Difference) -> bool:
    """Tell whether a change is done with others in one go: a script does it, and it takes no time of its own."""
    return bool(found.resource.act) and not isinstance(found.resource, Packages)


def _bring(target: Target, together: Sequence[Difference], say: Say) -> Iterator[Change]:
    started = time.monotonic()
    items = [found.resource for found in together]
    states = record.change_all(target, items) if len(items) > 1 else iter([record.change(target, items[0])])
    for found, now in zip(together, states, strict=False):
        item = found.resource
        if now != item.wanted:
            raise RunbookError(
                f"{item.key} did not become as wanted on host '{target.name}'",
                where=f"wanted {item.wanted}; there is {now}",
                fix=f"python -m lib deploy undo --host {target.name}",
            )
        say(f"{found.concern}: {item.key}")
        yield found.change(target.name, "verified")
    say(f"{together[0].concern}: {len(together)} in {time.monotonic() - started:.1f} s")


def preflight(target: Target, site: Site) -> None:
    """Refuse before anything is touched: a foreign system, no space, apt at work.

    Raises
    ------
    RunbookError
        Says which, and what to do.
    """
    said = target.run(
        _PREFLIGHT.format(wait=site.profile.deploy.apt_wait_s), timeout=site.profile.deploy.apt_wait_s + 60
    )
    seen = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    place = f"host '{target.name}'"
    if (seen["id"], seen["version"]) not in KNOWN:
        names = ", ".join(" ".join(known) for known in sorted(KNOWN))
        raise RunbookError(f"{place} runs {seen['id']} {seen['version']}", fix=f"written for: {names}")
    if seen["uid"] != "0":
        raise RunbookError(f"{place}: user '{target.access.user}' cannot become root without a password", fix="sudo -l")
    if int(seen["free"]) < site.profile.deploy.free_mib:
        raise RunbookError(
            f"{place} has {seen['free']} MiB free, and {site.profile.deploy.free_mib} are needed",
            where=target.place,
            fix="df -h /  (there); free some space, for example: apt-get clean; journalctl --vacuum-size=200M",
        )
    if seen["apt"] != "0":
        raise RunbookError(
            f"{place}: another program works with apt: {seen['why']}",
            where=target.place,
            fix="wait until it has ended, or a longer deploy.apt_wait_s",
        )


_PREFLIGHT = """. /etc/os-release
echo "id=$ID"; echo "version=$VERSION_ID"; echo "uid=$(id -u)"
echo "free=$(df -Pm / /var /etc | awk 'NR>1 {{ if (least == "" || $4 < least) least = $4 }} END {{ print least }}')"
for second in $(seq 0 {wait}); do
    code=0 why=
    for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock; do
        inode=$(stat -c %i $lock 2>/dev/null) || continue
        pid=$(awk -v i="$inode" '$2 == "POSIX" && split($6, at, ":") && at[3] == i {{ print $5; exit }}' /proc/locks)
        [ -z "$pid" ] || {{ code=1; why="the lock $lock is held by process $pid, $(cat /proc/$pid/comm)"; }}
    done
    [ "$code" = 1 ] && [ "$second" != {wait} ] || break
    sleep 1
done
echo "apt=$code"; echo "why=$why"
"""


@contextmanager
def held(target: Target) -> Iterator[None]:
    """Hold a host: one change at a time. A lock that a dead process of this machine left is taken over.

    Raises
    ------
    RefusedError
        Somebody else holds it.
    """
    me = process.identity(os.getpid())
    mine = f"{platform.node()} {os.getpid()} {me.started if me else 0}"
    take = f"(set -C; echo {quote(mine)} >{record.LOCK}) 2>/dev/null && echo taken || cat {record.LOCK}"
    said = target.run(take).strip()
    if said != "taken":
        machine, pid, started = [*said.split(), "", "", ""][:3]
        here = machine == platform.node() and pid.isdigit() and started.isdigit()
        if not here or process.alive(process.Identity(int(pid), int(started))):
            raise RefusedError(
                f"another run is changing host '{target.name}'",
                where=f"process {pid} on {machine}",
                fix=f"wait for it; if it is gone: rm {record.LOCK}  (there)",
            )
        target.run(f"echo {quote(mine)} >{record.LOCK}")
    try:
        yield
    finally:
        target.run(f"rm -f {record.LOCK}", check=False)


def undo(target: Target, say: Say = lambda _: None) -> list[str]:
    """Take back everything that was applied, newest first; return what was restored."""
    with held(target):
        restored = list(record.undo(target))
    for key in restored:
        say(f"restored {key}")
    return restored
