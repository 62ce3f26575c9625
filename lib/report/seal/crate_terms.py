"""The words of a Workflow Run RO-Crate that a run's crate uses, each entity a typed model.

They are those of RO-Crate 1.1 and of the profiles Process, Workflow and Provenance Run Crate 0.5; `sha256` and nothing
else is of their own vocabulary (workflow-run). None is invented here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}


class Ref(BaseModel):
    """A link to another entity of the crate, or to something outside."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel)

    id: str = Field(alias="@id")


class Entity(Ref):
    """Something that the crate tells of."""

    type: str | list[str] = Field(alias="@type")
    name: str | None = None
    description: str | None = None


class Descriptor(Entity):
    """The metadata file itself."""

    about: Ref
    conforms_to: list[Ref]


class Root(Entity):
    """The run's folder."""

    conforms_to: list[Ref]
    date_published: datetime
    license: str
    has_part: list[Ref]
    main_entity: Ref
    mentions: list[Ref]


class DataFile(Entity):
    """A file of the folder; its size in bytes is text, as schema.org has it."""

    content_size: str
    sha256: str
    encoding_format: str | None = None


class Workflow(DataFile):
    """What was carried out: a file that does it again."""

    programming_language: Ref
    input: list[Ref]
    has_part: list[Ref]
    step: list[Ref]


class Parameter(Entity):
    """An input of the workflow."""

    additional_type: str = "Text"


class Value(Entity):
    """What an input was."""

    value: str
    example_of_work: Ref


class Step(Entity):
    """A chapter's place in the order."""

    work_example: Ref
    position: int


class Software(Entity):
    """A program; `version` tells which."""

    version: str | None = None


class Action(Entity):
    """Something that was done: by what instrument, to what, with which result, and whether it came to its end."""

    instrument: Ref
    object: list[Ref] | Ref | None = None
    result: list[Ref] | Ref | None = None
    agent: Ref | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    action_status: Ref | None = None
    error: str | None = None


class Plain(Entity):
    """An entity that needs no more than its name: a profile, a language, a person."""

    version: str | None = None


def refs(names: Sequence[str]) -> list[Ref]:
    """Return links to entities."""
    return [Ref(id=name) for name in names]


def status(done: bool) -> Ref:
    """Return how an action ended."""
    word: Literal["Completed", "Failed"] = "Completed" if done else "Failed"
    return Ref(id=f"http://schema.org/{word}ActionStatus")


def document(entities: Sequence[Entity]) -> dict[str, Any]:
    """Return the content of `ro-crate-metadata.json`."""
    graph = [entity.model_dump(mode="json", by_alias=True, exclude_none=True) for entity in entities]
    return {"@context": CONTEXT, "@graph": graph}
