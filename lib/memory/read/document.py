"""A document as all readers hand it on: its text, and where in it each block with which headings stands."""

from typing import NamedTuple


class Refused(Exception):  # noqa: N818 - a verdict on a file, not a fault of the program
    """A file that the memory does not take; the reason is for its owner."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Torn(Refused):
    """A file that looks as if somebody were still writing it: it is tried again before it is refused."""


class Limits(NamedTuple):
    """How much one file may be, so that none takes the machine: bytes, depth of nesting, seconds of reading."""

    file_bytes: int = 32 << 20
    text_bytes: int = 16 << 20
    depth: int = 200
    seconds: float = 20.0


class Block(NamedTuple):
    """A piece that belongs together: a paragraph, a fence, rows; `start` and `end` are characters of the text."""

    start: int
    end: int
    heading: tuple[str, ...] = ()


class Document(NamedTuple):
    """What a reader found.

    Parameters
    ----------
    text : str
        For text files the file itself, decoded and otherwise unchanged; else the text that was taken out of it.
    blocks : list of Block
        In order, without overlap.
    encoding, offset : str, int
        How `text` lies in the file: bytes before it, and its encoding. For taken-out text ``utf-8`` and 0, and places
        are bytes of that text.
    """

    title: str
    text: str
    blocks: list[Block]
    encoding: str = "utf-8"
    offset: int = 0
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Builder:
    """Puts taken-out text together, block by block, and remembers the headings above each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = self._bytes = 0
        self._headings: list[tuple[int, str]] = []
        self.blocks: list[Block] = []
        self.title = ""

    def heading(self, level: int, text: str) -> None:
        """Open a section: headings of this level and below end."""
        text = " ".join(text.split())
        if not text:
            return
        self._headings = [*(pair for pair in self._headings if pair[0] < level), (level, text)]
        self.title = self.title or text
        self.add(text)

    def section(self, text: str) -> None:
        """Open a section whose heading is not part of the text: a page, a cell."""
        self._headings = [(1, text)]

    def add(self, text: str) -> None:
        """Add a block below the present headings; blank ones are nothing."""
        text = text.strip("\n")
        if not text.strip():
            return
        self._bytes += len(text.encode("utf-8", "replace")) + 2
        if self._bytes > self._limits.text_bytes:
            raise Refused(f"more than {self._limits.text_bytes >> 20} MiB of text")
        heading = tuple(text for _, text in self._headings)
        self.blocks.append(Block(self._length, self._length + len(text), heading))
        self._parts.append(f"{text}\n\n")
        self._length += len(text) + 2

    def document(self, title: str, tags: tuple[str, ...] = ()) -> Document:
        """Return the document; one without any text is refused."""
        if not self.blocks:
            raise Refused("no text in it")
        # Lone surrogates cannot be stored.
        text = "".join(self._parts).encode("utf-8", "replace").decode()
        return Document(title or self.title, text, self.blocks, tags=tags)
