"""Each format gives its text, its headings and its places; what wants to do harm is refused with a reason."""

import io
import json
import os
import signal
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.memory import chunk
from lib.memory.evaluate import hostile
from lib.memory.read import formats, plain, safety
from lib.memory.read.document import Document, Limits, Refused, Torn
from lib.memory.read.worker import Reader

LIMITS = Limits()
MAIL = (
    b"Subject: =?utf-8?b?0JrQvtGC0ZHQuw==?=\r\nFrom: a@example.org\r\nTo: b@example.org\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "Котёл проверен.\r\n".encode()
)
PAGE = (
    b"<html><head><title>Boiler</title><script>evil()</script></head>"
    b"<body><h1>Service</h1><p>In <b>May</b>.</p></body></html>"
)
PLAN = """---
title: Plan
tags: [home, 'work']
---
# One

Text #inline [[Note|n]].

## Two

```
# no heading
```
"""


def read(name: str, data: bytes) -> Document:
    return formats.read(data, name, LIMITS)


def texts(document: Document) -> list[tuple[tuple[str, ...], str]]:
    return [(block.heading, document.text[block.start : block.end].strip()) for block in document.blocks]


def docx(body: str) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return zipped("word/document.xml", f"<w:document {space}><w:body>{body}</w:body></w:document>")


def odt(body: str) -> bytes:
    space = 'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    return zipped("content.xml", f"<office {space}>{body}</office>")


def zipped(name: str, text: str, *others: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in (name, *others):
            archive.writestr(member, text)
    return file.getvalue()


def test_markdown_knows_headings_tags_and_links() -> None:
    found = read("a.md", PLAN.encode())
    assert found.title == "Plan"
    assert found.tags == ("home", "work", "inline")
    assert found.links == ("Note",)
    assert texts(found) == [
        (("One",), "# One"),
        (("One",), "Text #inline [[Note|n]]."),
        (("One", "Two"), "## Two"),
        (("One", "Two"), "```\n# no heading\n```"),
    ]


def test_a_level_ends_those_below_it() -> None:
    found = read("a.md", b"# A\n\n### B\n\n## C\n\nx\n\n# D\n\ny\n")
    assert [heading for heading, _ in texts(found)] == [("A",), ("A", "B"), ("A", "C"), ("A", "C"), ("D",), ("D",)]


def test_code_is_cut_at_its_definitions() -> None:
    found = read("a.py", b'"""Module."""\n\nimport os\n\n\ndef first():\n    return 1\n\n\nclass Second:\n    x = 1\n')
    assert [heading for heading, _ in texts(found)] == [(), (), ("first",), ("Second",)]


def test_rows_have_their_columns_as_heading() -> None:
    found = read("a.csv", "имя;цена\nкотёл;5\n".encode())
    assert texts(found) == [(("имя, цена",), "котёл;5")]


def test_web_page_without_its_scripts() -> None:
    found = read("a.html", PAGE)
    assert found.title == "Boiler"
    assert texts(found) == [(("Service",), "Service"), (("Service",), "In May.")]


def test_mail() -> None:
    found = read("a.eml", MAIL)
    assert found.title == "Котёл"
    assert "Котёл проверен." in found.text
    assert "From: a@example.org" in found.text


def test_docx_and_odt() -> None:
    head = '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Top</w:t></w:r></w:p>'
    word = docx(f"{head}<w:p><w:r><w:t>a</w:t></w:r></w:p>")
    assert texts(read("a.docx", word)) == [(("Top",), "Top"), (("Top",), "a")]
    opened = odt('<text:h text:outline-level="1">Top</text:h><text:p>a<text:tab/>b</text:p>')
    assert texts(read("a.odt", opened)) == [(("Top",), "Top"), (("Top",), "a\tb")]


def test_notebook_without_its_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Top\n", "\n", "words"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "secret output"}]},
    ]
    found = read("a.ipynb", json.dumps({"cells": cells}).encode())
    assert texts(found) == [(("Top",), "Top"), (("Top",), "words"), (("Top",), "x = 1")]
    assert "secret output" not in found.text


def test_pdf_by_pages() -> None:
    stream = b"BT /F1 12 Tf 20 100 Td (The boiler is in the cellar) Tj ET"
    found = read("a.pdf", pdf(stream))
    assert texts(found) == [(("page 1",), "The boiler is in the cellar")]


def pdf(stream: bytes) -> bytes:
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("cp1251", b"")]
)
def test_places_are_bytes_of_the_file(encoding: str, mark: bytes) -> None:
    data = mark + "# Ёжик\r\n\r\nЁжики ходят.\r\n\r\nИ спят.\r\n".encode(encoding)
    for found in chunk.chunks(read("a.md", data), 10):
        assert data[found.start : found.end].decode(encoding) == found.text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t#`-"), max_size=2000))
def test_chunks_cover_every_word_and_fit(text: str) -> None:
    data = text.encode()
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or not text.strip():
        return
    try:
        document = read("a.md", data)
    except Refused:
        return
    found = chunk.chunks(document, 40)
    assert all(data[c.start : c.end].decode() == c.text for c in found)
    assert all(chunk.tokens(c.text) <= 40 for c in found)
    kept = "".join(document.text[block.start : block.end] for block in document.blocks)
    assert "".join("".join(c.text for c in found).split()) == "".join(kept.split())


@pytest.fixture(scope="module")
def reader() -> Reader:
    made = Reader(Limits(seconds=5))
    yield made
    made.close()


def test_hostile_files_are_refused_with_a_reason(reader: Reader, tmp_path: Path) -> None:
    said = {}
    for kind, name in hostile.write(tmp_path).items():
        with pytest.raises(Refused) as refused:
            reader.read(safety.read(tmp_path, name, LIMITS)[0], name)
        said[kind] = refused.value.reason
    wanted = {
        "zip bomb": "zip bomb",
        "deep nesting": "nested deeper",
        "entities": "entities",
        "deep JSON": "too deep",
        "program": "a program",
        "binary": "binary",
        "no notebook": "cell",
        "encrypted PDF": "encrypted",
        "symbolic link": "link",
        "named pipe": "plain file",
        "huge file": "MiB",
    }
    assert {kind for kind, word in wanted.items() if word not in said[kind]} == set(), said


def locked(data: bytes) -> bytes:
    """Set the flag of encryption in the archive's local header and in its directory."""
    marked = bytearray(data)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        marked[data.index(signature) + flags] |= 1
    return bytes(marked)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xd0\xcf\x11\xe0" + bytes(600), "encrypted, or of the old binary format"),
        (locked(docx("")), "encrypted"),
        (zipped("word/document.xml", "x", "../evil.xml"), "points outside it"),
        (zipped("word/other.xml", "x"), "no word/document.xml in it"),
    ],
    ids=["old or locked", "locked archive", "outside", "another archive"],
)
def test_office_files_that_cannot_be_trusted(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read("a.docx", data)


@pytest.mark.parametrize("name", ["../a.md", "a/../../b.md", "/etc/passwd", "a\nb.md", "."])
def test_path_tricks(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        safety.relative(tmp_path, tmp_path / name)


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.md").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "in").symlink_to(outside)
    with pytest.raises(Refused, match="link"):
        safety.read(root, "in/a.md", LIMITS)


def test_half_written_files_are_torn() -> None:
    with pytest.raises(Torn):
        read("a.md", "слово".encode()[:-1])
    with pytest.raises(Torn):
        read("a.docx", docx("")[:40])
    with pytest.raises(Torn):
        read("a.pdf", b"%PDF-1.4\n1 0 obj")
    with pytest.raises(Torn):
        read("a.ipynb", b'{"cells": [')


@given(st.binary(max_size=500))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in ("a.md", "a.py", "a.csv", "a.html", "a.eml", "a.txt"):
        with suppress(Refused):
            assert read(name, data).blocks


def test_a_parser_that_never_ends_is_ended() -> None:
    slow = Reader(Limits(seconds=0.5))
    slow.read(PAGE, "a.html")  # its child is there now
    os.kill(slow._child.pid, signal.SIGSTOP)  # as one that never comes to an end
    with pytest.raises(Refused, match="parser was not done"):
        slow.read(PAGE, "a.html")
    assert slow.read(PAGE, "a.html").title == "Boiler", "the next file finds a new child"
    slow.close()


def test_russian_of_old_windows() -> None:
    assert plain.decode("Привет, мир".encode("cp1251")).text == "Привет, мир"
    assert plain.decode("naïve café".encode("latin-1")).text == "naïve café"
