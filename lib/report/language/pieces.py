"""The pieces of a page that are said in another language, each with its place in the page and its new markup."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from lib.report.language.message import CODE
from lib.report.language.speech import Speech
from lib.report.language.tree import Element, Node, Text
from lib.report.language.units import Unit, is_kept, trimmed, unit, units

_PART = re.compile(rf"<(/?)(\d+)>|({CODE.pattern})")


@dataclass(slots=True)
class Piece:
    """What stands from `start` to `end` in a page, and the markup that says it in another language.

    `parent` is the element that holds it and nothing else, if there is one.
    """

    start: int
    end: int
    markup: str
    parent: Element | None = None


def pieces(page: str, root: Element, speech: Speech) -> Iterator[Piece]:
    """Yield the pieces of a page, in order; what is the same in both languages, or cannot be said, is left out."""
    for found in units(root):
        yield from _of(page, found, speech)


def _of(page: str, found: Unit, speech: Speech) -> Iterator[Piece]:
    whole = speech.say(found.message, quietly=len(found.nodes) > 1)
    if whole is not None and whole != found.message:
        yield _piece(page, found, whole)
        return
    for run, parent in _smaller(found.nodes):
        yield from _of(page, unit(run, parent), speech)


def _smaller(nodes: Sequence[Node]) -> Iterator[tuple[Sequence[Node], Element | None]]:
    """Yield the runs of text and the inner parts of elements that are said one by one when the whole cannot be."""
    if len(nodes) < 2:
        return
    for node in nodes:
        inner = [node] if isinstance(node, Text) else node.children
        if isinstance(node, Element) and (node.tag == "code" or is_kept(node)):
            continue
        if run := trimmed(inner):
            yield run, None if isinstance(node, Text) else node


def _piece(page: str, found: Unit, said: str) -> Piece:
    first, last = found.nodes[0], found.nodes[-1]
    before = len(first.raw) - len(first.raw.lstrip()) if isinstance(first, Text) else 0
    after = len(last.raw) - len(last.raw.rstrip()) if isinstance(last, Text) else 0
    return Piece(first.start + before, last.end - after, _markup(page, found, said), found.parent)


def _markup(page: str, found: Unit, said: str) -> str:
    out: list[str] = []
    codes = [(page[code.inner_start : code.inner_end], code) for code in found.codes]
    at = 0
    for part in _PART.finditer(said):
        out.append(escape(said[at : part.start()], quote=False))
        at = part.end()
        out.append(_code(page, codes, part[3]) if part[3] else _tag(page, found.elements[int(part[2]) - 1], part[1]))
    return "".join([*out, escape(said[at:], quote=False)])


def _tag(page: str, element: Element, closing: str) -> str:
    return f"</{element.tag}>" if closing else page[element.start : element.inner_start]


def _code(page: str, codes: list[tuple[str, Element]], said: str) -> str:
    """Return the page's own element for a piece of code, with its links and classes."""
    content = escape(said[1:-1], quote=False)
    for index, (inner, element) in enumerate(codes):
        if re.sub(r"\s+", " ", inner).replace("&#39;", "'").replace("&#34;", '"').replace("&quot;", '"') == content:
            del codes[index]
            return page[element.start : element.end]
    return f"<code>{content}</code>"
