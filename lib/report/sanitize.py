"""Make foreign markup harmless: an allow-list; everything is parsed and written anew, nothing is passed through.

Outputs of notebooks come from the runbook's own code, but they carry text from logs, models and tools. What is not
allowed by name is dropped; text is escaped; elements are balanced, so that no output can break out of its place. The
page's Content-Security-Policy is the second fence.
"""

import re
from collections.abc import Callable, Collection, Sequence
from html import escape
from html.parser import HTMLParser

from markupsafe import Markup

from lib.report.links import Links

_TEXT = "a abbr b cite code del dfn em i ins kbd mark q s samp small span strong sub sup time u var"
_FLOW = "aside blockquote dd details div dl dt figcaption figure h1 h2 h3 h4 h5 h6 li ol p pre section summary ul"
_TABLE = "caption colgroup table tbody td tfoot th thead tr"
ALLOWED = frozenset(f"{_TEXT} {_FLOW} {_TABLE}".split())
VOID = frozenset({"br", "col", "hr", "img", "wbr"})
# Their content is not text for a reader, or is parsed by other rules than HTML's.
_RAW = "script style noscript noembed noframes iframe title textarea xmp plaintext"
_EMBEDDED = "audio canvas head math object select svg template video"
DROPPED = frozenset(f"{_RAW} {_EMBEDDED}".split())
# An item that begins ends the open one before it: a browser would do so itself, and close our boxes on the way.
_ITEM_BOUNDS = {
    "li": frozenset({"ol", "table", "ul"}),
    "dd": frozenset({"dl", "table"}),
    "dt": frozenset({"dl", "table"}),
}
_PLAIN_ATTRIBUTES = frozenset({"aria-label", "colspan", "data-label", "rowspan", "scope", "title", "translate"})
_CLASS = re.compile(r"[A-Za-z][\w-]*")
_ID = re.compile(r"[a-z][a-z0-9-]*")
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]+")
Attributes = Sequence[tuple[str, str | None]]


def clean(
    markup: str,
    links: Links | None = None,
    *,
    keep_ids: bool = False,
    number_table: Callable[[], int] | None = None,
) -> Markup:
    """Return markup that holds only allowed elements and attributes, balanced.

    Parameters
    ----------
    markup : str
        Any text.
    links : Links, optional
        Where links may lead; without it only the open web.
    keep_ids : bool
        Keep `id` attributes: for the runbook's own prose, never for outputs.
    number_table : callable, optional
        Returns the next table number; called for every caption.
    """
    cleaner = _Cleaner(links or Links(), keep_ids, number_table)
    cleaner.feed(markup)
    cleaner.close()
    return Markup(cleaner.finish())  # noqa: S704  # written anew by the allow-list


class _Cleaner(HTMLParser):
    def __init__(self, links: Links, keep_ids: bool, number_table: Callable[[], int] | None) -> None:
        super().__init__(convert_charrefs=True)
        self._links, self._keep_ids, self._number_table = links, keep_ids, number_table
        self._out: list[str] = []
        self._open: list[tuple[str, str]] = []  # name in the source, markup that closes it here
        self._dropping: list[str] = []

    def finish(self) -> str:
        while self._open:
            self._out.append(self._open.pop()[1])
        return "".join(self._out)

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self._dropping or tag in DROPPED:
            self._drop(tag)
        elif tag in VOID:
            self._out.append(self._void(tag, dict(attrs)))
        elif tag in ALLOWED:
            self._start(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        # In HTML `<div/>` opens an element; only void elements close themselves.
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if self._dropping[-1] == tag:
                self._dropping.pop()
        elif any(name == tag for name, _ in self._open):
            self._close({tag})

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self._out.append(escape(data, quote=False))

    def unknown_decl(self, data: str) -> None:
        """Ignore marked sections; the parser would raise for none, but say it here."""

    def _close(self, tags: Collection[str]) -> None:
        """Close open elements up to and with the innermost one of these names."""
        while True:
            name, closing = self._open.pop()
            self._out.append(closing)
            if name in tags:
                return

    def _close_item(self, tag: str) -> None:
        group = {"li"} if tag == "li" else {"dd", "dt"}
        for name, _ in reversed(self._open):
            if name in _ITEM_BOUNDS[tag]:
                return
            if name in group:
                self._close(group)
                return

    def _drop(self, tag: str) -> None:
        # Only elements of the same name nest; anything else inside is content.
        if not self._dropping or self._dropping[-1] == tag:
            self._dropping.append(tag)

    def _void(self, tag: str, attributes: dict[str, str | None]) -> str:
        if tag != "img":
            return f"<{tag}>"
        source, text = attributes.get("src") or "", attributes.get("alt") or ""
        if not _IMAGE.fullmatch(source):
            return escape(text, quote=False)
        return f'<img src="{escape(source)}" alt="{escape(text)}">'

    def _start(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag in _ITEM_BOUNDS:
            self._close_item(tag)
        emitted, extra = self._linked(tag, attributes)
        number = self._number_table() if tag == "caption" and self._number_table else None
        place = "" if number is None else f' id="table-{number}"'
        opening, closing = f"<{emitted}{extra}{self._attributes(attributes)}{place}>", f"</{emitted}>"
        if tag == "table":
            opening, closing = f'<div class="scroll">{opening}', f"{closing}</div>"
        self._out.append(opening)
        self._open.append((tag, closing))
        if number is not None:
            self._out.append(f'<span class="number">Table {number}</span> ')

    def _linked(self, tag: str, attributes: dict[str, str | None]) -> tuple[str, str]:
        """Return the element to write and its `href`: a link that leads nowhere is a span, a known record a link."""
        target = None
        if tag == "a":
            target = self._links.resolve(attributes.get("href") or "")
        elif tag in ("span", "code") and not self._inside_link():
            target = self._links.record(attributes.get("data-record") or "")
        if target is None:
            return ("span" if tag == "a" else tag), ""
        outside = "" if target.startswith("#") else ' rel="noopener noreferrer"'
        return "a", f' href="{escape(target)}"{outside}'

    def _inside_link(self) -> bool:
        return any(closing == "</a>" for _, closing in self._open)

    def _attributes(self, attributes: dict[str, str | None]) -> str:
        kept = {key: value or "" for key, value in attributes.items() if key in _PLAIN_ATTRIBUTES}
        classes = [name for name in (attributes.get("class") or "").split() if _CLASS.fullmatch(name)]
        if classes:
            kept["class"] = " ".join(classes)
        if self._keep_ids and _ID.fullmatch(attributes.get("id") or ""):
            kept["id"] = attributes["id"] or ""
        return "".join(f' {key}="{escape(value)}"' for key, value in sorted(kept.items()))
