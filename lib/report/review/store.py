"""What came back, kept in `runbook/review`: one file an annotation, with everything that happened to it since."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.evidence import AnyRecord, Measurement, Scalar
from lib.core.state import replace
from lib.report.review.annotation import Annotation

FOLDER = paths.RUNBOOK / "review"
State = Literal["open", "applied", "declined", "closed"]
MOST_NUMBERS = 12


class Event(BaseModel):
    """Something that happened to an annotation: a new state, or an answer of the owner's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
    state: State
    words: str = ""


class Number(BaseModel):
    """A measurement as it was when the reviewer read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    conditions: dict[str, Scalar]
    value: float
    unit: str
    interval: tuple[float, float] | None = None


class Entry(BaseModel):
    """An annotation and its history, oldest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    annotation: Annotation
    history: list[Event] = []
    numbers: list[Number] = []

    @property
    def state(self) -> State:
        """Where it stands now."""
        return self.history[-1].state if self.history else "open"

    def then(self, state: State, words: str = "") -> "Entry":
        """Return the entry after one more event."""
        return self.model_copy(update={"history": [*self.history, Event(state=state, words=words)]})


def entries(folder: Path = FOLDER) -> list[Entry]:
    """Return everything that came back, oldest first.

    Raises
    ------
    RunbookError
        A file of the folder is damaged; it is named.
    """
    found = [_read(file) for file in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda entry: (entry.annotation.created.isoformat(), entry.annotation.id))


def get(number: str, folder: Path = FOLDER) -> Entry:
    """Return an annotation by its short number; an unknown one names the nearest."""
    known = {entry.annotation.number: entry for entry in entries(folder)}
    if number in known:
        return known[number]
    raise RunbookError(
        f"no annotation '{number}'",
        where=paths.short(folder),
        nearest=nearest(number, known),
        fix="python -m lib review list",
    )


def save(entry: Entry, folder: Path = FOLDER) -> Path:
    """Write an entry to its file, whole or not at all, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{entry.annotation.number}.json"
    text = json.dumps(entry.model_dump(mode="json", by_alias=True), ensure_ascii=False, indent=1)
    replace(file, f"{text}\n".encode())
    return file


def add(annotations: Iterable[Annotation], records: Sequence[AnyRecord], folder: Path = FOLDER) -> dict[str, int]:
    """Take annotations in: new ones are added, changed ones replaced while they are open, known ones kept.

    Parameters
    ----------
    annotations : iterable of Annotation
        Of one reviewer or of several: each has an id of its own.
    records : sequence of AnyRecord
        Evidence of the edition that was read: the numbers of a chapter are kept beside its corrections.

    Returns
    -------
    dict of str to int
        How many were `new`, `changed`, `known`, and `settled` (changed by the reviewer after the owner settled them).
    """
    known = {entry.annotation.id: entry for entry in entries(folder)}
    counted = {"new": 0, "changed": 0, "known": 0, "settled": 0}
    for annotation in annotations:
        before = known.get(annotation.id)
        if before is None:
            counted["new"] += 1
        elif before.annotation == annotation:
            counted["known"] += 1
            continue
        elif before.state != "open":
            counted["settled"] += 1
            continue
        else:
            counted["changed"] += 1
        history = before.history if before else []
        known[annotation.id] = entry = Entry(
            annotation=annotation, history=history, numbers=_numbers(annotation, records)
        )
        save(entry, folder)
    return counted


def _numbers(annotation: Annotation, records: Sequence[AnyRecord]) -> list[Number]:
    """Return what the chapter of a corrected notebook measured."""
    if annotation.corrects is None or not annotation.corrects.cell:
        return []
    chapter = Path(annotation.corrects.path).stem.split("_", 1)[0]
    own = [r for r in records if isinstance(r, Measurement) and r.provenance.chapter == chapter]
    return [
        Number(name=m.name, conditions=m.conditions, value=m.value, unit=m.unit, interval=m.interval)
        for m in own[:MOST_NUMBERS]
    ]


def _read(file: Path) -> Entry:
    try:
        return Entry.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise RunbookError(
            f"damaged annotation: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=paths.short(file),
            fix=f"git checkout -- {paths.short(file)}, or import the review again",
        ) from error
