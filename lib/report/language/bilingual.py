"""One page that holds two languages: it opens in one, and a table in it says every piece in the other.

Everything but these pieces stays as it was rendered, byte by byte: identifiers, data, scripts and what their hashes
allow. A piece is marked `data-say="7"` and its other form is `texts[7]`; labels of elements (`title`, `aria-label`, …)
are marked `data-labels="3"`; a figure's texts are named by their place in its data.
"""

import gc
import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from lib.report.figures import embed
from lib.report.language import figures
from lib.report.language.choice import ENGLISH
from lib.report.language.pieces import Piece, pieces
from lib.report.language.sources import scripts
from lib.report.language.speech import Speech
from lib.report.language.tree import Element, elements, parse
from lib.report.language.units import is_kept

LABELS = ("alt", "aria-label", "data-label", "placeholder", "title")
_LABEL = re.compile("|".join(LABELS))
_OWN = ("id", "data-cells")
# Where the table stands in the page; the template leaves it there.
PLACE = '<script type="application/json" id="language-data"></script>'


@dataclass
class Table:
    """What a page says in the language that it does not show."""

    shown: str
    texts: list[str] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)
    figures: dict[str, list[tuple[list[str | int], str]]] = field(default_factory=dict)

    def embedded(self, words: Mapping[str, str]) -> str:
        """Return the table as JSON inside its element; `words` are the scripts' own messages."""
        data = {"shown": self.shown, "texts": self.texts, "labels": self.labels, "figures": self.figures}
        return PLACE.replace("></", f">{embed({**data, 'words': dict(words)})}</")


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def bilingual(page: str, speech: Speech, other: str, first: str) -> str:
    """Return a page that shows its first language and holds the other one.

    Parameters
    ----------
    page : str
        The document in English.
    speech : Speech
        Says it in the other language, named `other`.
    first : str
        `en`, or `other`.
    """
    with uncollected():
        root = parse(page)
        table = Table(first)
        found = list(pieces(page, root, speech))
        edits = [*_texts(page, found, table), *_starts(page, root, found, speech, table, other)]
        for element in elements(root):
            if element.tag == "script" and element.attributes.get("id", "").startswith("figure-"):
                texts = list(figures.texts(json.loads(page[element.inner_start : element.inner_end]), speech))
                table.figures |= {element.attributes["id"]: texts} if texts else {}
        return _edited(page, edits).replace(PLACE, table.embedded(_words(speech)), 1)


def said(markup: str, speech: Speech) -> str:
    """Return a piece of a page in another language; what cannot be said stays."""
    return _edited(markup, [_Edit(p.start, p.end, p.markup) for p in pieces(markup, parse(markup), speech)])


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no cycles inside: a page makes a hundred thousand objects and no cycle; looking would double the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _words(speech: Speech) -> dict[str, str]:
    """Return what the page's scripts say, English to the other language."""
    told = {message.text: speech.translation(message.text) for message in scripts.messages()}
    return {text: translation for text, translation in told.items() if translation}


def _texts(page: str, found: list[Piece], table: Table) -> Iterator[_Edit]:
    for piece in found:
        english = page[piece.start : piece.end]
        shown, hidden = (english, piece.markup) if table.shown == ENGLISH else (piece.markup, english)
        mark = f'data-say="{len(table.texts)}"'
        table.texts.append(hidden)
        element = piece.parent
        if element is None or not _may_be_swapped(element):
            yield _Edit(piece.start, piece.end, f"<span {mark}>{shown}</span>")
        else:
            yield _Edit(element.inner_start - 1, element.inner_start - 1, f" {mark}")
            yield _Edit(piece.start, piece.end, shown)


def _starts(page: str, root: Element, found: list[Piece], speech: Speech, table: Table, other: str) -> Iterator[_Edit]:
    """Change start tags: the page's language, and labels; those inside a piece are part of its markup."""
    inside = _Ranges(found)
    for element in _told(root):
        if element.tag == "html":
            at = page.index("lang=", element.start)
            yield _Edit(at, at + len('lang="en"'), f'lang="{table.shown}" data-languages="{ENGLISH} {other}"')
        if not _LABEL.search(element.written):
            continue
        english = {name: element.attributes[name] for name in LABELS if element.attributes.get(name)}
        labels = {name: said for name, text in english.items() if (said := speech.say(text)) not in (None, text)}
        if not labels or inside.holds(element.start):
            continue
        yield _Edit(element.inner_start - 1, element.inner_start - 1, f' data-labels="{len(table.labels)}"')
        known = {name: str(text) for name, text in labels.items()}
        table.labels.append(known if table.shown == ENGLISH else {name: english[name] for name in known})
        if table.shown != ENGLISH:
            yield from _relabelled(page, element, known)


def _relabelled(page: str, element: Element, labels: Mapping[str, str]) -> Iterator[_Edit]:
    tag = page[element.start : element.inner_start]
    for name, text in labels.items():
        at = tag.index(f' {name}="') + len(name) + 3
        yield _Edit(element.start + at, element.start + tag.index('"', at), escape(text))


def _told(root: Element) -> Iterator[Element]:
    """Yield the elements of a page whose words are the document's own."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if "translate" in element.written:
            continue
        yield element
        if element.children and not is_kept(element):
            waiting += [child for child in reversed(element.children) if isinstance(child, Element)]


def _may_be_swapped(element: Element) -> bool:
    """Tell whether a script may replace all that an element holds: it adds nothing of its own there."""
    # Reading attributes is slow, and most elements have none of these.
    return bool(element.tag) and not any(name in element.written and name in element.attributes for name in _OWN)


def _edited(page: str, edits: list[_Edit]) -> str:
    out: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        out += [page[at : edit.start], edit.text]
        at = edit.end
    return "".join([*out, page[at:]])


class _Ranges:
    """Which positions of a page lie inside a piece."""

    def __init__(self, found: list[Piece]) -> None:
        self._ranges = sorted((piece.start, piece.end) for piece in found)

    def holds(self, position: int) -> bool:
        at = bisect_right(self._ranges, (position, 1 << 60)) - 1
        return at >= 0 and self._ranges[at][0] <= position < self._ranges[at][1]
