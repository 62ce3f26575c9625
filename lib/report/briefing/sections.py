"""The briefing's 13 sections, as `sections.yml` describes them, and which record, claim or file belongs to which."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Claim

FILE = paths.REPORT_TEMPLATE / "sections.yml"
# Stages in which the parts of the deployment are asked: `deploy.serving.file`, `rehearsal.serving.MODEL.loaded`.
_STAGES = ("deploy", "rehearsal", "apply")
Prefix = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]
ChapterId = Annotated[str, Field(pattern=r"^\d\d$")]


class Entry(BaseModel):
    """Base of what is read from the file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LeftOut(Entry):
    """Something that the briefing asks for and that is not done; the claims named say why."""

    what: str
    claims: list[str] = Field(min_length=1)


class Section(Entry):
    """One section of the briefing; `sections.yml` tells what its fields mean."""

    id: str = Field(pattern=r"^[a-z]+$")
    title: str
    quote_ru: str
    asked: str
    chapters: list[ChapterId] = Field(min_length=1)
    records: list[Prefix] = []
    in_full: list[Prefix] = []
    concerns: list[str] = []
    claims: list[str] = Field(min_length=1)
    commands: list[str] = Field(min_length=1)
    left_out: list[LeftOut] = []

    @property
    def anchor(self) -> str:
        """Its place in the document."""
        return f"section-{self.id}"

    @property
    def quote(self) -> str:
        """The briefing's words without its marks for code."""
        return self.quote_ru.replace("`", "")

    @property
    def prefixes(self) -> list[str]:
        """First words of the names that belong here, those of the deployment among them."""
        return [*self.records, *self.in_full, *(f"{stage}.{concern}" for concern in self.concerns for stage in _STAGES)]


def owner(sections: Iterable[Section], name: str) -> Section | None:
    """Return the section of a record: the one with the longest fitting prefix; None where no section has one."""
    fitting = [
        (len(prefix), section)
        for section in sections
        for prefix in section.prefixes
        if f"{name}.".startswith(f"{prefix}.")
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def claim_owner(sections: Iterable[Section], claim: Claim) -> Section | None:
    """Return the section of a claim: by its id, else by topic and chapter, else by topic."""
    listed = list(sections)
    for key in (claim_id(claim.name), f"{claim.topic}@{claim.told_in}", claim.topic):
        found = next((section for section in listed if key in section.claims), None)
        if found:
            return found
    return None


def claim_id(name: str) -> str:
    """Return a claim's id in the register from the name of its record."""
    return re.sub(r"^claims\.", "", name).replace("_", "-")


@cache
def load(file: Path = FILE) -> tuple[Section, ...]:
    """Read the sections, in the briefing's order.

    Raises
    ------
    RunbookError
        The file is no valid YAML, or a section is not as it should be: the message names it.
    """
    return tuple(entries(file, "sections", TypeAdapter(list[Section])))


def entries(file: Path, key: str, kind: TypeAdapter[Any]) -> Any:
    """Return what a file holds under its one key, validated.

    Raises
    ------
    RunbookError
        The file is no valid YAML, has another key, or an entry is not as it should be.
    """
    place, again = paths.short(file), f"git checkout -- {paths.short(file)}"
    try:
        data = YAML(typ="safe", pure=True).load(file)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunbookError(f"not valid YAML: {error.problem}", where=f"{place}{line}", fix=again) from error
    if not isinstance(data, dict) or list(data) != [key]:
        raise RunbookError(f"the file holds a list named '{key}', and nothing else", where=place, fix=again)
    try:
        return kind.validate_python(data[key])
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise RunbookError(f"{field}: {detail['msg']}", where=place, fix=again) from error
