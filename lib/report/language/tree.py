"""A page as a tree that knows where each piece stands in the text, so that what is not translated stays as it is.

Only for the document's own pages: every element there is closed, as the templates and the sanitiser write it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape

_TOKEN = re.compile(r"<!--.*?-->|<!\w[^>]*>|<(/?)([a-zA-Z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s=/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
# Their content is not looked into: no word of it is the document's own.
_CLOSED = frozenset({"pre", "script", "style", "svg", "textarea"})


@dataclass(slots=True)
class Text:
    """A run of characters of the page, from `start` to `end`."""

    start: int
    end: int
    raw: str


@dataclass
class Element:
    """An element: where its tags begin and end, and what lies between them."""

    tag: str
    written: str
    start: int
    inner_start: int
    inner_end: int = 0
    end: int = 0
    children: list["Element | Text"] = field(default_factory=list)

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Its attributes, by name."""
        pairs = _ATTRIBUTE.finditer(self.written) if self.written.strip() else ()
        return {found[1].lower(): unescape(found[2] or found[3] or found[4] or "") for found in pairs}

    @property
    def classes(self) -> list[str]:
        """Its classes, in order."""
        return self.attributes.get("class", "").split()


Node = Element | Text


def parse(markup: str) -> Element:
    """Return the root of a page, or of a piece of one; positions count characters of `markup`.

    An end tag that fits no open element is ignored; what is left open ends with the text.
    """
    root = Element("", "", 0, 0)
    opened, at = [root], 0
    while found := _TOKEN.search(markup, at):
        if found.start() > at:
            opened[-1].children.append(Text(at, found.start(), markup[at : found.start()]))
        at = found.end()
        name = (found[2] or "").lower()
        if found[1]:
            _close(opened, name, found.start(), found.end())
        elif name:
            element = Element(name, found[3], found.start(), found.end(), found.end(), found.end())
            opened[-1].children.append(element)
            if name in _CLOSED:
                at = _end_of_closed(markup, element)
            elif name not in _VOID:
                opened.append(element)
    if at < len(markup):
        opened[-1].children.append(Text(at, len(markup), markup[at:]))
    for element in opened:
        element.inner_end = element.end = len(markup)
    return root


def elements(node: Element) -> Iterator[Element]:
    """Yield every element below a node, in the order of the page."""
    waiting = [child for child in reversed(node.children) if isinstance(child, Element)]
    while waiting:
        element = waiting.pop()
        yield element
        waiting += [child for child in reversed(element.children) if isinstance(child, Element)]


def _close(opened: list[Element], name: str, start: int, end: int) -> None:
    if opened[-1].tag != name and not any(element.tag == name for element in opened[1:]):
        return
    while True:
        element = opened.pop()
        element.inner_end, element.end = start, start
        if element.tag == name:
            element.end = end
            return


def _end_of_closed(markup: str, element: Element) -> int:
    closing = markup.find(f"</{element.tag}", element.inner_start)
    if closing < 0:
        closing = len(markup)
    element.inner_end = closing
    element.end = markup.find(">", closing) + 1 or len(markup)
    return element.end
