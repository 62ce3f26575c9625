"""What is translated as a whole: the running text of a block, its inline elements as numbered tags.

A unit's message reads `Press <1>Tab</1>, then run `make report`.`: code stands in backticks and stays as it is, every
other inline element is a numbered tag that the translation holds too, wherever it needs it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape

from lib.report.language.tree import Element, Node, Text

INLINE = frozenset(
    {"a", "abbr", "b", "cite", "code", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q", "s", "small", "span"}
    | {"strong", "sub", "sup", "time", "u", "var", "wbr"}
    | {"jif", "jalt"}  # conditions of templates, as templates.py writes them
)
# Not the document's words: programs' text, sources, quotations, and what scripts fill.
KEPT = frozenset({"pre", "script", "style", "textarea", "samp", "blockquote", "svg", "output"})
_TOLD = re.compile(r"[A-Za-z]|\d[.,]\d|\d{4}-\d\d|\d[ \u00a0\u202f]\d")
_SPACE = re.compile(r"\s+")


@dataclass
class Unit:
    """A run of nodes of one block, from `start` to `end` in the page, and its message.

    `elements` are the elements behind the numbered tags, the first one behind `<1>`; `codes` those in backticks.
    """

    start: int
    end: int
    nodes: Sequence[Node]
    parent: Element | None = None
    message: str = ""
    elements: list[Element] = field(default_factory=list)
    codes: list[Element] = field(default_factory=list)


def units(root: Element) -> list[Unit]:
    """Return the units of a page, in order; what is neither words nor a number is none."""
    found: list[Unit] = []
    _gather(root, found)
    return found


def unit(nodes: Sequence[Node], parent: Element | None = None) -> Unit:
    """Return the unit that these neighbours make; `parent` where they are all that it holds."""
    made = Unit(nodes[0].start, nodes[-1].end, nodes, parent)
    made.message = _SPACE.sub(" ", "".join(_said(node, made) for node in nodes)).strip()
    return made


def is_cut(node: Node) -> bool:
    """Tell whether a node stands for itself: a block, a break, a piece with a class of its own, or one that holds such.

    A span or link with a class is the page's furniture (a number, a badge, a mark of origin), not part of a sentence.
    """
    if isinstance(node, Text):
        return False
    if node.tag not in INLINE:
        return True
    # Most elements have no attributes at all, and reading them is slow.
    if node.written and ((node.tag in ("a", "span") and node.classes) or _stays(node)):
        return True
    return node.tag != "code" and any(is_cut(child) for child in node.children)


def is_kept(element: Element) -> bool:
    """Tell whether an element's content stays as it is in every language."""
    if element.tag in KEPT:
        return True
    foreign = "lang" in element.written and element.tag != "html" and "lang" in element.attributes
    return foreign or _stays(element)


def _stays(element: Element) -> bool:
    return "translate" in element.written and element.attributes.get("translate") == "no"


def _gather(parent: Element, found: list[Unit]) -> None:
    run: list[Node] = []
    for child in parent.children:
        if not is_cut(child):
            run.append(child)
            continue
        if run:
            _add(run, parent, found)
            run = []
        if isinstance(child, Element) and child.children and not is_kept(child) and not _is_number(child):
            _gather(child, found)
    if run:
        _add(run, parent, found)


def _is_number(element: Element) -> bool:
    """Tell whether an element is the number of a section (4.1) or the letter of an appendix, which stay."""
    if "number" not in element.written or "number" not in element.classes:
        return False
    content = "".join(child.raw for child in element.children if isinstance(child, Text))
    return not re.search(r"[a-z]", content)


def _add(run: Sequence[Node], parent: Element, found: list[Unit]) -> None:
    nodes = trimmed(run)
    if not nodes:
        return
    only = nodes[0] if len(nodes) == 1 else None
    if isinstance(only, Element) and only.tag != "jif":
        if only.tag != "code" and not is_kept(only):
            _add(only.children, only, found)
        return
    made = unit(nodes, parent if len(run) == len(parent.children) else None)
    if isinstance(only, Element) or _TOLD.search(made.message):
        found.append(made)


def trimmed(run: Sequence[Node]) -> Sequence[Node]:
    """Return neighbours without blank text at their ends."""
    first, last = 0, len(run)
    while first < last and _is_blank(run[first]):
        first += 1
    while last > first and _is_blank(run[last - 1]):
        last -= 1
    return run[first:last]


def _is_blank(node: Node) -> bool:
    return isinstance(node, Text) and node.raw.isspace()


def _said(node: Node, of: Unit) -> str:
    if isinstance(node, Text):
        return unescape(node.raw)
    content = "".join(unescape(child.raw) if isinstance(child, Text) else "\0" for child in node.children)
    if node.tag == "code" and "\0" not in content and "`" not in content:
        of.codes.append(node)
        return f"`{content}`"
    of.elements.append(node)
    number = len(of.elements)
    return f"<{number}>{''.join(_said(child, of) for child in node.children)}</{number}>"
