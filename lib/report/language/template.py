"""Messages with places as patterns: which text was made from which message, and its translation filled in again."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lib.report.language import russian
from lib.report.language.exchange import AS_IT_IS, CHOICE
from lib.report.language.message import CODE, PLACE, TAG, closed

_PART = re.compile(r"\{(\d+)\}|<(/?)(\d+)>")
# What a number after these words is: a version, not a quantity.
_VERSIONED = re.compile(r"(?:capability|CUDA|torch|PyTorch|vLLM|Python|SM|драйвер\w*|верси\w+|ядр\w+) $")
# A number, tagged perhaps, or a word for one (`no`, `unknown`).
_COUNT = r"(?:<\d+>)?(?:\d+(?:[.,]\d+|[ \u00a0\u202f]\d{3})*|[A-Za-z]+)(?:</\d+>)?"
_FILLED = re.compile(rf"{CHOICE.pattern}|{PLACE.pattern}|{TAG.pattern}|{AS_IT_IS.pattern}")
# What follows a label: it may be more than one thing.
_OPEN = re.compile(r"(?:[:;]|</\d+>) \{(\d+)\}")
# A program's own words, to the end.
_RAISED = re.compile(r"\b\w+(?:Error|Exception): .*", re.DOTALL)
_END = r"[a-z`)]\.(?:</\d+>)* \S"
_STOP = re.compile(_END)
_JOINT = re.compile(rf"[;:] |{_END}")
_COMMA = re.compile(rf"[;:,] |{_END}")
# Letters outside places: so short a message fits too much.
_SHORT = 8
_BRACKETS = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}


_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Template:
    """A message with places, and its translation."""

    text: str
    translation: str
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(_PART.sub("", self.text)))

    @cached_property
    def key(self) -> str:
        """Its longest piece without a place: a text that lacks it was not made from this message."""
        return max(re.split(r"\{\d+\}|</?\d+>", self.text), key=len)

    @cached_property
    def whole_words(self) -> set[str]:
        """The words that stand whole outside its places: a text that lacks one was not made from this message."""
        alone = _PART.sub(lambda found: "\0" if found[1] else " ", self.text)
        return {found[0] for found in _WORD.finditer(alone) if "\0" not in _around(alone, found)}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches every text that can be made from it."""
        parts: list[str] = []
        at = 0
        for found in _PART.finditer(self.text):
            parts.append(re.escape(self.text[at : found.start()]))
            parts.append(self._part(found))
            at = found.end()
        return re.compile("".join([*parts, re.escape(self.text[at:])]), re.DOTALL)

    @cached_property
    def _counts(self) -> set[str]:
        """The places that choose a noun's form: only a number stands there."""
        return {found[1] for found in CHOICE.finditer(self.translation)}

    @cached_property
    def _coded(self) -> set[str]:
        """The places inside code."""
        return {place for code in CODE.findall(self.text) for place in PLACE.findall(code)}

    @cached_property
    def _open(self) -> set[str]:
        """The places that may hold more than one thing: what follows a colon."""
        return set(_OPEN.findall(self.text))

    @cached_property
    def _loose(self) -> bool:
        """Whether it says so little that it fits too much; its tags would say more."""
        return self.length < _SHORT and "<" not in self.text

    @cached_property
    def _versions(self) -> set[str]:
        """The places that hold a version, which stays as it is too."""
        places = PLACE.finditer(self.translation)
        return {found[1] for found in places if _VERSIONED.search(self.translation[: found.start()])}

    @cached_property
    def _kept(self) -> set[str]:
        """The places whose content stays as it is."""
        return {found[1] for found in AS_IT_IS.finditer(self.translation)}

    def match(self, text: str) -> re.Match[str] | None:
        """Return how a text was made from this message, or None."""
        return self.pattern.fullmatch(text) if self.key in text else None

    def fill(self, found: re.Match[str], said: Callable[[str], str | None], one_each: bool = False) -> str | None:
        """Return the translation with its places filled, or None where one of them cannot be said.

        Parameters
        ----------
        said : callable
            Returns the translation of a place's content, None where there is none.
        one_each : bool
            Take no list into one place.
        """
        raw = {name[1:]: value for name, value in found.groupdict().items() if name.startswith("p")}
        if not all(closed(value) for value in raw.values()):
            return None  # half of an element
        if one_each and any(self._crowded(name, value) for name, value in raw.items()):
            return None
        contents = {name: self._content(name, value, said) for name, value in raw.items()}
        if any(content is None for content in contents.values()):
            return None

        def part(here: re.Match[str]) -> str:
            if here[1]:
                return russian.plural(raw[here[1]], here[2], here[3], here[4])
            if here[5]:
                return raw[here[5]] if here[5] in self._versions else contents[here[5]] or ""
            if here[8]:
                return raw[here[8]]
            return f"<{here[6]}{found[f't{here[7]}']}>"

        return _FILLED.sub(part, self.translation)

    def _content(self, place: str, value: str, said: Callable[[str], str | None]) -> str | None:
        if place in self._coded:
            return None if "`" in value else value
        kept = place in self._kept
        if place not in self._open and self._strange(place, value):
            return None  # a neighbour was taken in
        if kept:
            return value if _paired(value) else None
        return said(value)

    def _crowded(self, place: str, value: str) -> bool:
        """Tell whether a place holds a list, where the message itself has none."""
        kept = place in self._kept or place in self._versions
        if place in self._open and not kept:
            return False
        value = _RAISED.sub("", CODE.sub("`", value))
        joints = ("; ", ": ", ", ") if kept else ("; ", ": ")
        return value.endswith(",") or any(joint in value and joint not in self.text for joint in joints)

    def _strange(self, place: str, value: str) -> bool:
        """Tell whether a place holds more than one thing, where the message itself is about one."""
        value = _RAISED.sub("", CODE.sub("`", value))
        if not _paired(re.sub(r"[^()“”«»]", "", value)):
            return True
        if place in self._kept:
            return bool(_JOINT.search(value))
        if self._loose:
            return bool(_COMMA.search(value))
        return ". " not in self.text and bool(_STOP.search(value))

    def _part(self, found: re.Match[str]) -> str:
        if found[1]:
            name = f"p{found[1]}"
            if f"(?P<{name}>" in "".join(self._before(found)):
                return f"(?P={name})"
            glued = self.text[: found.start()].endswith("}") or self.text[found.end() :].startswith("{")
            if name[1:] in self._counts:
                return f"(?P<{name}>{_COUNT})"
            return f"(?P<{name}>.{'*' if glued else '+'}?)"
        return f"</(?P=t{found[3]})>" if found[2] else f"<(?P<t{found[3]}>\\d+)>"

    def _before(self, found: re.Match[str]) -> Iterator[str]:
        for earlier in _PART.finditer(self.text[: found.start()]):
            if earlier[1] == found[1]:
                yield f"(?P<p{earlier[1]}>"


class Index:
    """Templates by their rarest word, so that a text is compared with the few that it can come from.

    Parameters
    ----------
    templates : sequence of Template
        In the order in which they are to be tried.
    """

    def __init__(self, templates: Sequence[Template]) -> None:
        self._templates = templates
        common = Counter(word for template in templates for word in template.whole_words)
        self._at: dict[str, list[int]] = {}
        self._wordless: list[int] = []
        for place, template in enumerate(templates):
            rarest = min(template.whole_words, key=lambda word: (common[word], word), default=None)
            (self._wordless if rarest is None else self._at.setdefault(rarest, [])).append(place)

    def candidates(self, text: str) -> Iterator[Template]:
        """Yield the templates that a text may come from, in their order."""
        places = set(self._wordless)
        for word in set(_WORD.findall(text)):
            places.update(self._at.get(word, ()))
        yield from (self._templates[place] for place in sorted(places))


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(found.start() - 1, 0) : found.start()] + text[found.end() : found.end() + 1]


def _paired(text: str) -> bool:
    """Tell whether every bracket and quotation of a text is closed in it, in order."""
    opened: list[str] = []
    for letter in text:
        if letter in _BRACKETS.values():
            opened.append(letter)
        elif letter in _BRACKETS and (not opened or opened.pop() != _BRACKETS[letter]):
            return False
    return not opened
