"""Which reader a file gets, by the end of its name. A name that is not known is read as text, if it is text."""

from collections.abc import Callable
from pathlib import PurePosixPath

from lib.memory.read import cells, markdown, markup, office, pdf, plain
from lib.memory.read.document import Document, Limits, Refused

Simple = Callable[[bytes, str], Document]
Bounded = Callable[[bytes, str, Limits], Document]

TEXT: dict[str, Simple] = {
    **dict.fromkeys((".md", ".markdown", ".mdown"), markdown.read),
    **dict.fromkeys((".csv", ".tsv"), plain.table),
    **dict.fromkeys(
        (
            *(".py", ".pyi", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".go", ".rs", ".java", ".kt", ".scala", ".swift"),
            *(".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".php", ".rb", ".pl", ".lua", ".r", ".jl", ".sh", ".bash"),
            *(".sql", ".ps1", ".zig", ".ex", ".exs", ".hs", ".dart"),
        ),
        plain.code,
    ),
}
# Formats of strangers that take a parser: each is read in a process of its own (`worker`).
PARSED: dict[str, Bounded] = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), markup.page),
    ".eml": markup.mail,
    ".docx": office.docx,
    ".odt": office.odt,
    ".pdf": pdf.read,
    ".ipynb": cells.read,
}
# What begins so is not text, whatever it is called.
MAGIC: dict[bytes, str] = {
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"PK\x03\x04": "an archive",
    b"\x1f\x8b": "a compressed file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"SQLite format 3": "a database",
}


def parsed(name: str) -> bool:
    """Tell whether a file of this name takes a parser."""
    return PurePosixPath(name).suffix.lower() in PARSED


def read(data: bytes, name: str, limits: Limits) -> Document:
    """Read a file of any format.

    Raises
    ------
    Refused
        With the reason.
    """
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if not data.strip():
        raise Refused("empty")
    if bounded := PARSED.get(suffix):
        return bounded(data, path.stem, limits)
    for start, kind in MAGIC.items():
        if data.startswith(start):
            raise Refused(f"binary: {kind}")
    if len(data) > limits.text_bytes:
        raise Refused(f"more than {limits.text_bytes >> 20} MiB of text")
    document = TEXT.get(suffix, plain.text)(data, path.stem)
    if not document.blocks:
        raise Refused("no text in it")
    return document
