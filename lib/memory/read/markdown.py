"""Markdown as Obsidian writes it: front matter, headings, fences, wiki links, tags."""

import re
from typing import NamedTuple

from lib.memory.read import plain
from lib.memory.read.document import Block, Document
from lib.memory.read.plain import Line

HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})\s*$")
WIKI = re.compile(r"!?\[\[([^\]\|#^\n]{1,200})")
LINK = re.compile(r"\[[^\]\n]{0,300}\]\(([^)\s]{1,500})\)")
TAG = re.compile(r"(?<![\w&/#])#([^\W\d_][\w/-]{0,99})")
KEY = re.compile(r"^([A-Za-z_][\w-]*):\s*(.*)$")
ITEM = re.compile(r"^\s*-\s+(.*)$")


class Front(NamedTuple):
    """Front matter: where the text after it starts, its title and its tags."""

    end: int = 0
    title: str = ""
    tags: tuple[str, ...] = ()


def read(data: bytes, name: str) -> Document:
    """Read Markdown by headings and paragraphs; places are bytes of the file."""
    decoded = plain.decode(data)
    front = _front(decoded.text)
    state = _Sections()
    for line in plain.lines(decoded.text):
        if line.start >= front.end:
            state.take(line)
    state.close()
    tags = dict.fromkeys([*front.tags, *(tag for tag in TAG.findall(state.prose))])
    links = dict.fromkeys(link.strip() for link in [*WIKI.findall(state.prose), *LINK.findall(state.prose)])
    title = front.title or state.title or name
    return Document(title, decoded.text, state.blocks, decoded.encoding, decoded.offset, tuple(tags), tuple(links))


class _Sections:
    """Goes through the lines once; a block ends at a blank line, a heading or the end of a fence."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self._headings: list[tuple[int, str]] = []
        self._open: list[Line] = []
        self._fence = ""
        self._prose: list[str] = []

    @property
    def prose(self) -> str:
        """What stands outside fences: only there are tags and links."""
        return "".join(self._prose)

    def take(self, line: Line) -> None:
        if self._fence:
            self._open.append(line)
            if line.text.strip().startswith(self._fence) and not line.text.strip().strip(self._fence[0]):
                self._fence = ""
                self.close()
            return
        if found := FENCE.match(line.text):
            self.close()
            self._fence = found[1]
            self._open.append(line)
            return
        if found := HEADING.match(line.text):
            self.close()
            self._heading(len(found[1]), found[2])
            self._open.append(line)
            self.close()
            return
        if (found := UNDERLINE.match(line.text)) and len(self._open) == 1 and self._open[0].text.strip():
            self._heading(1 if found[1][0] == "=" else 2, self._open[0].text.strip())
            self._open.append(line)
            self.close()
            return
        self._prose.append(line.text)
        if line.text.strip():
            self._open.append(line)
        else:
            self.close()

    def close(self) -> None:
        if self._open:
            heading = tuple(text for _, text in self._headings)
            self.blocks.append(Block(self._open[0].start, self._open[-1].end, heading))
            self._open = []

    def _heading(self, level: int, text: str) -> None:
        self._headings = [*(pair for pair in self._headings if pair[0] < level), (level, text)]
        if level == 1 and not self.title:
            self.title = text


def _front(text: str) -> Front:
    """Read front matter by its simplest form: keys, inline lists, items. It is data of strangers, no YAML to load."""
    if not text.startswith(("---\n", "---\r\n")):
        return Front()
    title, key = "", ""
    tags: list[str] = []
    for number, line in enumerate(plain.lines(text)):
        stripped = line.text.rstrip("\r\n")
        if number == 0:
            continue
        if stripped in ("---", "..."):
            return Front(line.end, title, tuple(dict.fromkeys(tag.lstrip("#") for tag in tags if tag)))
        if found := KEY.match(stripped):
            key, value = found[1].lower(), found[2].strip()
            title = _unquoted(value) if key == "title" else title
            if key in ("tags", "tag") and value:
                tags += [_unquoted(part) for part in re.split(r"[,\s]+", value.strip("[]"))]
        elif key in ("tags", "tag") and (found := ITEM.match(stripped)):
            tags.append(_unquoted(found[1].strip()))
    return Front()


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
