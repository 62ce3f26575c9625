"""Every message of the document, from all of its sources."""

from collections.abc import Iterator

from lib.report.language.message import Message, has_words, normal
from lib.report.language.sources import code, composed, conditions, data, notebooks, scripts, templates, words

SOURCES = (templates, scripts, data, conditions, words, composed, code, notebooks)


def messages() -> Iterator[Message]:
    """Yield every message once, in its normal form, with the first place where it stands."""
    seen: set[str] = set()
    for source in SOURCES:
        for text, where in source.messages():
            message = normal(text)
            if message not in seen and has_words(message):
                seen.add(message)
                yield Message(message, where)
