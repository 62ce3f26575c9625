"""One backup: copy, send, let go of what is old, write down that it is done."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from lib.core import state
from lib.core.sections import Profile
from lib.memory.embed import Embedder
from lib.resilience.backup import copy, golden, ledger, restic
from lib.resilience.backup.copy import Contents
from lib.resilience.backup.items import folder, resolved
from lib.resilience.backup.repository import Repository, find
from lib.resilience.backup.restic import ResticError

TAG = "inference-runbook"
Say = Callable[[str], None]
PRUNE_EVERY = timedelta(days=1)


class Done(NamedTuple):
    """A finished backup: the snapshot's id, bytes that were sent, and seconds of each step."""

    target: str
    snapshot: str
    contents: Contents
    added: int
    copy_s: float
    send_s: float

    @property
    def seconds(self) -> float:
        """Time of the whole."""
        return self.copy_s + self.send_s


def now(profile: Profile, name: str = "", say: Say = lambda _: None, served: Embedder | None = None) -> Done:
    """Make one backup to one target.

    Parameters
    ----------
    name : str
        The target; not needed where there is one.
    served : Embedder, optional
        Gives the golden questions their vectors; default: the profile's server, if it answers.

    Raises
    ------
    RunbookError
        Something cannot be copied, or restic cannot send it (`ResticError`). Earlier snapshots stay as they are.
    """
    repository = find(profile, name)
    place = folder(profile)
    with ledger.alone(place):
        repository.environment()  # a missing secret is told before anything is copied
        begun = time.monotonic()
        contents = prepare(profile, served)
        copied = time.monotonic() - begun
        say(f"copied {len(contents.files)} files, {contents.size / 1e6:.1f} MB, in {copied:.1f} s")
        for absent in contents.absent:
            say(f"not on this host: {absent}")
        done = _send(profile, repository, contents, copied, say)
        if not repository.settings.append_only and _due(profile, repository):
            forget(profile, repository)
        _note(profile, repository, done)
        publish(profile)
        return done


def prepare(profile: Profile, served: Embedder | None = None) -> Contents:
    """Make the copy with its list of contents and the golden answers."""
    there = copied(profile)
    contents = copy.make(profile, there)
    memory, asked = golden.memory_folder(profile, there), golden.questions(profile)
    if memory and asked:
        embedder = served or golden.embedder(profile)
        try:
            answers = golden.ask(profile, memory, asked, embedder)
        finally:
            if embedder is not None and embedder is not served:
                embedder.close()
        contents = contents.model_copy(update={"golden": answers})
    copy.write(contents, there)
    return contents


def copied(profile: Profile) -> Path:
    """Return the folder of the copy."""
    return folder(profile) / "copy"


def forget(profile: Profile, repository: Repository) -> None:
    """Let go of snapshots that are older than the profile keeps, and of what only they held."""
    restic.run(repository, ["forget", "--prune", "--tag", TAG, "--group-by", "host,tags", *keeping(profile)])
    ledger.note(folder(profile), repository.name, pruned=datetime.now(UTC))


def keeping(profile: Profile) -> list[str]:
    """Return restic's flags for what is kept: by age, so that snapshots that somebody adds push no true one out."""
    told = profile.backup.keep
    further = [f"--keep-within-{each}={getattr(told, each)}" for each in ("daily", "weekly", "monthly")]
    return [f"--keep-within={told.every}", *further]


def publish(profile: Profile) -> None:
    """Write the file for node_exporter, where the profile names one."""
    if named := profile.backup.metrics_file:
        entries = {name: ledger.read(folder(profile), name) for name in profile.backup.targets}
        state.replace(resolved(named), ledger.metrics(entries).encode())


def _send(profile: Profile, repository: Repository, contents: Contents, copy_s: float, say: Say) -> Done:
    begun = time.monotonic()
    words = ["backup", ".", "--json", "--tag", TAG, "--host", contents.host, "--time", _local(contents.made)]
    patience = profile.backup.give_up_min * 60
    try:
        said = restic.run(repository, words, folder=copied(profile), patience_s=patience)
    except ResticError as error:
        if error.kind != "absent":
            raise
        restic.run(repository, ["init"])
        say(f"made the repository of '{repository.name}'; put its password on paper: python -m lib backup paper FILE")
        said = restic.run(repository, words, folder=copied(profile), patience_s=patience)
    summary = next(line for line in said.lines() if line.get("message_type") == "summary")
    seconds = time.monotonic() - begun
    say(f"snapshot {summary['snapshot_id']}: {summary['data_added'] / 1e6:.2f} MB sent in {seconds:.1f} s")
    return Done(repository.name, str(summary["snapshot_id"]), contents, int(summary["data_added"]), copy_s, seconds)


def _due(profile: Profile, repository: Repository) -> bool:
    """Tell whether it is a day since the last pruning: it reads every index, over the line."""
    last = ledger.read(folder(profile), repository.name).pruned
    return last is None or datetime.now(UTC) - last > PRUNE_EVERY


def _local(moment: datetime) -> str:
    """Return a moment as restic takes it: local time, whole seconds."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _note(profile: Profile, repository: Repository, done: Done) -> None:
    known = {one.id: one.time for one in restic.snapshots(repository)}
    ledger.note(
        folder(profile),
        repository.name,
        backup=done.contents.made,
        seconds=round(done.seconds, 2),
        added_bytes=done.added,
        known=known,
    )
