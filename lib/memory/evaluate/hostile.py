"""Files that want to do harm, made on the spot: each must be refused, with a reason."""

import json
import os
import zipfile
from pathlib import Path

MIB = 1 << 20


def write(folder: Path) -> dict[str, str]:
    """Write one file of each kind and return what each is, with its name."""
    folder.mkdir(parents=True, exist_ok=True)
    word = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    bomb = word.encode() + b" " * (64 * MIB)
    _docx(folder / "bomb.docx", bomb)
    _docx(folder / "deep.docx", f"{word}{'<w:p>' * 5000}".encode())
    _docx(folder / "entities.docx", b'<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>')
    (folder / "deep.ipynb").write_text('{"cells": ' + "[" * 100_000)
    (folder / "program.txt").write_bytes(b"\x7fELF" + bytes(range(256)) * 8)
    (folder / "noise.md").write_bytes(b"# Noise\n\n" + bytes(range(256)) * 8)
    (folder / "notebook.ipynb").write_text(json.dumps({"cells": 7}))
    (folder / "locked.pdf").write_bytes(_locked_pdf())
    link = folder / "link.md"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    pipe = folder / "pipe.md"
    if not pipe.exists():
        os.mkfifo(pipe)
    huge = folder / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(33 * MIB)
    return {
        "zip bomb": "bomb.docx",
        "deep nesting": "deep.docx",
        "entities": "entities.docx",
        "deep JSON": "deep.ipynb",
        "program": "program.txt",
        "binary": "noise.md",
        "no notebook": "notebook.ipynb",
        "encrypted PDF": "locked.pdf",
        "symbolic link": "link.md",
        "named pipe": "pipe.md",
        "huge file": "huge.txt",
    }


def _docx(path: Path, document: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", document)


def _locked_pdf() -> bytes:
    import io

    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    # RC4 is the one cipher that the library has without another; it is not there to protect anything.
    writer.encrypt("secret", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()
