"""Restoring: a snapshot into an empty folder, every file compared with the hash that was taken when it was copied."""

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.sections import Profile
from lib.memory import forget, service
from lib.resilience.backup import copy, restic
from lib.resilience.backup.copy import CONTENTS, Contents
from lib.resilience.backup.golden import restored_folder
from lib.resilience.backup.repository import Repository, find
from lib.resilience.backup.restic import Snapshot
from lib.resilience.backup.work import TAG


class Restored(NamedTuple):
    """What came back."""

    snapshot: Snapshot
    contents: Contents
    folder: Path
    seconds: float
    wrong: list[str]


def restore(profile: Profile, folder: Path, name: str = "", which: str = "latest") -> Restored:
    """Restore a snapshot into a folder that is empty or not there yet, and compare every file.

    Parameters
    ----------
    folder : Path
        Receives what was backed up, one folder an item; nothing in use is touched.
    name : str
        The target; not needed where there is one.
    which : str
        A snapshot's id, or ``latest``: the newest that is not from the future.

    Raises
    ------
    RunbookError
        The folder holds something, there is no such snapshot, or restic cannot read it.
    """
    repository = find(profile, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunbookError(
            "the folder is not empty", where=paths.short(folder), fix=f"choose another: {paths.short(folder)}-restored"
        )
    snapshot = choose(repository, which)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    patience = profile.backup.give_up_min * 60
    said = restic.run(repository, ["restore", snapshot.id, "--target", str(folder), "--no-lock"], patience_s=patience)
    contents = listed(folder)
    wrong = differences(contents, folder)
    _forgotten(profile, contents, folder)
    return Restored(snapshot, contents, folder, said.seconds, wrong)


def choose(repository: Repository, which: str) -> Snapshot:
    """Return a snapshot by the beginning of its id, or the newest that this runbook made and that is not ahead."""
    found = restic.snapshots(repository)
    if which == "latest":
        own = [one for one in found if TAG in one.tags and one.time <= datetime.now(UTC)]
        if own:
            return own[-1]
    matching = [one for one in found if one.id.startswith(which)]
    if len(matching) == 1:
        return matching[0]
    raise RunbookError(
        f"no snapshot '{which}'" if not matching else f"'{which}' names {len(matching)} snapshots",
        where=repository.name,
        nearest=nearest(which, [one.id[:8] for one in found]),
        fix="python -m lib backup list",
    )


def listed(folder: Path) -> Contents:
    """Read the list of contents of what was restored.

    Raises
    ------
    RunbookError
        It is missing or damaged: this is no backup of the runbook, or not all of it.
    """
    path = folder / CONTENTS
    try:
        return Contents.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise RunbookError(
            "the list of contents is missing or damaged",
            where=paths.short(path),
            fix="python -m lib backup list  (choose an older snapshot)",
        ) from error


def differences(contents: Contents, folder: Path) -> list[str]:
    """Return what is not as it was copied: missing, another content or mode, or not in the list."""
    files, links = copy.survey(folder)
    wrong = [f"missing: {name}" for name in contents.files if name not in files]
    wrong += [f"changed: {name}" for name, kept in contents.files.items() if name in files and files[name] != kept]
    wrong += [f"link: {name}" for name, goal in contents.links.items() if links.get(name) != goal]
    known = contents.files.keys() | contents.links.keys()
    return [*wrong, *(f"not in the list: {name}" for name in sorted((files.keys() | links.keys()) - known))]


def moves(restored: Restored) -> list[str]:
    """Return the commands that put what came back into its place; the owner runs them."""
    lines = []
    for item, places in restored.contents.origins.items():
        for place in map(Path, places):
            there = copy.target(restored.folder, item, place)
            if there.exists():
                lines.append(f"mkdir -p {place.parent} && cp -a {paths.short(there)} {place.parent}/")
    return lines


def _forgotten(profile: Profile, contents: Contents, folder: Path) -> None:
    """Add what was forgotten since: it must not come back from a backup, and the memory's opening sees to it."""
    memory, live = restored_folder(contents, folder), service.folder(profile.memory) / forget.LIST
    if memory is None or not live.exists():
        return
    known = forget.read(memory / forget.LIST)
    new = {key: time for key, time in forget.read(live).items() if known.get(key) != time}
    lines = [json.dumps({"path": path, "sha256": sha, "time": time}) + "\n" for (path, sha), time in new.items()]
    descriptor = os.open(memory / forget.LIST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "w")) as file:
        file.writelines(lines)
