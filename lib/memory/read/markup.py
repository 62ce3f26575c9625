"""Web pages and mail: their text, by headings."""

import email
import email.policy
from email.message import EmailMessage, Message
from html.parser import HTMLParser

from lib.memory.read import plain
from lib.memory.read.document import Builder, Document, Limits, Refused

SILENT = {"script", "style", "noscript", "template", "svg", "math", "head"}
BREAKS = {
    *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
    *("form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "td", "th", "thead"),
    *("tr", "ul", "body", "html", "title"),
}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
DEEPEST_PARTS = 10


class _Page(HTMLParser):
    """Takes text out of a page. `title` lies in the silent head and is heard."""

    def __init__(self, builder: Builder) -> None:
        super().__init__(convert_charrefs=True)
        self.builder = builder
        self.title = ""
        self._silent: list[str] = []
        self._heading = 0
        self._pre = 0
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "body":
            self._silent = []  # a page whose head was never closed
        if tag in SILENT:
            self._silent.append(tag)
        elif tag in BREAKS or tag in HEADINGS:
            self.flush()
        self._heading = HEADINGS.get(tag, self._heading)
        self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT and tag in self._silent:
            del self._silent[self._silent.index(tag) :]
            self._text = []
            return
        if tag == "title":
            self.title = self.title or " ".join("".join(self._text).split())
            self._text = []
        if tag in HEADINGS:
            self.builder.heading(HEADINGS[tag], "".join(self._text))
            self._text, self._heading = [], 0
        elif tag in BREAKS:
            self.flush()
        self._pre -= tag == "pre" and self._pre > 0

    def handle_data(self, data: str) -> None:
        if not self._silent or (self._silent == ["head"] and self.lasttag == "title"):
            self._text.append(data)

    def flush(self) -> None:
        text = "".join(self._text)
        self._text = []
        if not self._silent:
            self.builder.add(text if self._pre else " ".join(text.split()))


def page(data: bytes, name: str, limits: Limits) -> Document:
    """Read HTML."""
    builder = Builder(limits)
    title = _feed(plain.decode(data).text, builder)
    return builder.document(title or builder.title or name)


def mail(data: bytes, name: str, limits: Limits) -> Document:
    """Read a mail: subject, people, date, and its text; attachments are named, not opened."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
    except (RecursionError, ValueError) as error:
        raise Refused("a mail that cannot be read") from error
    if _depth(message) > DEEPEST_PARTS:
        raise Refused(f"mail parts nested deeper than {DEEPEST_PARTS}")
    builder = Builder(limits)
    subject = _field(message, "subject")
    builder.heading(1, subject or name)
    people = [f"{key.capitalize()}: {_field(message, key)}" for key in ("from", "to", "date") if _field(message, key)]
    builder.add("\n".join(people))
    for part in message.walk():
        if part.is_multipart():
            continue
        if part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text":
            builder.add(f"Attachment: {part.get_filename() or part.get_content_type()}")
    body = message.get_body(preferencelist=("plain", "html"))
    if isinstance(body, EmailMessage):
        text = _content(body)
        if body.get_content_subtype() == "html":
            _feed(text, builder)
        else:
            for block in plain.paragraphs(text):
                builder.add(text[block.start : block.end])
    return builder.document(subject or name)


def _feed(text: str, builder: Builder) -> str:
    parser = _Page(builder)
    parser.feed(text)
    parser.close()
    parser.flush()
    return parser.title


def _content(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return plain.decode(data).text


def _field(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError):  # the header parser of the library trips over some
        return ""


def _depth(message: EmailMessage) -> int:
    deepest = 0
    open_parts: list[tuple[Message, int]] = [(message, 0)]
    while open_parts:
        part, depth = open_parts.pop()
        deepest = max(deepest, depth)
        if part.is_multipart() and depth <= DEEPEST_PARTS:
            open_parts += [(below, depth + 1) for below in part.get_payload() if isinstance(below, Message)]
    return deepest
