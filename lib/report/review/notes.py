"""Annotations as the document shows them: beside their place, with their state, the answers and the numbers since."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.core import paths
from lib.core.evidence import AnyRecord, Measurement
from lib.report.review import anchor, correct
from lib.report.review.anchor import Anchoring
from lib.report.review.store import Entry, Number


@dataclass(frozen=True)
class Change:
    """A number before a correction and now; `now` is None where it is measured no more."""

    before: Number
    now: Measurement | None


@dataclass(frozen=True)
class Note:
    """An annotation at its place."""

    entry: Entry
    state: Anchoring
    element: str
    commit: str = ""
    changes: list[Change] = field(default_factory=list)

    @property
    def overall(self) -> bool:
        """Whether it speaks of the whole document."""
        return self.element == "front"


@dataclass(frozen=True)
class Notes:
    """All annotations of a document."""

    all: list[Note]
    by_element: Mapping[str, list[Note]]

    @property
    def lost(self) -> list[Note]:
        """Those whose place is gone."""
        return [note for note in self.all if note.state == "lost"]

    def at(self, element: str) -> list[Note]:
        """Return those of one element."""
        return list(self.by_element.get(element, ()))


def place(
    entries: Sequence[Entry],
    places: Mapping[str, str],
    records: Sequence[AnyRecord],
    root: Path = paths.ROOT,
    spoken: Mapping[str, Mapping[str, str]] | None = None,
) -> Notes:
    """Anchor annotations in a document.

    Parameters
    ----------
    entries : sequence of Entry
        What came back.
    places : mapping of str to str
        Element id to its text.
    records : sequence of AnyRecord
        Evidence of this run: what the numbers are now.
    spoken : mapping, optional
        Language to places: the same elements with their text in other languages than English.
    """
    placed: list[Note] = []
    by_element: dict[str, list[Note]] = defaultdict(list)
    measured = [record for record in records if isinstance(record, Measurement)]
    for entry in entries:
        where = anchor.find(entry.annotation, (spoken or {}).get(entry.annotation.target.language, places))
        applied = entry.state == "applied"
        note = Note(
            entry,
            where.state,
            where.element,
            correct.commit_of(entry, root) if applied else "",
            _changes(entry, measured) if applied else [],
        )
        placed.append(note)
        if where.element:
            by_element[where.element].append(note)
    return Notes(placed, by_element)


def _changes(entry: Entry, measured: Sequence[Measurement]) -> list[Change]:
    found = []
    for number in entry.numbers:
        same = [m for m in measured if (m.name, m.conditions) == (number.name, number.conditions)]
        found.append(Change(number, same[-1] if same else None))
    return found
