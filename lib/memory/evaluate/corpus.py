"""A corpus that nobody here wrote and every machine has: manual pages, or else Python's own documentation strings.

The question is the one line that says what a page is for; the document is the page without that line. So the right
answer is known, and its words need not stand in the text that must be found.
"""

import ast
import gzip
import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError

MANUALS = Path("/usr/share/man")
SECTIONS = ("man1", "man8")
LONGEST = 1600
SHORTEST = 600
# Fewer pages than this are a minimal image that left its manuals out.
FEWEST = 100
REQUEST = re.compile(r"^[.']\s*([A-Za-z]+)\s*(.*)$")
ESCAPE = re.compile(r"\\f\[?[A-Z]*\]?|\\[&,/|%^:]|\\s[-+]?\d+|\\m\[[^\]]*\]")
SHOWN = {"B", "I", "BR", "BI", "IR", "RB", "RI", "IB", "SM", "IP", "TP", "UR", "MT", "OP"}


class Question(NamedTuple):
    """One thing to look for, and the path of the document that has it."""

    text: str
    path: str


class Page(NamedTuple):
    """One document: its file name, its question, its text as Markdown."""

    name: str
    question: str
    text: str


class Corpus(NamedTuple):
    """Pages, and where they came from, so that another machine can tell whether it has the same."""

    pages: list[Page]
    source: str

    @property
    def origin(self) -> str:
        """Source, number and digest."""
        digest = hashlib.sha256("".join(page.text for page in self.pages).encode()).hexdigest()
        return f"{len(self.pages)} {self.source}, SHA-256 {digest[:12]}"

    def write(self, folder: Path) -> list[Question]:
        """Write the pages as files and return their questions; paths as a root of the folder's name gives them."""
        folder.mkdir(parents=True, exist_ok=True)
        for page in self.pages:
            (folder / page.name).write_text(page.text, encoding="utf-8")
        return [Question(page.question, f"{folder.name}/{page.name}") for page in self.pages]


def load(count: int, manuals: Path = MANUALS) -> Corpus:
    """Return so many pages, chosen by the hash of their names: manual pages where there are enough."""
    pages = _some(_manuals(manuals), count)
    if len(pages) >= min(count, FEWEST):
        return Corpus(pages, "manual pages of this machine")
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    return Corpus(_some(_docstrings(), count), f"documentation strings of Python {python}")


def questions(path: Path) -> list[Question]:
    """Read a file of the owner's own questions: a line of JSON each, with `question` and `path`.

    Raises
    ------
    RunbookError
        It is not there, or a line is not such a question.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunbookError(
            f"the file of questions cannot be read: {error.strerror}",
            where=paths.short(path),
            fix="see memory.questions",
        ) from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            told = json.loads(line) if line.strip() else None
            found += [Question(str(told["question"]), str(told["path"]))] if told else []
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RunbookError(
                "not a question of the owner's file",
                where=f"{paths.short(path)}, line {number}",
                fix='{"question": "When is the boiler serviced?", "path": "notes/house.md"}',
            ) from error
    return found


def rendered(source: str) -> Page | None:
    """Turn the source of a manual page into Markdown, its name line apart; None: it has none, or is too short."""
    lines, section, said = [], "", []
    for line in source.splitlines():
        if line.startswith(('.\\"', "'\\\"")):
            continue
        found = REQUEST.match(line)
        if found and found[1] in ("SH", "SS"):
            section = _plain(found[2]).strip('" ')
            if section.upper() != "NAME":
                lines.append(f"\n{'##' if found[1] == 'SH' else '###'} {section}\n")
            continue
        text = _plain(found[2] if found and found[1] in SHOWN else "" if found else line).replace('"', "")
        if section.upper() == "NAME":
            said.append(text)
        elif not section:
            continue  # macros of the page's own
        elif found and found[1] in ("PP", "LP", "P", "TP", "IP"):
            lines.append(f"\n{text}")
        elif text:
            lines.append(text)
    name, dash, about = " ".join(" ".join(said).split()).partition(" - ")
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:LONGEST]
    if not dash or len(about) < 15 or len(body) < SHORTEST:
        return None
    return Page(name.split(",")[0].strip(), about.strip(), body)


def _some(pages: Iterable[tuple[str, str, Page]], count: int) -> list[Page]:
    """Take the first ones, one of a family: pages of one tool can differ in a word, and none is the right one."""
    chosen: dict[str, Page] = {}
    questions: set[str] = set()
    for family, name, page in pages:
        if len(chosen) == count:
            break
        if family not in chosen and page.question not in questions:
            chosen[family] = page._replace(name=f"{name}.md", text=f"# {page.name}\n\n{page.text}\n")
            questions.add(page.question)
    return list(chosen.values())


def _manuals(folder: Path) -> Iterator[tuple[str, str, Page]]:
    paths = [path for section in SECTIONS for path in (folder / section).glob("*.gz")]
    heads: dict[str, Path] = {}
    for path in sorted(paths, key=_order):
        heads.setdefault(re.split(r"[-_.]", path.name)[0], path)
    for family, path in heads.items():
        try:
            page = rendered(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
        except (OSError, EOFError):
            continue
        if page:
            yield family, path.name.removesuffix(".gz"), page


def _docstrings() -> Iterator[tuple[str, str, Page]]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted([*library.glob("*.py"), *library.glob("[a-z]*/*.py")], key=_order):
        if "test" in path.parts[-2] or "site-packages" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (told := ast.get_docstring(node)):
                first, _, rest = told.partition("\n\n")
                question = " ".join(first.split())
                if len(rest) >= SHORTEST // 2 and 15 <= len(question) <= 200:
                    name = f"{module}.{node.name}"
                    yield name, name, Page(node.name, question, f"Module {module}\n\n{rest.strip()[:LONGEST]}")


def _order(path: Path) -> str:
    """Return what puts paths in an order that has nothing to do with what is in them, the same everywhere."""
    return hashlib.sha256(path.name.encode()).hexdigest()


def _plain(text: str) -> str:
    return ESCAPE.sub("", text).replace("\\-", "-").replace("\\(bu", "-").replace("\\e", "\\").replace("\\ ", " ")
