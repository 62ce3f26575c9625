"""Chapter 14: a small owner's memory backed up, restored, compared, and its backup damaged on purpose."""

from collections.abc import Sequence

from lib.chapters import gate
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Change, Check, Decision, Measurement, Provenance, Scalar
from lib.core.sections.backup import BackupTarget
from lib.deploy import backup as deploy
from lib.deploy.plan import Difference
from lib.deploy.resources import File
from lib.deploy.site import Site
from lib.deploy.template import render
from lib.resilience.backup import drill, items, verify, work
from lib.resilience.backup.damage import registry
from lib.resilience.backup.damage.arena import TARGET, Arena
from lib.resilience.backup.drill import Drilled
from lib.resilience.backup.estimate import SHARE, estimate, local

RTO_LIMIT_S = 600.0
LAB = Provenance(where="lab")
FIRST_GB = (1, 10, 100)
OTHER_SIDE = "127.0.0.1:8000"  # behind the tunnel or a proxy with TLS


class Ground:
    """The chapter's own memory, keys and repository, in a folder that is made anew; the owner's are not touched."""

    def __init__(self, chapter: Chapter) -> None:
        self.chapter = chapter
        self.arena: Arena | None = None
        self.done: work.Done | None = None
        self.drilled: Drilled | None = None

    def close(self) -> None:
        """Delete all of it."""
        if self.arena:
            self.arena.__exit__()
            self.arena = None


def table(chapter: Chapter) -> display.Html:
    """Show what is backed up and what is made again."""
    return display.table(items.rows(chapter.profile), "What is backed up, and what is made again")


def line(chapter: Chapter) -> display.Html:
    """Show how long copies take over the owner's line: computed from its rate."""
    profile = chapter.profile
    away = {name: target for name, target in profile.backup.targets.items() if not local(target)}
    rows = []
    for name, target in (away or {"any over the line": BackupTarget(address="rest:")}).items():
        for size in FIRST_GB:
            found = estimate(profile, target, size * 1e9)
            rows.append(
                {
                    "Target": name,
                    "Data": f"{size} GB",
                    "The first time": f"{found.first_h:.1f} h at {found.upload_mbit_s:g} Mbit/s",
                    "Each day": f"{found.daily_min:.0f} min for {profile.backup.growth_mb_day:g} MB",
                    "All of it back": f"{found.back_h:.1f} h at {profile.line.download_mbit_s:g} Mbit/s",
                }
            )
    told = f"Computed, not measured: {SHARE:.0%} of the line for data, nothing saved by compression"
    return display.table(rows, told)


def plan(chapter: Chapter) -> list[Change]:
    """Record what a home would get; the files, and the unit of the other side, which only adds, are raw files."""
    found: list[Change] = []
    for item in deploy.resources(Site(chapter.profile, "home", "home")):
        change, raw = Difference("backup", item, "absent").change("home"), []
        if isinstance(item, File):
            raw = [chapter.save(item.path.rpartition("/")[2], item.content)]
            change = change.model_copy(update={"after": f"{len(item.content.splitlines())} lines, mode {item.mode}"})
        found += chapter.record(change, artifacts=raw)
    chapter.save("append-only.service", render("restic/append-only.service.j2", address=OTHER_SIDE))
    return found


def start(ground: Ground) -> list[Check]:
    """Make the memory and its keys, back them up, and remember one more note that no backup has."""
    chapter = ground.chapter
    try:
        with chapter.engine_time("backup"):
            arena = ground.arena = Arena(paths.CACHE / "chapters" / "backup", chapter.profile)
            *known, last = sorted(arena.golden.notes)
            arena.remember(*(arena.place / "notes" / name for name in known))
            ground.done = arena.back_up()
            arena.remember(arena.place / "notes" / last)
    except RunbookError as error:
        ground.close()
        return list(chapter.record(_not_here(error)))
    done = ground.done
    chapter.record(
        _seconds("backup.copy_seconds", "A consistent copy of everything", done.copy_s, done.contents.size),
        _seconds("backup.send_seconds", "Encrypted and sent to an empty repository", done.send_s, done.added),
        model=arena.golden.model,
        weights="real",
    )
    return list(
        chapter.record(
            Check(
                name="backup.made",
                title="A backup was made while the memory was in use",
                status="pass",
                expected="a snapshot",
                observed=f"{done.snapshot}: {len(done.contents.files)} files, {done.contents.size / 1e6:.2f} MB",
                provenance=LAB,
            )
        )
    )


def verified(ground: Ground) -> list[Check]:
    """Read every byte of the repository back, and judge its history."""
    if ground.arena is None:
        return []
    with ground.chapter.engine_time("verify"):
        found = verify.verify(ground.arena.profile, TARGET)
    return list(ground.chapter.record(*(_lab(check) for check in found), command="python -m lib backup verify"))


def restored(ground: Ground) -> list[Check]:
    """Restore aside, start memory and gateway from it, ask both, and compare with what was acknowledged."""
    arena, chapter = ground.arena, ground.chapter
    if arena is None:
        return []
    *known, last = sorted(arena.golden.notes)
    with chapter.engine_time("restore drill"):
        told = drill.drill(arena.profile, TARGET, good=[arena.held.good], bad=[arena.held.revoked])
    ground.drilled = told
    every = chapter.profile.backup.every_min * 60
    steps = {name: round(seconds, 2) for name, seconds in told.steps.items()}
    conditions = {**steps, "files": len(told.contents.files)}
    chapter.record(
        _measured(
            "backup.rto_seconds", "From nothing to memory and gateway that answer (RTO)", told.rto_s, **conditions
        ),
        _measured(
            "backup.rpo_seconds",
            "Age of the newest backup when the loss came (RPO)",
            told.rpo_s,
            one_every=f"{every} s",
            at_most=f"{every + told.rto_s:.0f} s",
        ),
        model=arena.golden.model,
        weights="real",
        command="python -m lib backup drill",
    )
    back = {path.rpartition("/")[2] for path in told.sources}
    kept = _kept(known, last, back)
    return list(chapter.record(*(_lab(check) for check in told.checks), kept, command="python -m lib backup drill"))


def damaged(ground: Ground) -> list[Check]:
    """Do every damage that the profile names, each to a repository of its own."""
    arena, chapter = ground.arena, ground.chapter
    if arena is None:
        return []
    show = gate.progress(chapter)
    wanted = registry.chosen(chapter.profile.backup.damages, twin=chapter.profile.backup.mirror)
    if registry.MIRROR not in wanted:
        chapter.record(registry.not_asked())
    for damage in wanted:
        show(f"damage: {damage.title}", 0)
        with chapter.engine_time(f"damage {damage.name}"):
            _, records = registry.suffer(arena, damage)
        chapter.record(*records)
    return chapter.checks("backup.damage_detected")


def stop(ground: Ground) -> list[Check]:
    """Delete the chapter's own memory and repositories, and see that nothing of them is left."""
    place = paths.CACHE / "chapters" / "backup"
    ground.close()
    return list(
        ground.chapter.record(
            Check(
                name="backup.nothing_left",
                title="Nothing of the drill is left",
                status="fail" if place.exists() else "pass",
                expected="no folder",
                observed=paths.short(place) if place.exists() else "no folder",
                fix=f"rm -rf {paths.short(place)}",
            )
        )
    )


def decide(chapter: Chapter) -> Decision:
    """Say whether these backups may be relied on."""
    checks = chapter.checks("backup.")
    failed = [check for check in checks if check.status == "fail"]
    damages = [check for check in checks if check.name == "backup.damage_detected" and check.status == "pass"]
    rto = chapter.measurements("backup.rto_seconds")
    if not rto:
        return Decision(
            name="backup.decision",
            choice="Nothing is decided",
            reason="No backup was made and restored here.",
            evidence=[check.name for check in checks if check.status in ("skip", "fail")],
        )
    if failed:
        return Decision(
            name="backup.decision",
            choice="These backups are not to be relied on",
            reason="Failed: " + "; ".join(f"{check.title} ({check.observed})" for check in failed[:5]),
            evidence=sorted({check.name for check in failed}),
        )
    settings = chapter.profile.backup
    return Decision(
        name="backup.decision",
        choice=f"Back up every {settings.every_min} minutes, read every byte back and restore by the calendar",
        reason=f"All came back equal and answered as before within {rto[0].value:.0f} s; {len(damages)} damages were "
        f"each detected or survived. Calendar of systemd: read back {settings.verify_at}, restore {settings.drill_at}.",
        evidence=["backup.rto_seconds", "backup.rpo_seconds", "backup.damage_detected"],
        alternatives=[
            "RAID 0: no copy at all; one disk less means nothing left",
            "rclone sync: carries a deletion and an encryption to the target within minutes",
            "ZFS snapshots alone: undo a mistake in seconds, and are lost with the pool",
        ],
    )


def _kept(known: Sequence[str], last: str, back: set[str]) -> Check:
    lost = sorted(set(known) - back)
    return Check(
        name="backup.acknowledged",
        title="Everything that was acknowledged before the backup is back",
        status="fail" if lost or last in back else "pass",
        expected=f"{len(known)} notes, and not the one that came after",
        observed=f"lost: {', '.join(lost)}"
        if lost
        else f"{len(known)} of {len(known)}; after it: {int(last in back)} of 1",
        fix="python -m lib backup verify",
        provenance=LAB,
    )


def _not_here(error: RunbookError) -> Check:
    return Check(
        name="backup.made",
        title="A backup can be made here",
        status="skip",
        expected="restic",
        observed=error.what,
        fix=error.fix,
    )


def _lab(check: Check) -> Check:
    return check.model_copy(update={"provenance": LAB})


def _seconds(name: str, title: str, seconds: float, size: int) -> Measurement:
    return _measured(name, title, seconds, megabytes=round(size / 1e6, 3))


def _measured(name: str, title: str, seconds: float, **conditions: Scalar) -> Measurement:
    return Measurement(
        name=name,
        title=title,
        value=round(seconds, 2),
        unit="s",
        method="monotonic clock",
        conditions=conditions,
        provenance=Provenance(where="lab"),
    )
