"""A message: English as it stands in the sources, with numbered places for what varies."""

import re
from typing import NamedTuple

PLACE = re.compile(r"\{(\d+)\}")
TAG = re.compile(r"<(/?)(\d+)>")
CODE = re.compile(r"`[^`]*`")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_EDGE = re.compile(r"^[\s,;:.…)(\]|/+=–—-]+|[\s,;:(\[|/–—-]+$")
_SENTENCE = re.compile(r"(?<=[.!?])((?:</\d+>)*) (?=(?:<\d+>)*[A-Z{`])")
_SPACE = re.compile(r"\s+")


class Message(NamedTuple):
    """An English text of the sources, and where it stands.

    Parameters
    ----------
    text : str
        With `{0}`, `{1}` … for what varies, `<1>…</1>` for inline elements, code in backticks.
    where : str
        File or chapter; the first place where it occurs.
    """

    text: str
    where: str


def normal(text: str) -> str:
    """Return a text as catalogues name it: one blank between words, no joining punctuation at its edges.

    Places and tags are counted from the left, each new one with the next number.
    """
    text = _SPACE.sub(" ", text).strip()
    previous = ""
    while text != previous:
        previous, text = text, _paired(_EDGE.sub("", text), text)
    places: dict[str, int] = {}
    tags: dict[str, int] = {}
    text = PLACE.sub(lambda found: f"{{{places.setdefault(found[1], len(places))}}}", text)
    return TAG.sub(lambda found: f"<{found[1]}{tags.setdefault(found[2], len(tags) + 1)}>", text)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; one whose tags reach into the next is not parted from it."""
    parts: list[str] = []
    at = 0
    for found in _SENTENCE.finditer(text):
        piece = text[at : found.end(1)]
        if closed(piece):
            parts.append(piece)
            at = found.end()
    return [*parts, text[at:]]


def has_words(text: str) -> bool:
    """Tell whether anything in a text could be translated: two letters in a row outside code, tags and places."""
    return bool(_LETTERS.search(bare(text)))


def bare(text: str) -> str:
    """Return a message's own words: without code, tags and places."""
    return PLACE.sub(" ", TAG.sub("", CODE.sub(" ", text)))


def closed(piece: str) -> bool:
    """Tell whether every tag of a piece both begins and ends in it."""
    tags = [(found[1], found[2]) for found in TAG.finditer(piece)]
    return sorted(n for closing, n in tags if closing) == sorted(n for closing, n in tags if not closing)


def _paired(text: str, fallback: str) -> str:
    """Return a text unless it lost one bracket of a pair."""
    return text if text.count("(") == text.count(")") and text.count("[") == text.count("]") else fallback
