"""The parts of CycloneDX 1.6 that a run's bill of materials uses, each a typed model; and package URLs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Kind = Literal[
    "application", "container", "device-driver", "file", "library", "machine-learning-model", "operating-system",
    "platform",
]  # fmt: skip


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, names are CycloneDX's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel)


class Hash(Part):
    """A digest of a component's content."""

    alg: Literal["SHA-256"] = "SHA-256"
    content: str = Field(pattern=r"^[0-9a-f]{64}$")


class Property(Part):
    """Something that CycloneDX has no field for; the names begin with `runbook:`."""

    name: str = Field(pattern=r"^runbook:")
    value: str


class Distribution(Part):
    """The archives that a component may have been installed from."""

    type: Literal["distribution"] = "distribution"
    url: str
    comment: str
    hashes: list[Hash]


class Licence(Part):
    """What a package says of its licence, as an SPDX expression."""

    expression: str


class Component(Part):
    """A package, a model, a file of it, an image, or what they run on."""

    type: Kind
    bom_ref: str = Field(alias="bom-ref")
    name: str
    version: str | None = None
    description: str | None = None
    hashes: list[Hash] | None = None
    licenses: list[Licence] | None = None
    purl: str | None = None
    external_references: list[Distribution] | None = None
    components: list["Component"] | None = None
    properties: list[Property] | None = None


class Phase(Part):
    """When it was listed: while the system runs."""

    phase: Literal["operations"] = "operations"


class Metadata(Part):
    """Of when, of what, by what."""

    timestamp: datetime
    lifecycles: list[Phase] = [Phase()]
    component: Component
    properties: list[Property]


class Bom(Part):
    """A bill of materials."""

    bom_format: Literal["CycloneDX"] = "CycloneDX"
    spec_version: Literal["1.6"] = "1.6"
    serial_number: str | None = None
    version: int = 1
    metadata: Metadata
    components: list[Component]

    def content(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def hashes(digests: Sequence[str]) -> list[Hash] | None:
    """Return SHA-256 digests as a component wants them; None for none."""
    return [Hash(content=digest) for digest in digests] or None


def properties(values: Mapping[str, str]) -> list[Property] | None:
    """Return named values; empty ones are left out."""
    return [Property(name=f"runbook:{name}", value=value) for name, value in values.items() if value] or None


def purl(kind: str, name: str, version: str = "", **qualifiers: str) -> str:
    """Return a package URL: ``pkg:kind/name@version?qualifiers``; a name may have a namespace before a slash."""
    told = f"pkg:{kind}/{quote(name, safe='/.-_~')}"
    told += f"@{quote(version, safe=':.-_~')}" if version else ""
    asked = "&".join(f"{key}={quote(qualifiers[key], safe=':/.-_~')}" for key in sorted(qualifiers))
    return f"{told}?{asked}" if asked else told
