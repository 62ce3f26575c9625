"""What is backed up: the rows of the profile's table, with the paths that they mean on this host."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.sections import Profile
from lib.core.sections.backup import BackupItem, Kind
from lib.gateway import keys
from lib.memory import service


class Item(NamedTuple):
    """One row that is backed up: its name, its kind, and where it lies."""

    name: str
    kind: Kind
    places: tuple[Path, ...]


def items(profile: Profile) -> Iterator[Item]:
    """Yield what is backed up, with absolute paths."""
    for name, told in profile.backup.items.items():
        if told.kind != "rebuilt":
            yield Item(name, told.kind, tuple(_places(profile, told)))


def rows(profile: Profile) -> list[dict[str, object]]:
    """Return the whole table, as people read it."""
    places = {item.name: item.places for item in items(profile)}
    return [
        {
            "What": name,
            "How": f"made again: {told.rebuild}" if told.kind == "rebuilt" else "backed up",
            "Where": ", ".join(paths.short(place) for place in places.get(name, ())),
            "Why": told.why,
        }
        for name, told in profile.backup.items.items()
    ]


def folder(profile: Profile) -> Path:
    """Return where copies, restic's cache and the state are kept; `.cache` follows the runbook's own."""
    return resolved(profile.backup.folder)


def resolved(told: str) -> Path:
    """Return the file or folder that a profile names."""
    given = Path(told).expanduser()
    return paths.CACHE.joinpath(*given.parts[1:]) if given.parts[:1] == (".cache",) else paths.ROOT / given


def own(profile: Profile) -> frozenset[Path]:
    """Return what is never in a backup: its own folder, and the secrets that open it."""
    told = [
        name
        for one in profile.backup.targets.values()
        for name in (one.password_file, one.address_file, one.credentials_file, one.sftp_key)
        if name
    ]
    return frozenset([folder(profile), *map(resolved, told)])


def _places(profile: Profile, told: BackupItem) -> list[Path]:
    if told.kind == "memory":
        return [service.folder(profile.memory)]
    if told.kind == "keys":
        return [keys.place(profile.gateway.keys)]
    return [paths.ROOT / Path(place).expanduser() for place in told.paths]
