"""Backups on a host: restic, the repository's password, and timers that back up, read back and restore."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lib.core.sections.backup import BackupTarget, Zfs
from lib.deploy.resources import File, Folder, Packages, Resource, Secret, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.template import render

UNITS = "/etc/systemd/system"
HOME = "/opt/inference"
CACHE = "/var/cache/gateway"
STATE = "/var/lib/inference-backup"
SECRETS = "/etc/inference-backup"
EXPOSURE_LIMIT = 4.0
KINDS = {"now": "Backup", "verify": "Verification of the backup", "drill": "Restore drill"}
RESTIC = "https://restic.readthedocs.io/en/stable/060_forget.html"
SANOID = "https://github.com/jimsalterjrs/sanoid"


class Job(NamedTuple):
    """What the templates need to know of one timer and its service."""

    title: str
    profile: str
    home: str
    cache: str
    command: str
    writes: tuple[str, ...]
    longest_s: int
    every_min: int
    calendar: str


def resources(site: Site) -> list[Resource]:
    """Return what backs a host up; nothing where the profile names no target."""
    settings = site.profile.backup
    found: list[Resource] = []
    if settings.targets:
        found += _ground()
        for name, target in settings.targets.items():
            found += _target(site, name, target)
    return [*found, *_snapshots(site)]


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that is backed up."""
    found = []
    for name, target in site.profile.backup.targets.items():
        where = _word(name)
        found.append(
            Probe(
                f"{where}.password",
                "Nobody but root reads the password",
                f"stat -c '%a %U:%G' {password(name, target)}",
                "600 root:root",
            )
        )
        for kind, title in KINDS.items():
            unit = f"inference-backup-{kind}-{name}"
            found += [
                Probe(f"{where}.{kind}", f"{title}: its timer runs", f"systemctl is-active {unit}.timer", "active"),
                Probe(
                    f"{where}.{kind}.exposure",
                    f"{title}: its unit is hardened",
                    f"systemd-analyze security --no-pager --threshold={EXPOSURE_LIMIT * 10:.0f} {unit}.service "
                    ">/dev/null 2>&1 && echo hardened",
                    "hardened",
                ),
            ]
    if site.profile.backup.targets:
        found.append(Probe("restic", "restic runs", "restic version | cut -d' ' -f1", "restic"))
    return [*found, *_snapshot_probes(site.profile.backup.zfs)]


def job(site: Site, kind: str, name: str, target: BackupTarget) -> Job:
    """Describe one timer and what it starts."""
    settings = site.profile.backup
    words = [f"{HOME}/.venv/bin/python", "-m lib backup", kind, f"--profile {site.profile.name} --target {name}"]
    words += [f"--set backup.folder={STATE}", f"--set backup.targets.{name}.password_file={password(name, target)}"]
    local = target.address if target.address.startswith("/") else ""
    if target.address and not local and ":" not in target.address:
        words.append(f"--set backup.targets.{name}.address={STATE}/{name}")
    metrics = settings.metrics_file.rpartition("/")[0] if settings.metrics_file.startswith("/") else ""
    memory = site.profile.memory.folder
    live = memory if memory.startswith("/") else memory.replace(".cache", CACHE, 1)
    return Job(
        title=f"{KINDS[kind]} ({name})",
        profile=site.profile.name,
        home=HOME,
        cache=CACHE,
        command=" \\\n    ".join(words),
        writes=tuple(place for place in (live, local, metrics) if place),
        longest_s=round(settings.give_up_min * 60) + 3600,
        every_min=settings.every_min if kind == "now" else 0,
        calendar=settings.verify_at if kind == "verify" else settings.drill_at,
    )


def password(name: str, target: BackupTarget) -> str:
    """Return where a host keeps the password: where the profile says, or else in a folder of the backup's own."""
    return target.password_file if target.password_file.startswith("/") else f"{SECRETS}/{name}.password"


def _ground() -> Iterator[Resource]:
    yield Packages(("restic",), about=About("Encrypts here, sends only what is new, and proves what it kept.", RESTIC))
    yield Folder(SECRETS, "700", about=About("Secrets of the backup; no backup has them."))


def _target(site: Site, name: str, target: BackupTarget) -> Iterator[Resource]:
    yield Secret(
        password(name, target),
        about=About(
            "Opens the repository. Made here, once; put it on paper (`python -m lib backup paper FILE`): with the "
            "host it is lost."
        ),
    )
    for kind in KINDS:
        described, unit = job(site, kind, name, target), f"inference-backup-{kind}-{name}"
        for form in ("service", "timer"):
            yield File(
                f"{UNITS}/{unit}.{form}",
                render(f"restic/backup.{form}.j2", b=described),
                about=About(REASONS[kind]),
            )
        yield Unit(f"{unit}.timer", reads=(f"{UNITS}/{unit}.timer",), about=About(f"{described.title}: its clock."))


REASONS = {
    "now": "What is lost in a fault is at most what came after the last backup.",
    "verify": "A disk forgets silently: every byte is read back and compared.",
    "drill": "A backup that was never restored is a hope. The drill starts memory and gateway from it and asks them.",
}


def _snapshots(site: Site) -> Iterator[Resource]:
    zfs = site.profile.backup.zfs
    if not zfs.datasets:
        return
    yield Packages(("sanoid",), about=About("Snapshots by policy, and their replication.", SANOID))
    yield Folder("/etc/sanoid", about=About("Its policy."))
    yield File(
        "/etc/sanoid/sanoid.conf",
        render("sanoid/sanoid.conf.j2", zfs=zfs),
        about=About("A snapshot undoes a mistake in seconds; it is no backup, for it is lost with the pool.", SANOID),
    )
    yield Unit("sanoid.timer", about=About("Takes and prunes snapshots."))
    yield from _scrubs(zfs.datasets)
    if zfs.replicate_to:
        limit = round(site.profile.line.upload_mbit_s * 1e6 / 8 / 1024 / 2)
        for form in ("service", "timer"):
            yield File(
                f"{UNITS}/inference-syncoid.{form}",
                render(f"sanoid/syncoid.{form}.j2", zfs=zfs, limit=limit),
                about=About("Snapshots on another host outlive this one.", SANOID),
            )
        yield Unit("inference-syncoid.timer", about=About("The clock of the replication."))


def _pools(datasets: Sequence[str]) -> list[str]:
    return sorted({dataset.partition("/")[0] for dataset in datasets})


def _snapshot_probes(zfs: Zfs) -> Iterator[Probe]:
    if not zfs.datasets:
        return
    timers = {"sanoid": "Snapshots"}
    timers |= {f"inference-scrub-{pool}": f"Scrub of {pool}" for pool in _pools(zfs.datasets)}
    timers |= {"inference-syncoid": "Replication"} if zfs.replicate_to else {}
    for unit, title in timers.items():
        yield Probe(f"zfs.{unit}", f"{title}: its timer runs", f"systemctl is-active {unit}.timer", "active")
    # It reads its policy for that.
    yield Probe("zfs.health", "sanoid takes the policy, and its pools are well", "sanoid --monitor-health", "OK .*")


def _scrubs(datasets: Sequence[str]) -> Iterator[Resource]:
    for pool in _pools(datasets):
        unit = f"inference-scrub-{pool}"
        for form in ("service", "timer"):
            yield File(
                f"{UNITS}/{unit}.{form}",
                render(f"sanoid/scrub.{form}.j2", pool=pool),
                about=About("A mirror repairs only what is read."),
            )
        yield Unit(f"{unit}.timer", about=About("The clock of the scrub."))


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())
