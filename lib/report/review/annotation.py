"""An annotation as the page exports it: the W3C Web Annotation model, with what it corrects under `runbook:` keys."""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from lib.core import paths
from lib.core.errors import RunbookError

CONTEXT = "http://www.w3.org/ns/anno.jsonld"
Motivation = Literal["commenting", "editing", "assessing"]
Severity = Literal["note", "minor", "major", "blocking"]
Verdict = Literal["approved", "rejected", ""]
MOST_BYTES = 4 << 20
MOST_ITEMS = 2000
LONGEST_WORDS = 20_000
LONGEST_QUOTE = 2_000
LONGEST_SOURCE = 200_000
# Characters that turn the direction of what follows: shown by their number, so that text reads as it is stored.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return a text in which nothing acts: control characters are dropped, direction marks become their numbers."""
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    return _TURNING.sub(lambda found: f"[U+{ord(found[0]):04X}]", kept)


Words = Annotated[str, AfterValidator(visible)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Body(_Part):
    """What was said: a comment, or the text that shall stand there instead."""

    type: Literal["TextualBody"] = "TextualBody"
    purpose: Literal["commenting", "editing"] = "commenting"
    value: str = Field(max_length=LONGEST_SOURCE)
    language: str = Field(default="", pattern=r"^[a-zA-Z-]{0,16}$")


class Quote(_Part):
    """The words that were marked, with what stands before and after them."""

    type: Literal["TextQuoteSelector"] = "TextQuoteSelector"
    exact: str = Field(max_length=LONGEST_QUOTE)
    prefix: str = Field(default="", max_length=200)
    suffix: str = Field(default="", max_length=200)


class Fragment(_Part):
    """The element of the document that holds them."""

    type: Literal["FragmentSelector"] = "FragmentSelector"
    value: str = Field(pattern=r"^[A-Za-z][\w.:-]{0,200}$")


class Target(_Part):
    """Where: the edition of the document, the language that it was read in, the element, the words."""

    source: str = Field(pattern=r"^urn:runbook:edition:[0-9a-f]{64}$")
    language: str = Field(default="", pattern=r"^[a-zA-Z-]{0,16}$")
    selector: list[Annotated[Quote | Fragment, Field(discriminator="type")]]

    @property
    def edition(self) -> str:
        """Digest of the edition that was read."""
        return self.source.rsplit(":", 1)[1]

    @property
    def quote(self) -> Quote | None:
        """The marked words, if any were."""
        return next((part for part in self.selector if isinstance(part, Quote)), None)

    @property
    def fragment(self) -> str:
        """Id of the element, or empty."""
        return next((part.value for part in self.selector if isinstance(part, Fragment)), "")


class Source(_Part):
    """The text that a correction replaces: a cell of a notebook, or a file that the runbook deploys.

    Parameters
    ----------
    path : str
        Below the project's folder.
    cell : str
        Id of the notebook's cell; empty for other files.
    sha256 : str
        Of the text that the reviewer saw, in UTF-8.
    """

    path: str = Field(pattern=r"^(notebooks|runbook)/[\w./-]+$", max_length=200)
    cell: str = Field(default="", pattern=r"^[\w-]{0,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        if ".." in value.split("/"):
            raise ValueError("a path that leaves the project")
        return value


class Seal(_Part):
    """A signature over an edition's digest: ECDSA on P-256 with SHA-256, as browsers make it.

    `key` is the public key (SubjectPublicKeyInfo, base64), `signature` its r and s (base64, 64 bytes).
    """

    key: str = Field(pattern=r"^[A-Za-z0-9+/=]{80,200}$")
    signature: str = Field(pattern=r"^[A-Za-z0-9+/=]{80,100}$")


class Person(_Part):
    """Who said it."""

    type: Literal["Person"] = "Person"
    name: Words = Field(min_length=1, max_length=120)


class Annotation(_Part):
    """One thing that the reviewer said about one place."""

    id: str = Field(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    type: Literal["Annotation"] = "Annotation"
    motivation: Motivation
    created: datetime
    creator: Person
    body: list[Body] = Field(min_length=1, max_length=2)
    target: Target
    severity: Severity = Field(default="note", alias="runbook:severity")
    verdict: Verdict = Field(default="", alias="runbook:verdict")
    corrects: Source | None = Field(default=None, alias="runbook:source")
    seal: Seal | None = Field(default=None, alias="runbook:seal")

    @field_validator("body")
    @classmethod
    def _one_of_each(cls, value: list[Body]) -> list[Body]:
        if len({body.purpose for body in value}) != len(value):
            raise ValueError("two bodies of one purpose")
        for body in value:
            if body.purpose == "commenting" and len(body.value) > LONGEST_WORDS:
                raise ValueError(f"a comment of {len(body.value):,} characters; at most {LONGEST_WORDS:,}")
        return value

    @property
    def number(self) -> str:
        """Short name that commands take: the first eight digits of its id."""
        return self.id.removeprefix("urn:uuid:")[:8]

    @property
    def words(self) -> str:
        """What the reviewer said."""
        return visible(next((body.value for body in self.body if body.purpose == "commenting"), ""))

    @property
    def language(self) -> str:
        """Language of the words, or empty."""
        return next((body.language for body in self.body if body.purpose == "commenting"), "")

    @property
    def replacement(self) -> str | None:
        """The text that shall stand there instead, or None."""
        return next((body.value for body in self.body if body.purpose == "editing"), None)


class Refused(NamedTuple):
    """An item of a file that was not taken, and why."""

    item: str
    reason: str


class Page(NamedTuple):
    """What a file held."""

    annotations: list[Annotation]
    refused: list[Refused]


def read(file: Path) -> Page:
    """Read an export of the document.

    Raises
    ------
    RunbookError
        The file is missing, too large, no JSON, or no annotation page. Single items that are not valid are listed in
        `Page.refused`: nothing disappears without a word.
    """
    data = _page(file)
    taken: list[Annotation] = []
    refused: list[Refused] = []
    for index, item in enumerate(data["items"]):
        name = visible(str(item.get("id", "")))[:60] if isinstance(item, Mapping) else ""
        try:
            found = Annotation.model_validate(item)
        except ValidationError as error:
            refused.append(Refused(name or f"item {index + 1}", _why(error)))
            continue
        taken.append(found)
    return Page(taken, refused)


def _page(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MOST_BYTES:
            size = file.stat().st_size >> 20
            raise RunbookError(
                f"a review of {size} MiB; at most {MOST_BYTES >> 20} MiB",
                where=paths.short(file),
                fix="export it from the document again, with fewer and shorter corrections",
            )
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunbookError("no such file", where=paths.short(file), fix="python -m lib review import FILE") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunbookError(
            f"not a review: {_first_line(error)}", where=paths.short(file), fix="export it from the document again"
        ) from error
    if not isinstance(data, dict) or data.get("type") != "AnnotationPage" or not isinstance(data.get("items"), list):
        raise RunbookError(
            "not a review: no W3C annotation page",
            where=paths.short(file),
            nearest='{"@context": …, "type": "AnnotationPage", "items": […]}',
            fix="export it from the document with its Export button",
        )
    if len(data["items"]) > MOST_ITEMS:
        raise RunbookError(f"{len(data['items'])} annotations; at most {MOST_ITEMS}", where=paths.short(file))
    return data


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return visible(f"{place}: {first['msg']}")[:300]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
