"""A model folder's manifest: what its files were when they were known to be good, and which of them changed since."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.core.evidence import sha256

NAME = "runbook.json"


class Entry(BaseModel):
    """One file: its size, its content, and the time stamp that lets a quick look skip reading it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    mtime_ns: int


class Manifest(BaseModel):
    """What lies beside the weights as `runbook.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    model: str
    origin: dict[str, str] = Field(description="Package and version, or repository and revision, or `import`")
    verified: bool = Field(description="The files were compared with hashes that the publisher or the catalogue states")
    converter: dict[str, str] = Field(default={}, description="Package versions that converted the weights")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    files: dict[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


class Damage(NamedTuple):
    """A file that is not what the manifest says."""

    file: str
    what: str


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a model folder that belong to the model: no manifest, nothing in hidden folders."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside != Path(NAME) and not any(part.startswith(".") for part in inside.parts):
            yield path


def entry(path: Path, digest: str = "") -> Entry:
    """Describe a file as it is now; `digest` saves reading it again."""
    status = path.stat()
    return Entry(size=status.st_size, sha256=digest or sha256(path), mtime_ns=status.st_mtime_ns)


def describe(folder: Path, known: Mapping[str, str]) -> dict[str, Entry]:
    """Describe every file of a folder; `known` maps files to hashes that were just computed."""
    names = {path: str(path.relative_to(folder)) for path in files(folder)}
    return {name: entry(path, known.get(name, "")) for path, name in names.items()}


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside the weights: aside, forced to disk, renamed."""
    aside = folder / f"{NAME}.new"
    with aside.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / NAME)


def read(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None if there is none or it cannot be read."""
    try:
        return Manifest.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def damage(folder: Path, manifest: Manifest, *, full: bool = False) -> list[Damage]:
    """Compare a folder with its manifest.

    Parameters
    ----------
    folder : Path
        The model's folder.
    manifest : Manifest
        What the folder should hold.
    full : bool
        Read every file. Otherwise only a file whose time stamp changed is read: damage below the file system
        (a flipped bit on the disk) shows only in a full look.

    Returns
    -------
    list of Damage
        Missing files, wrong sizes, wrong contents.
    """
    return [found for name, known in manifest.files.items() if (found := _compare(folder, name, known, full))]


def _compare(folder: Path, name: str, known: Entry, full: bool) -> Damage | None:
    path = folder / name
    try:
        status = path.stat()
    except FileNotFoundError:
        return Damage(name, "is missing")
    if status.st_size != known.size:
        return Damage(name, f"has {status.st_size:,} bytes instead of {known.size:,}")
    if (full or status.st_mtime_ns != known.mtime_ns) and sha256(path) != known.sha256:
        return Damage(name, f"has other content than when it was fetched (SHA-256 is not {known.sha256[:12]}…)")
    return None
