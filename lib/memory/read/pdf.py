"""PDF: the text of each page; scans have none."""

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from lib.memory.read import plain
from lib.memory.read.document import Builder, Document, Limits, Refused, Torn

MOST_PAGES = 5000
END = b"%%EOF"
# The end mark stands within the last kilobyte.
TAIL = 1024


def read(data: bytes, name: str, limits: Limits) -> Document:
    """Read a PDF; the page is the heading of its text.

    Raises
    ------
    Refused
        Encrypted, without text, damaged, or too long.
    Torn
        Its end is missing.
    """
    if not data.startswith(b"%PDF-"):
        raise Refused("not a PDF")
    if END not in data[-TAIL:]:
        raise Torn("its end is missing")
    # pypdf tells about every oddity of strangers' files; the verdict is ours.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted:
            raise Refused("an encrypted PDF")
        if len(reader.pages) > MOST_PAGES:
            raise Refused(f"more than {MOST_PAGES} pages")
        builder = Builder(limits)
        title = " ".join(str(reader.metadata.title or "").split()) if reader.metadata else ""
        for number, page in enumerate(reader.pages, start=1):
            builder.section(f"page {number}")
            text = page.extract_text()
            for block in plain.paragraphs(text):
                builder.add(text[block.start : block.end])
    except PyPdfError as error:
        raise Refused(f"a damaged PDF: {error}") from error
    if not builder.blocks:
        raise Refused("no text in it: scanned pages?")
    return builder.document(title or name)
