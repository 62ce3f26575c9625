"""Verification: every byte read at the target, and the history held against what this host has seen of it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.core.sections.backup import Keep
from lib.resilience.backup import bucket, ledger, restic
from lib.resilience.backup.bucket import BucketError
from lib.resilience.backup.items import folder
from lib.resilience.backup.repository import Repository, find
from lib.resilience.backup.restic import ResticError, Snapshot

HOURS = {"y": 365 * 24, "m": 30 * 24, "d": 24, "h": 1}
# Clocks of two machines differ; a snapshot from further ahead was not made by this host's clock.
AHEAD = timedelta(minutes=10)
NO_LOCK = "no lock: whoever has this host's credentials can delete all"
# What two snapshots must share for one of them to be let go, by how long that is done.
SAME = {"daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m"}


def verify(profile: Profile, name: str = "", at: datetime | None = None) -> list[Check]:
    """Read the repository back and judge its history.

    Parameters
    ----------
    name : str
        The target; not needed where there is one.
    at : datetime, optional
        The time of now.

    Raises
    ------
    RunbookError
        The target cannot be opened at all: gone, locked by another command, or with another password.
    """
    repository, now = find(profile, name), at or datetime.now(UTC)
    place = folder(profile)
    with ledger.alone(place):
        # First: a history that somebody hid is told as such, and restic would only miss it.
        rule = [locked(profile, repository)] if bucket.has_bucket(repository) else []
        restic.run(repository, ["unlock"])  # only locks whose process is gone
        data = read_back(profile, repository, now)
        try:
            present = restic.snapshots(repository)
        except ResticError as error:
            if error.kind != "damaged":
                raise
            return [*rule, data]
        found = [*rule, data, *history(profile, repository.name, present, now)]
        if all(check.status in ("pass", "warn") for check in found):
            ledger.note(place, repository.name, verified=now)
    return found


def read_back(profile: Profile, repository: Repository, now: datetime) -> Check:
    """Look at the structure, then read all packs, or this week's part of them, and compare with their hashes.

    A look at the structure alone, and a sample of the packs, miss a flipped bit; chapter 14 shows it.
    """
    parts = profile.backup.verify_parts
    part = now.isocalendar().week % parts + 1
    flag = "--read-data" if parts == 1 else f"--read-data-subset={part}/{parts}"
    title, expected = "Every byte at the target is as it was sent", "no error in any pack"
    try:
        restic.run(repository, ["check"])  # what is missing is told at once; a reader would try it again for a minute
        said = restic.run(repository, ["check", flag], patience_s=profile.backup.give_up_min * 60)
    except ResticError as error:
        if error.kind != "damaged":
            raise
        seen = f"“{error.detail}”" if error.detail else error.what
        return _check(repository.name, "data", title, False, expected, seen, REPAIR)
    told = f"no error, {said.seconds:.1f} s" + (f", part {part} of {parts}" if parts > 1 else "")
    return _check(repository.name, "data", title, True, expected, told, REPAIR)


def locked(profile: Profile, repository: Repository) -> Check:
    """Ask the bucket whether it refuses to delete, and for how long; a target that is called append-only must.

    Raises
    ------
    RunbookError
        The bucket does not answer, or does not know this host's key.
    """
    days = span(profile.backup.keep.every).days
    try:
        lock = bucket.Bucket(repository).lock()
        seen = f"{lock.mode}, {lock.days} days" if lock else NO_LOCK
    except BucketError as error:
        if error.code != "AccessDenied":
            raise
        lock, seen = None, "this host's key may not ask: it lacks s3:GetBucketObjectLockConfiguration"
    good = lock is not None and lock.mode == bucket.COMPLIANCE and lock.days >= days
    found = _check(
        repository.name,
        "lock",
        "The bucket deletes for nobody",
        good,
        f"object lock, {bucket.COMPLIANCE}, {days} days (backup.keep.every)",
        seen,
        f"with the owner's account, not this host's: a bucket with object lock and a default retention of {days} days, "
        f"mode {bucket.COMPLIANCE}",
    )
    return found if good or repository.settings.append_only else found.model_copy(update={"status": "warn"})


def history(profile: Profile, name: str, present: Iterable[Snapshot], now: datetime) -> list[Check]:
    """Judge the snapshots: none gone without a reason, none from the future, the newest not too old."""
    there = {one.id: one.time for one in present}
    known = ledger.read(folder(profile), name).known
    gone = lost(known, there, profile.backup.keep, now)
    ahead = [one for one, moment in there.items() if moment > now + AHEAD]
    newest = max((moment for moment in there.values() if moment <= now + AHEAD), default=None)
    limit = profile.backup.late_min
    age = (now - newest).total_seconds() / 60 if newest else None
    return [
        _check(
            name,
            "history",
            "No snapshot is gone that should be there",
            not gone,
            "all that this host has seen, less what is old enough to go",
            f"{len(gone)} gone: {', '.join(one[:8] for one in gone[:4])}" if gone else f"{len(there)} snapshots",
            "somebody deleted at the target: keep what is left, change its credentials, look at its other copies",
        ),
        _check(
            name,
            "future",
            "No snapshot comes from the future",
            not ahead,
            "times up to now",
            f"{len(ahead)} ahead: {', '.join(one[:8] for one in ahead[:4])}" if ahead else "none",
            "a clock is wrong, or somebody floods the history: remove it at the target's side; prune by age only",
        ),
        _check(
            name,
            "age",
            "The newest snapshot is young",
            age is not None and age <= limit,
            f"at most {limit} min",
            "no snapshot" if age is None else f"{max(age, 0):.1f} min",
            "systemctl status inference-backup.timer; python -m lib backup now",
        ),
    ]


def lost(known: Mapping[str, datetime], there: Mapping[str, datetime], keep: Keep, now: datetime) -> list[str]:
    """Return snapshots that were seen, are gone, and cannot have been let go by age: nothing stands for them."""
    newest = max((one for one in (*known.values(), *there.values()) if one <= now + AHEAD), default=now)
    return [one for one, moment in known.items() if one not in there and not _let_go(moment, newest, there, keep)]


def span(told: str) -> timedelta:
    """Return a duration of restic: ``1y6m``, ``14d``."""
    hours, number = 0, ""
    for letter in told:
        if letter in HOURS:
            hours, number = hours + int(number) * HOURS[letter], ""
        else:
            number += letter
    return timedelta(hours=hours)


def _let_go(moment: datetime, newest: datetime, there: Mapping[str, datetime], keep: Keep) -> bool:
    """Tell whether pruning explains that a snapshot is gone: it is not young, and another stands for it."""
    if newest - moment <= span(keep.every):
        return False
    for each, form in SAME.items():
        if newest - moment <= span(getattr(keep, each)):
            same = moment.astimezone().strftime(form)
            return any(other.astimezone().strftime(form) == same for other in there.values())
    return True


REPAIR = (
    "restore the newest snapshot that is whole elsewhere; then restic rebuild-index, restic prune, and a new backup "
    "to this target"
)


def _check(target: str, name: str, title: str, good: bool, expected: str, observed: str, fix: str) -> Check:
    return Check(
        name=f"backup.verify.{name}",
        title=title,
        status="pass" if good else "fail",
        expected=expected,
        observed=observed,
        fix=fix,
        conditions={"target": target},
    )
