"""Where remembered files lie: folders with a name, and what is in them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError
from lib.memory.read import safety
from lib.memory.read.safety import State


class Place(NamedTuple):
    """One file: the name and folder of its root, and its name below."""

    root: str
    folder: Path
    name: str

    @property
    def path(self) -> str:
        """As the manifest and every answer name it."""
        return f"{self.root}/{self.name}"

    def state(self) -> State | None:
        """Return what tells whether it changed; a link is looked at, not followed."""
        try:
            return State.of((self.folder / self.name).lstat())
        except OSError:
            return None

    def exists(self) -> bool:
        """Tell whether something is there by this name."""
        return self.state() is not None


class Changes(NamedTuple):
    """What a look at the folders found beside what is known: files to read, and paths to take out."""

    places: list[Place]
    gone: list[str]
    absent: list[str]


def ignored(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a part of a name below a root is passed over."""
    return any(fnmatch(part, pattern) for part in Path(name).parts for pattern in patterns)


def walk(root: str, folder: Path, patterns: Sequence[str], below: str = "") -> Iterator[Place]:
    """Yield the files of a root, or of a folder in it; links are yielded, to be refused, and not followed."""
    waiting = [below]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / here), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            name = f"{here}/{entry.name}" if here else entry.name
            if ignored(entry.name, patterns):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            else:
                yield Place(root, folder, name)


def compare(roots: dict[str, Path], known: dict[str, State], patterns: Sequence[str]) -> Changes:
    """Hold folders against what is known of their files.

    A root that is not there (a disk that is not mounted) is left alone: its files are not forgotten for that.
    """
    places: list[Place] = []
    seen: set[str] = set()
    absent = [name for name, folder in roots.items() if not folder.is_dir()]
    for root, folder in roots.items():
        for place in walk(root, folder, patterns) if root not in absent else ():
            seen.add(place.path)
            if known.get(place.path) != place.state():
                places.append(place)
    present = {root for root in roots if root not in absent}
    gone = [path for path in known if path.partition("/")[0] in present and path not in seen]
    return Changes(places, gone, absent)


def locate(path: Path, roots: dict[str, Path]) -> tuple[str, Path, str]:
    """Return root, its folder and the name below for a path; a path outside all roots becomes a root of its own.

    A file outside is taken in under the name of its folder.

    Raises
    ------
    RunbookError
        There is nothing, or its name is refused.
    """
    given_path = path.expanduser()
    if not given_path.exists() and not given_path.is_symlink():
        raise RunbookError("there is no such file or folder", where=str(path), fix="ls the folder above it")
    # The last part stays as it is: a file that is a link is refused, not followed.
    folder_given = given_path.is_dir() and not given_path.is_symlink()
    absolute = given_path.resolve() if folder_given else given_path.parent.resolve() / given_path.name
    for root, folder in sorted(roots.items(), key=lambda pair: -len(pair[1].parts)):
        if absolute == folder:
            return root, folder, ""
        if absolute.is_relative_to(folder):
            return root, folder, safety.relative(folder, absolute)
    folder = absolute if folder_given else absolute.parent
    return _free_name(folder, roots), folder, "" if folder_given else absolute.name


def given(roots: dict[str, str]) -> dict[str, Path]:
    """Return the profile's roots as real folders."""
    return {name: (paths.ROOT / Path(folder).expanduser()).resolve() for name, folder in roots.items()}


def _free_name(folder: Path, taken: Iterable[str]) -> str:
    base = folder.name.replace("/", "") or "root"
    names = [base, *(f"{base}-{number}" for number in range(2, 10_000))]
    return next(name for name in names if name not in set(taken))
