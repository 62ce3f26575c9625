"""Text files: decoded without a change, so that every place is a byte of the file itself."""

import codecs
import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from lib.memory.read.document import Block, Document, Refused, Torn

LINE = re.compile(r"[^\n]*\n|[^\n]+")
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# One accented letter within a western word looks like one Russian letter; Russian words have several in a row.
CYRILLIC = re.compile(r"[А-Яа-яЁё]{2,}")
LONGEST_CHARACTER = 4
# A file with more control characters than this share is no text, whatever its name says.
CONTROL_SHARE = 0.01
# A paragraph of so many lines is one block; the chunker splits what is still too long.
ROWS_A_BLOCK = 20
# Lines at the left margin that open something that has a name, in the languages that most people write.
DEFINITION = re.compile(
    r"^(?:export\s+|pub(?:\([^)]*\))?\s+|public\s+|private\s+|protected\s+|static\s+|abstract\s+|final\s+|async\s+|"
    r"default\s+|inline\s+|extern\s+|unsafe\s+)*"
    r"(?:def|class|func|fn|function|struct|enum|trait|impl|interface|type|module|namespace|object|record|sub|local"
    r"\s+function)\s+([\w.$:]+)"
)


class Decoded(NamedTuple):
    """Text, how it is encoded, and how many bytes stand before it."""

    text: str
    encoding: str
    offset: int


class Line(NamedTuple):
    """One line with its place, its end included."""

    text: str
    start: int
    end: int


def decode(data: bytes) -> Decoded:
    """Decode a text file: UTF-8, UTF-16 with its mark, else the Windows code page of Russian or of western Europe.

    Raises
    ------
    Refused
        It is not text.
    Torn
        It ends within a character.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _checked(_strict(data[len(mark) :], encoding), encoding, len(mark))
    if b"\0" in data:
        raise Refused("binary, not text")
    try:
        return _checked(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data" and error.start >= len(data) - LONGEST_CHARACTER
        if cut and len(data) > LONGEST_CHARACTER:
            raise Torn("it ends within a character") from None
    russian = data.decode("cp1251", "replace")
    high = sum(byte > 127 for byte in data)
    encoding = "cp1251" if sum(map(len, CYRILLIC.findall(russian))) > high / 2 else "latin-1"
    return _checked(data.decode(encoding, "replace"), encoding, 0)


def lines(text: str) -> Iterator[Line]:
    """Yield the lines of a text with their places."""
    for found in LINE.finditer(text):
        yield Line(found.group(), found.start(), found.end())


def paragraphs(text: str, heading: tuple[str, ...] = ()) -> Iterator[Block]:
    """Yield runs of lines that are not blank."""
    start, end = -1, 0
    for line in lines(text):
        if line.text.strip():
            start, end = (line.start if start < 0 else start), line.end
        elif start >= 0:
            yield Block(start, end, heading)
            start = -1
    if start >= 0:
        yield Block(start, end, heading)


def text(data: bytes, name: str) -> Document:
    """Read plain text by its paragraphs."""
    decoded = decode(data)
    return Document(name, decoded.text, list(paragraphs(decoded.text)), decoded.encoding, decoded.offset)


def code(data: bytes, name: str) -> Document:
    """Read a program by its definitions at the left margin; what is within one has its name as heading."""
    decoded = decode(data)
    blocks: list[Block] = []
    heading: tuple[str, ...] = ()
    start = end = 0
    blank = True
    for line in lines(decoded.text):
        found = DEFINITION.match(line.text)
        opens = found is not None or (blank and line.text.strip() and not line.text[0].isspace())
        if opens and end > start:
            blocks.append(Block(start, end, heading))
            start = line.start
        if found:
            heading = (found[1].rstrip(":"),)
        blank = not line.text.strip()
        if not blank:
            start, end = (line.start if end <= start else start), line.end
    if end > start:
        blocks.append(Block(start, end, heading))
    return Document(name, decoded.text, blocks, decoded.encoding, decoded.offset)


def table(data: bytes, name: str) -> Document:
    """Read comma- or tab-separated rows, some at a time, each with the names of the columns as heading."""
    decoded = decode(data)
    rows = list(lines(decoded.text))
    if not rows:
        raise Refused("no text in it")
    columns = (", ".join(_cells(rows[0].text)),)
    blocks: list[Block] = []
    body, quoted = [], False
    for row in rows[1:] or rows:
        body.append(row)
        # A quoted cell may hold line ends; a row ends where its quotes are closed.
        quoted ^= row.text.count('"') % 2 == 1
        if len(body) >= ROWS_A_BLOCK and not quoted:
            blocks.append(Block(body[0].start, body[-1].end, columns))
            body = []
    if body:
        blocks.append(Block(body[0].start, body[-1].end, columns))
    return Document(name, decoded.text, blocks, decoded.encoding, decoded.offset)


def _cells(line: str) -> list[str]:
    mark = max(",;\t|", key=line.count)
    try:
        return [cell.strip() for cell in next(csv.reader([line.strip("\r\n")], delimiter=mark), [])]
    except csv.Error:
        return [line.strip()]


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start >= len(data) - LONGEST_CHARACTER:
            raise Torn("it ends within a character") from None
        raise Refused(f"not valid {encoding.upper()}") from None


def _checked(text: str, encoding: str, offset: int) -> Decoded:
    if len(CONTROL.findall(text)) > CONTROL_SHARE * len(text):
        raise Refused("binary, not text")
    return Decoded(text, encoding, offset)
