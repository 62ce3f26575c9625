"""The page's templates: their sentences in every form that conditions give them, and the labels of their elements."""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from lib.core import paths
from lib.report.language.message import Message, sentences
from lib.report.language.tree import Element, Node, Text, elements, parse
from lib.report.language.units import units

FILES = (
    "document.html",
    "front.html",
    "macros.html",
    "appendices.html",
    "beside.html",
    "briefing.html",
    "claims.html",
    "claims_boxes.html",
    "review.html",
)
LABELS = ("aria-label", "title", "data-label", "placeholder")
MOST_FORMS = 12
_TOKEN = re.compile(r"\{#.*?#\}|\{%-?\s*(.*?)\s*-?%\}|\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_CHOICE = re.compile(r"^'((?:[^'])*)' if .* else '((?:[^'])*)'$")
_CONSTANT = re.compile(r"(?:'[^']*': |', |else |or |^|\btables\.count, )'([^'%<#]*[a-z][^'%<#]*)'(?=[,)}\]]| if|$)")
# Macros that write a piece of their own: a badge, a mark of origin, a list of notes.
_PIECES = re.compile(
    r"^(badge|origin|record_link|notes_at|note_of|diff|excerpt|block|lines|measured|box|contents|group_table)\("
)
_PLACE = "\ue000"


def messages(folder: Path = paths.REPORT_TEMPLATE) -> Iterator[Message]:
    """Yield the messages of the page's templates."""
    for name in FILES:
        for text in of((folder / name).read_text(encoding="utf-8")):
            yield Message(text, f"runbook/report/{name}")


def of(template: str) -> Iterator[str]:
    """Yield the messages of one template."""
    root = parse(_as_page(template))
    for sentence in units(root):
        forms = _forms(sentence.nodes)
        for made in (made for form in forms for made in units(parse(form))):
            # Sentences that stand in several forms are translated once.
            yield from map(_numbered, sentences(made.message) if len(forms) > 1 else [made.message])
    for element in (each for each in elements(root) if each.attributes.get("translate") != "no"):
        yield from (_numbered(element.attributes[name]) for name in LABELS if element.attributes.get(name))
    for found in _TOKEN.finditer(template):
        if not _inside_tag(template[: found.start()]):
            yield from (constant[1] for constant in _CONSTANT.finditer(found[1] or found[2] or ""))


def _as_page(template: str) -> str:
    """Return the template as markup: conditions as elements `jif` and `jalt`, loops as blocks, values as marks."""
    out: list[str] = []
    at = 0
    for found in _TOKEN.finditer(template):
        out.append(template[at : found.start()])
        at = found.end()
        inside = _inside_tag("".join(out))
        if found[1] is not None:
            out.append("" if inside else _statement(found[1].split()[0]))
        elif found[2] is not None:
            out.append(_PLACE if inside else _value(found[2]))
    return "".join([*out, template[at:]])


def _inside_tag(text: str) -> bool:
    return text.rfind("<") > text.rfind(">")


def _statement(word: str) -> str:
    marks = {
        "if": "<jif><jalt>",
        "elif": "</jalt><jalt>",
        "endif": "</jalt></jif>",
        "for": "<jfor>",
        "endfor": "</jfor>",
        "macro": "<jmacro>",
        "endmacro": "</jmacro>",
    }
    # `else` belongs to a condition or to a loop; both go on with another form.
    return {**marks, "else": '</jalt><jalt last="">'}.get(word, "")


def _value(expression: str) -> str:
    choice = _CHOICE.match(expression)
    if choice:
        return f'<jif><jalt>{choice[1]}</jalt><jalt last="">{choice[2]}</jalt></jif>'
    return "<jcut></jcut>" if _PIECES.match(expression) else _PLACE


def _forms(nodes: Sequence[Node]) -> list[str]:
    """Return the markup of these nodes for every way that their conditions can turn out."""
    pieces = [_ways(node) for node in nodes]
    if _count(pieces) > MOST_FORMS:
        return [form for ways in pieces for form in ways]
    return ["".join(parts) for parts in product(*pieces)]


def _ways(node: Node) -> list[str]:
    if isinstance(node, Text):
        return [node.raw]
    if node.tag == "jif":
        alternatives = [child for child in node.children if isinstance(child, Element)]
        ways = [form for alternative in alternatives for form in _forms(alternative.children)]
        return ways if "last" in alternatives[-1].attributes else [*ways, ""]
    return [f"<{node.tag}>{form}</{node.tag}>" for form in _forms(node.children)] or [f"<{node.tag}></{node.tag}>"]


def _count(pieces: Sequence[Sequence[str]]) -> int:
    total = 1
    for piece in pieces:
        total *= len(piece)
    return total


def _numbered(text: str) -> str:
    numbers = iter(range(text.count(_PLACE)))
    return re.sub(_PLACE, lambda _: f"{{{next(numbers)}}}", text)
