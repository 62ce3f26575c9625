"""The raw files of a run: small texts travel inside the document, the rest is named with its size and digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib.core import evidence
from lib.core.evidence import Record
from lib.report.text import portable

EMBED_EACH = 64 * 1024
EMBED_TOTAL = 2 * 1024 * 1024
Integrity = Literal["intact", "changed", "missing", "unrecorded"]


@dataclass(frozen=True)
class RawFile:
    """A file below the run's folder.

    `integrity` compares it with the digest that was recorded when it was made: `unrecorded` if no record cites it.
    `text` is None where the file is not embedded.
    """

    path: str
    anchor: str
    size: int
    sha256: str
    integrity: Integrity
    text: str | None = None


def collect(run: Path, records: Sequence[Record]) -> list[RawFile]:
    """Return the files that records cite, in their order, then all other artifacts, notebooks and the run's own."""
    recorded = {artifact.path: artifact.sha256 for record in records for artifact in record.provenance.artifacts}
    below = {
        str(path.relative_to(run))
        for folder in ("artifacts", "chapters")
        for path in (run / folder).rglob("*")
        if path.is_file() and path.suffix != ".jsonl" and not _hidden(path.relative_to(run))
    }
    others = sorted(below - recorded.keys())
    own = [name for name in ("evidence.jsonl",) if (run / name).is_file()]
    files, room = [], EMBED_TOTAL
    for number, path in enumerate([*recorded, *others, *own], start=1):
        file = _look(run, path, f"raw-{number}", recorded.get(path, ""), room)
        room -= file.size if file.text is not None else 0
        files.append(file)
    return files


def _look(run: Path, path: str, anchor: str, recorded: str, room: int) -> RawFile:
    place = run / path
    # A path that leads out of the run's folder is somebody's mischief, not one of its files.
    if not place.resolve().is_relative_to(run.resolve()) or not place.is_file():
        return RawFile(path, anchor, 0, recorded, "missing")
    size, digest = place.stat().st_size, evidence.sha256(place)
    integrity: Integrity = "unrecorded" if not recorded else "intact" if digest == recorded else "changed"
    small = size <= min(EMBED_EACH, room) and path.startswith("artifacts/")
    return RawFile(path, anchor, size, digest, integrity, _text(place) if small else None)


def _hidden(path: Path) -> bool:
    """Tell whether a path is an editor's own, such as JupyterLab's checkpoints."""
    return any(part.startswith(".") for part in path.parts)


def _text(path: Path) -> str | None:
    """Return a file's text as it may travel, or None if it is not text.

    A chapter that broke off left its engine's log as it was, with this machine's folders.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else portable(text)
