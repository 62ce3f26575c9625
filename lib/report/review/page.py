"""The review in the page: what its annotator knows, what came back, and where each annotation stands."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lib.core import paths
from lib.core.evidence import AnyRecord, Check, Decision
from lib.core.state import RunState
from lib.report import cells
from lib.report.figures import Figure, embed
from lib.report.language.bilingual import said
from lib.report.language.speech import Speech
from lib.report.ledger import Row
from lib.report.review import approval, edition, notes, store
from lib.report.review.approval import Approval
from lib.report.review.edition import Edition, Text
from lib.report.review.notes import Notes

# Careful reading of English prose.
WORDS_A_MINUTE = 220
_PROSE = ("cell-", "choice-")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Review:
    """What the document shows of a review, and what its annotator needs."""

    edition: Edition
    notes: Notes
    approvals: list[Approval]
    files: list[Text]
    data: Markup
    words: int = 0

    @property
    def minutes(self) -> int:
        """Time to read the prose, in minutes."""
        return max(1, round(self.words / WORDS_A_MINUTE))

    def place(self, file: Text) -> str:
        """Return the id of a file's element."""
        return element(file)


def element(file: Text) -> str:
    """Return the id of a file's element in the page."""
    return f"source-{re.sub(r'[^a-z0-9]+', '-', file.path.lower())}"


def build(
    run: Path,
    state: RunState,
    records: Sequence[AnyRecord],
    places: Mapping[str, str],
    folder: Path = store.FOLDER,
    root: Path = paths.ROOT,
    others: Mapping[str, Callable[[], Mapping[str, str]]] | None = None,
) -> Review:
    """Return the review part of a document.

    Parameters
    ----------
    places : mapping of str to str
        Element id to text, of everything in the page that can be annotated; files are added here.
    others : mapping, optional
        Language to a function that returns the places in it; called for the languages that words were marked in.
    """
    read = edition.of_run(run, state, root)
    files = [text for text in read.texts if not text.cell]
    found = store.entries(folder)
    written = {element(file): file.text for file in files}
    marked = {entry.annotation.target.language for entry in found}
    spoken = {language: {**tell(), **written} for language, tell in (others or {}).items() if language in marked}
    return Review(
        edition=read,
        notes=notes.place(found, {**places, **written}, records, root, spoken),
        approvals=approval.approvals(found, read),
        files=files,
        data=_data(state, read),
        words=sum(len(text.split()) for name, text in places.items() if name.startswith(_PROSE)),
    )


@dataclass(frozen=True)
class Shown:
    """What the page shows that can be annotated: chapters as (id, title, blocks), evidence, decisions."""

    chapters: Sequence[tuple[str, str, Sequence[cells.Block]]]
    rows: Sequence[Row]
    decisions: Sequence[Decision]

    def places(self, speech: Speech | None = None) -> dict[str, str]:
        """Return every element that can be annotated, id to its text in English, or as a language says it."""
        say = partial(_say, speech)
        found = {"front": ""}
        for number, decision in enumerate(self.decisions, 1):
            found[f"choice-{number}"] = f"{say(decision.choice)} {say(decision.reason)}"
        for id_, title, blocks in self.chapters:
            found[f"chapter-{id_}"] = say(title)
            for block in blocks:
                place = f"figure-{block.number}" if isinstance(block, Figure) else getattr(block, "place", "")
                if place:
                    found[place] = _text(block, speech)
        for row in self.rows:
            seen = row.record.observed if isinstance(row.record, Check) else ""
            found[row.anchor] = f"{say(row.record.title)} {row.record.name} {say(seen)}"
        return found


def _say(speech: Speech | None, text: str) -> str:
    return (speech.say(text) if speech and text else None) or text


def _text(block: cells.Block, speech: Speech | None) -> str:
    if isinstance(block, Figure):
        return _say(speech, block.caption)
    if isinstance(block, cells.Text):
        return f"{block.excerpt.head}\n{block.excerpt.tail}"
    if isinstance(block, cells.Html | cells.Code):
        markup = str(block.html)
        return unescape(_TAG.sub("", said(markup, speech) if speech and isinstance(block, cells.Html) else markup))
    return ""


def _data(state: RunState, read: Edition) -> Markup:
    """Return what the annotator needs as JSON that is safe inside a script element.

    Files are not told twice: their text stands in the page, where the annotator reads it.
    """
    data: dict[str, Any] = {
        "edition": read.digest,
        "run": state.id,
        "texts": [
            {"path": text.path, "cell": text.cell, "sha256": text.sha256} | ({"text": text.text} if text.cell else {})
            for text in read.texts
        ],
    }
    return embed(data)
