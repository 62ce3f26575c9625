"""Say in another language what the document says in English."""

import re
from collections.abc import Callable, Iterator, Mapping

from lib.report.language import russian
from lib.report.language.english import is_name, is_raised, is_sentence, is_systems, words
from lib.report.language.message import CODE, PLACE, TAG, closed, has_words, normal, sentences
from lib.report.language.template import Index, Template

_JOINTS = ("; ", ": ", " → ", " or ", ", and ", ", ", " (", " · ", " – ", " and ", " + ", " / ", ". ", " | ")
_RUSSIAN_JOINTS = {" and ": " и ", ", and ": " и ", " or ": " или "}
_NUMBERED = re.compile(r"(\d[\d.,]*(?: (?:[kMGT]i?B|ms|s|W))?)( )([A-Za-z].*)", re.DOTALL)
_ENDING = re.compile(r"(.*[A-Za-z])( )(\d[\d., ]*)", re.DOTALL)
# What begins with such a word may be a message of its own.
_LINKED = re.compile(r" (?=(?:at|on|in|by|with|for|until|over|as|to) )")
_WRAPPED = re.compile(r"<(\d+)>(.*)</\1>", re.DOTALL)
_DEEPEST = 20
_TITLED = re.compile("[:,] ")
# Letters; what is shorter, with a comma, begins many a sentence.
_TITLE = 12


class Speech:
    """A language: what is in its catalogue, and how it writes numbers.

    Parameters
    ----------
    translations : mapping of str to str
        Message to translation; messages with places are matched as patterns.
    before : mapping of str to str, optional
        Texts that were said before by the same translations, None for those that could not be.
    """

    def __init__(self, translations: Mapping[str, str], before: Mapping[str, str | None] | None = None) -> None:
        self._all = translations
        self._exact = {text: said for text, said in translations.items() if not PLACE.search(text)}
        varying = {text: said for text, said in translations.items() if PLACE.search(text) or TAG.search(text)}
        templates = [Template(text, said) for text, said in varying.items()]
        self._templates = Index(sorted(templates, key=lambda template: -template.length))
        self._known: dict[tuple[str, bool], str | None] = {}
        self._spoken = dict(before or {})
        self._asked: set[str] = set()
        self._depth = 0
        self.kept: set[str] = set()
        self.missing: set[str] = set()

    @property
    def spoken(self) -> dict[str, str | None]:
        """The texts that were asked for, and how they were said."""
        return {text: self._spoken[text] for text in sorted(self._asked)}

    def translation(self, message: str) -> str:
        """Return a message's translation with its places still open; empty where it has none."""
        return self._all.get(message, "")

    def say(self, text: str, quietly: bool = False) -> str | None:
        """Return what a text is in this language, None where it cannot be said; that is kept in `missing`.

        Parameters
        ----------
        text : str
            A message as units are named: tags numbered, code in backticks, one blank between words.
        quietly : bool
            Keep nothing in `missing`: its parts will be said one by one.
        """
        if text not in self._spoken:
            said = self._said(text)
            self._spoken[text] = None if said is None else typeset(said)
        self._asked.add(text)
        spoken = self._spoken[text]
        if spoken is None and not quietly:
            self.missing.add(text)
        elif spoken == text and not quietly and words(text):
            self.kept.add(text)
        return spoken

    def _said(self, text: str, part: bool = False) -> str | None:
        """Return what a text is; one that is a part of another must be known, where a whole may be a name."""
        if (text, part) not in self._known:
            if self._depth >= _DEEPEST:
                return None
            self._depth += 1
            try:
                self._known[text, part] = self._find(text, part)
            finally:
                self._depth -= 1
        return self._known[text, part]

    def _find(self, text: str, part: bool) -> str | None:
        core = _core(text)
        if not core or is_name(text):
            return text
        # With the comma of its neighbour a text would be taken for a looser message.
        whole = self._in_catalogue(text) if text == text.strip(" ,;:") else self._exactly(text)
        if whole is not None:
            return whole
        before, _, after = text.partition(core)
        said = self._of_core(core, part)
        return None if said is None else f"{before}{said}{after}"

    def _of_core(self, core: str, part: bool) -> str | None:
        if is_raised(core):
            return core
        if core in russian.UNITS:
            return russian.UNITS[core]
        if not has_words(core):
            return russian.data(russian.dates(core))
        said = self._in_catalogue(core)
        if said is not None:
            return said
        wrapped = _WRAPPED.fullmatch(core)
        if wrapped and closed(wrapped[2]):
            inner = self._said(wrapped[2], part)
            return None if inner is None else f"<{wrapped[1]}>{inner}</{wrapped[1]}>"
        if core.startswith("(") and core.endswith(")") and closed(core[1:-1]):
            inner = self._said(core[1:-1], part)
            return None if inner is None else f"({inner})"
        core = russian.dates(core)
        said = self._by_parts(core)
        if said is None:
            said = self._in_templates(core, one_each=False)
        if said is not None:
            return said
        if is_systems(core):
            return core
        if is_sentence(core) or (part and any(word.islower() for word in words(core))):
            return None
        return russian.data(core)

    def _exactly(self, text: str) -> str | None:
        for form, restore in _variants(text):
            if form in self._exact:
                return restore(self._exact[form])
        return None

    def _in_catalogue(self, text: str) -> str | None:
        exact = self._exactly(text)
        if exact is not None:
            return exact
        return self._in_templates(text, one_each=True)

    def _in_templates(self, text: str, one_each: bool) -> str | None:
        # A full stop belongs to the whole, not to what stands last in it.
        for form, restore in sorted(_variants(text), key=lambda variant: variant[0].endswith(".")):
            said = self._by_template(form, one_each)
            if said is not None:
                return restore(said)
        return None

    def _by_template(self, text: str, one_each: bool) -> str | None:
        begun = self._begun_exactly(text)
        for template in self._templates.candidates(text):
            # What says more of the text without its places goes first.
            ours = template.length > len(begun) or template.text.startswith(begun.rstrip())
            if begun and not ours and (said := self._continued(text, begun)) is not None:
                return said
            found = template.match(text)
            if found:
                said = template.fill(found, self._said, one_each)
                if said is not None:
                    return said
        return None

    def _begun_exactly(self, text: str) -> str:
        """Return the longest message that a text begins with, up to a colon or a comma; empty where there is none."""
        ends = [found for found in _TITLED.finditer(text) if found[0] == ": " or found.start() >= _TITLE]
        return next((text[: end.end()] for end in reversed(ends) if self._exactly(text[: end.start()]) is not None), "")

    def _continued(self, text: str, begun: str) -> str | None:
        said = self._said(text[len(begun) :], part=True)
        return None if said is None else f"{self._exactly(begun[:-2])}{begun[-2:]}{said}"

    def _by_parts(self, text: str) -> str | None:
        """Say a text piece by piece: its sentences, or what stands on both sides of a joint."""
        parts = sentences(text)
        if len(parts) > 1:
            said = [self._said(part, part=True) for part in parts]
            if None not in said:
                return " ".join(_begun(part) if at else part for at, part in enumerate(said) if part is not None)
        for left, joint, right in _split(text):
            own = CODE.sub("", left)
            if not closed(left) or own.count("(") != own.count(")"):
                continue
            first = self._said(left, part=joint != ": ")
            rest = self._said(right, part=True) if first is not None else None
            if first is not None and rest is not None:
                return f"{first}{_RUSSIAN_JOINTS.get(joint, joint)}{rest}"
        return None


def typeset(text: str) -> str:
    """Return a text with its no-break spaces; code is left alone."""
    parts = re.split(f"({CODE.pattern})", text)
    return "".join(part if index % 2 else russian.typeset(part) for index, part in enumerate(parts))


def _core(text: str) -> str:
    """Return a text without the punctuation that joins it to its neighbours."""
    core = normal(text.strip(" ,;:")) if not PLACE.search(text) else text
    return core if core in text else text.strip()


def _variants(core: str) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yield the forms under which a text may be known: without its full stop, or with another first letter."""
    yield core, _same
    lowered, raised = core[:1].lower() + core[1:], core[:1].upper() + core[1:]
    if lowered != core:
        yield lowered, _capital
    if raised != core:
        yield raised, _small
    if " – " in core:
        yield core.replace(" – ", " - "), lambda said: said.replace(" - ", " – ")
    if core.endswith("."):
        yield core[:-1], _stopped
        if lowered != core:
            yield lowered[:-1], lambda said: _capital(_stopped(said))
    else:
        yield f"{core}.", lambda said: said.removesuffix(".")


def _begun(said: str) -> str:
    """Return a sentence that follows another: a message that begins with a place may begin with a small letter."""
    return said[:1].upper() + said[1:] if re.match("[а-яё]", said) else said


def _same(said: str) -> str:
    return said


def _capital(said: str) -> str:
    first = said.split(" ", 1)[0]
    return said if "_" in first else said[:1].upper() + said[1:]


def _small(said: str) -> str:
    return said if said[1:2].isupper() else said[:1].lower() + said[1:]


def _stopped(said: str) -> str:
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _split(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the ways in which a text falls into two: at a joint, before a linking word, beside a number."""
    for joint in _JOINTS:
        at = text.find(joint)
        while at > 0:
            yield text[:at], joint, text[at + len(joint) :]
            at = text.find(joint, at + 1)
    for found in _LINKED.finditer(text):
        yield text[: found.start()], " ", text[found.end() :]
    for numbered in (_NUMBERED.fullmatch(text), _ENDING.fullmatch(text)):
        if numbered:
            yield numbered[1], numbered[2], numbered[3]
