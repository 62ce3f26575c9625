"""DOCX and ODT: a zip with XML in it, each of which can be a bomb."""

import io
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from xml.parsers import expat

from lib.memory.read.document import Builder, Document, Limits, Refused, Torn

MOST_MEMBERS = 10_000
# Office files shrink to a tenth; a hundredth part is already a blank page repeated.
HIGHEST_RATIO = 200
PIECE = 1 << 16
ENCRYPTED = 0x1
OLE = b"\xd0\xcf\x11\xe0"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0 "
Attributes = dict[str, str]


def docx(data: bytes, name: str, limits: Limits) -> Document:
    """Read a Word document: paragraphs, and headings by their style."""
    builder = Builder(limits)
    level, words = 0, list[str]()

    def start(tag: str, attributes: Attributes) -> None:
        nonlocal level
        if tag == f"{W}p":
            level, words[:] = 0, []
        elif tag == f"{W}pStyle":
            level = _level(attributes.get(f"{W}val", ""))
        elif tag == f"{W}tab":
            words.append("\t")
        elif tag in (f"{W}br", f"{W}cr"):
            words.append("\n")

    def end(tag: str) -> None:
        if tag == f"{W}p" and words:
            _paragraph(builder, level, "".join(words))
            words.clear()

    _parse(_member(data, "word/document.xml", limits), start, end, words.append, limits, {f"{W}t"})
    return builder.document(builder.title or name)


def odt(data: bytes, name: str, limits: Limits) -> Document:
    """Read an OpenDocument text: paragraphs and headings."""
    builder = Builder(limits)
    level, words = 0, list[str]()

    def start(tag: str, attributes: Attributes) -> None:
        nonlocal level
        if tag == f"{TEXT}h":
            level, words[:] = _digits(attributes.get(f"{TEXT}outline-level", "1")), []
        elif tag == f"{TEXT}p":
            level, words[:] = 0, []
        elif tag == f"{TEXT}tab":
            words.append("\t")
        elif tag == f"{TEXT}line-break":
            words.append("\n")
        elif tag == f"{TEXT}s":
            words.append(" " * min(_digits(attributes.get(f"{TEXT}c", "1")), 100))

    def end(tag: str) -> None:
        if tag in (f"{TEXT}p", f"{TEXT}h"):
            _paragraph(builder, level, "".join(words))
            words.clear()

    _parse(_member(data, "content.xml", limits), start, end, words.append, limits, None)
    return builder.document(builder.title or name)


def _paragraph(builder: Builder, level: int, text: str) -> None:
    if level:
        builder.heading(level, text)
    else:
        builder.add(text)


def _member(data: bytes, wanted: str, limits: Limits) -> bytes:
    """Return one member of the archive after the whole of it was found harmless."""
    if data.startswith(OLE):
        raise Refused("encrypted, or of the old binary format")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
        info = archive.getinfo(wanted)
    except KeyError:
        raise Refused(f"no {wanted} in it") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise Torn("not a whole zip archive") from None
    if len(members) > MOST_MEMBERS:
        raise Refused(f"more than {MOST_MEMBERS} members in the archive")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise Refused("a member of the archive points outside it")
        if member.flag_bits & ENCRYPTED:
            raise Refused("encrypted")
        if member.file_size > HIGHEST_RATIO * max(member.compress_size, PIECE):
            raise Refused("a zip bomb: a member unpacks to more than 200 times its size")
    return _unpacked(archive, info, limits)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    # XML is some times its text; what the header says about the size may be a lie, so it is counted.
    most = 8 * limits.text_bytes
    pieces, length = [], 0
    try:
        with archive.open(info) as file:
            while piece := file.read(PIECE):
                pieces.append(piece)
                length += len(piece)
                if length > most or length > HIGHEST_RATIO * max(info.compress_size, PIECE):
                    raise Refused("a zip bomb: it unpacks to more than is allowed")
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise Refused(f"a damaged archive: {error}") from error
    return b"".join(pieces)


def _parse(
    data: bytes,
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None],
    text: Callable[[str], None],
    limits: Limits,
    only_within: set[str] | None,
) -> None:
    """Go through XML once, without entities of its own, and no deeper than allowed."""
    parser = expat.ParserCreate(namespace_separator=" ")
    open_tags: list[str] = []

    def opened(tag: str, attributes: Attributes) -> None:
        open_tags.append(tag)
        if len(open_tags) > limits.depth:
            raise Refused(f"nested deeper than {limits.depth}")
        start(tag, attributes)

    def closed(tag: str) -> None:
        open_tags.pop()
        end(tag)

    def said(piece: str) -> None:
        if only_within is None or open_tags[-1] in only_within:
            text(piece)

    def doctype(*_: object) -> None:
        raise Refused("it declares entities of its own, as no office program does")

    parser.buffer_text = True
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = said
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Refused(f"damaged XML: {expat.errors.messages.get(error.code, 'syntax')}") from error


def _level(style: str) -> int:
    """Return the level of a heading style: Word writes `Heading2` or, in Russian, `2`; `Title` is the first."""
    lowered = style.lower().replace(" ", "")
    if lowered == "title":
        return 1
    if lowered.startswith("heading") or lowered.isdecimal():
        return _digits(lowered.removeprefix("heading"))
    return 0


def _digits(text: str) -> int:
    return min(int(text), 9) if text.isdecimal() and len(text) < 6 else 1
