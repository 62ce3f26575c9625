"""Lists that lead into the document: its figures, its tables, and the words of the glossary that a chapter uses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter
from ruamel.yaml import YAML

from lib.core import paths
from lib.report import cells
from lib.report.figures import Figure

GLOSSARY = paths.REPORT_TEMPLATE / "glossary.yml"
_CAPTION = re.compile(
    r'<caption[^>]* id="(?P<place>table-(?P<number>\d+))"[^>]*><span class="number">Table \d+</span> '
    r"(?P<words>.*?)</caption>",
    re.DOTALL,
)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Entry:
    """A figure or a table: its number, what its caption says, and its place in the page."""

    number: int
    words: str
    place: str


class Term(BaseModel):
    """One entry of the glossary."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    term: str
    stands_for: str = ""
    meaning: str

    @property
    def place(self) -> str:
        """Its id in the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.term.lower()).strip("-")

    @property
    def names(self) -> list[str]:
        """The words by which a text uses it: `Prefill, decode` explains two."""
        return self.term.split(", ")


@cache
def glossary(file: Path = GLOSSARY) -> tuple[Term, ...]:
    """Read the words that the document explains."""
    return tuple(TypeAdapter(list[Term]).validate_python(YAML(typ="safe", pure=True).load(file)))


def used(blocks: Iterable[cells.Block], terms: Sequence[Term]) -> list[Term]:
    """Return which words of the glossary stand in the prose, tables and captions of a chapter."""
    text = " ".join(_text(block) for block in blocks)
    # A name of one letter, the n of a table's head, would be found everywhere.
    return [
        term
        for term in terms
        if any(
            len(name) > 1 and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, _case(name))
            for name in term.names
        )
    ]


def figures(chapters: Iterable[Sequence[cells.Block]]) -> list[Entry]:
    """Return the figures of all chapters, in their order."""
    found = (block for blocks in chapters for block in blocks if isinstance(block, Figure))
    return [Entry(figure.number, figure.caption, f"figure-{figure.number}") for figure in found]


def tables(chapters: Iterable[Sequence[cells.Block]]) -> list[Entry]:
    """Return the tables with captions of all chapters, in their order."""
    found = (block for blocks in chapters for block in blocks if isinstance(block, cells.Html))
    return [
        Entry(int(caption["number"]), _plain(caption["words"]), caption["place"])
        for block in found
        for caption in _CAPTION.finditer(str(block.html))
    ]


def _case(name: str) -> re.RegexFlag:
    """Return how a name is looked for: abbreviations as they are written, words in any case."""
    return re.RegexFlag(0) if name != name.lower() and not name.istitle() else re.IGNORECASE


def _text(block: cells.Block) -> str:
    if isinstance(block, Figure):
        return block.caption
    return _plain(str(block.html)) if isinstance(block, cells.Html) else ""


def _plain(markup: str) -> str:
    return unescape(_TAG.sub(" ", markup)).strip()
