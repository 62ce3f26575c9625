"""The prose of the notebooks as HTML: numbered headings with stable anchors, tables, code in colour."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any

import mistune
from markupsafe import Markup
from pygments import highlight as pygments_highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from lib.report.links import Links
from lib.report.sanitize import clean

_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)
# A number and its unit stay on one line.
_UNIT = re.compile(r"(?<=\d) (?=(?:%|°C|[kKMGT]i?B|[kMG]bit/s|MT/s|[kM]?W|Hz|m?s|min|tok/s)(?!\w))")


@dataclass(frozen=True)
class Heading:
    """A section heading of a chapter."""

    anchor: str
    number: str
    title: str


class Prose:
    """Renders the Markdown cells of one chapter, in order: it counts the sections.

    Parameters
    ----------
    chapter : str
        Two digits; sections are numbered below it (5.1, 5.2, …) and anchored as ``chapter-05-look``.
    """

    def __init__(self, chapter: str, links: Links, number_table: Callable[[], int]) -> None:
        self.chapter, self.links, self.number_table = chapter, links, number_table
        self.headings: list[Heading] = []
        self._markdown = mistune.create_markdown(
            renderer=_Renderer(self), plugins=["table", "strikethrough", "footnotes", "url"]
        )

    def render(self, source: str) -> Markup:
        """Render one cell. The chapter's own title (`# …`) is left out: the page sets it."""
        return clean(str(self._markdown(source)), self.links, keep_ids=True, number_table=self.number_table)

    def section(self, title: str) -> Heading:
        """Return the next section, numbered, with an anchor that no other one has."""
        base = f"chapter-{self.chapter}-{_slug(title)}"
        taken = sum(heading.anchor == base or heading.anchor.startswith(f"{base}-") for heading in self.headings)
        number = f"{int(self.chapter)}.{len(self.headings) + 1}"
        heading = Heading(f"{base}-{taken + 1}" if taken else base, number, title)
        self.headings.append(heading)
        return heading


class _Renderer(mistune.HTMLRenderer):
    def __init__(self, prose: Prose) -> None:
        # Markup in prose is kept here and cleaned as a whole afterwards.
        super().__init__(escape=False)
        self._prose = prose

    def text(self, text: str) -> str:
        return super().text(_UNIT.sub("\u00a0", text))

    def heading(self, text: str, level: int, **_: Any) -> str:
        if level == 1:
            return ""
        if level > 2:
            return f"<h{level + 1}>{text}</h{level + 1}>" if level < 6 else f"<h6>{text}</h6>"
        heading = self._prose.section(Markup(text).striptags())  # noqa: S704  # tags are stripped, nothing is trusted
        return f'<h3 id="{heading.anchor}"><span class="number">{heading.number}</span> {text}</h3>'

    def block_code(self, code: str, info: str | None = None) -> str:
        return f"<pre>{highlight(code, (info or 'text').split()[0])}</pre>"


@lru_cache(maxsize=4096)  # whoever compares runs or renders a document again shows the same cells
def highlight(code: str, language: str = "python") -> Markup:
    """Return code with Pygments' classes; an unknown language stays plain."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return Markup(f"<code>{escape(code, quote=False)}</code>")  # noqa: S704  # escaped here
    coloured = pygments_highlight(code.strip("\n"), lexer, _FORMATTER).rstrip("\n")
    return Markup(f"<code>{coloured}</code>")  # noqa: S704  # Pygments escapes what it colours


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
