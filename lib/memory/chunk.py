"""From a document to chunks: whole blocks below one heading, as many as fit; every chunk knows its bytes."""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from lib.memory.read.document import Block, Document

# A token of Qwen3's or MiniLM's vocabulary is about four bytes of English, five to six of Russian (two a letter), three
# of code. Three never cuts English or Russian short; what a model's own count exceeds is embedded in halves (`embed`).
BYTES_A_TOKEN = 3
BOUNDARIES = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?…;])\s+"), re.compile(r"\s+"))
# A cut nearer to the start than this share of the room would leave crumbs.
EARLIEST = 0.5
LONGEST_HEADER = 300


class Chunk(NamedTuple):
    """One piece that is embedded and cited.

    Parameters
    ----------
    text : str
        As it stands in the document.
    start, end : int
        Bytes of the file, or of the text that was taken out of it.
    header : str
        Title, headings and tags; embedded in front of the text, so that a paragraph knows what it is about.
    """

    text: str
    heading: tuple[str, ...]
    start: int
    end: int
    header: str = ""

    @property
    def embedded(self) -> str:
        """What the model reads."""
        return f"{self.header}\n\n{self.text}" if self.header else self.text

    @property
    def digest(self) -> str:
        """Name of its content: the same text under the same headings is embedded once."""
        return hashlib.sha256(self.embedded.encode("utf-8", "replace")).hexdigest()[:32]


def tokens(text: str) -> int:
    """Return how many tokens a text has at most, for all but rare scripts."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


def chunks(document: Document, limit: int) -> list[Chunk]:
    """Cut a document into chunks of at most `limit` tokens by `tokens`."""
    found = []
    place, at = document.offset, 0
    for block in _packed(document, limit):
        text = document.text[block.start : block.end]
        if not text.strip():
            continue
        # Blocks come in order, so the bytes before them are counted once.
        place += len(document.text[at : block.start].encode(document.encoding, "replace"))
        length = len(text.encode(document.encoding, "replace"))
        found.append(Chunk(text, block.heading, place, place + length, _header(document, block)))
        place, at = place + length, block.end
    return found


def _packed(document: Document, limit: int) -> Iterator[Block]:
    text = document.text
    pending: Block | None = None
    for block in document.blocks:
        if pending and pending.heading == block.heading and tokens(text[pending.start : block.end]) <= limit:
            pending = Block(pending.start, block.end, block.heading)
            continue
        if pending:
            yield pending
        pending = None
        if tokens(text[block.start : block.end]) <= limit:
            pending = block
        else:
            yield from _split(text, block, limit)
    if pending:
        yield pending


def _split(text: str, block: Block, limit: int) -> Iterator[Block]:
    """Cut a block that is too long: at blank lines, else lines, else sentences, else words, else anywhere."""
    start = block.start
    while tokens(text[start : block.end]) > limit:
        cut = _cut(text, start, _reach(text, start, block.end, limit))
        yield Block(start, cut, block.heading)
        start = cut
    if start < block.end:
        yield Block(start, block.end, block.heading)


def _reach(text: str, start: int, end: int, limit: int) -> int:
    """Return the last place from `start` that still fits."""
    piece = text[start : min(end, start + limit * BYTES_A_TOKEN)].encode("utf-8", "replace")
    return start + max(1, len(piece[: limit * BYTES_A_TOKEN].decode("utf-8", "ignore")))


def _cut(text: str, start: int, reach: int) -> int:
    earliest = start + int((reach - start) * EARLIEST)
    for boundary in BOUNDARIES:
        last = 0
        for found in boundary.finditer(text, earliest, reach):
            last = found.end()
        if last > start:
            return last
    return reach


def _header(document: Document, block: Block) -> str:
    path = [document.title, *block.heading]
    named = list(dict.fromkeys(part for part in path if part))
    tags = " ".join(f"#{tag}" for tag in document.tags)
    return " > ".join(named)[:LONGEST_HEADER] + (f"\n{tags[:LONGEST_HEADER]}" if tags else "")
