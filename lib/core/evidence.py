"""Evidence: append-only JSON lines. Everything the document shows is rendered from these records."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lib.core.errors import RunbookError

SCHEMA = 1
Status = Literal["pass", "warn", "fail", "skip"]
STATUSES: tuple[Status, ...] = ("pass", "warn", "fail", "skip")
Where = Literal["host", "recorded", "lab", "cited"]
Verdict = Literal["confirmed", "corrected", "refuted", "unverifiable", "measure"]
Way = Literal["executed", "not run", "cited"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")]
Scalar = str | int | float | bool | None


class Model(BaseModel):
    """Base of all records: unknown keys are errors, records never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Artifact(Model):
    """A raw file behind a record: its path below the run folder, and its content's SHA-256."""

    path: str
    sha256: str


class Provenance(Model):
    """Where a record comes from.

    `where` is `host` (seen or measured on this machine), `recorded` (a recorded machine replayed), `lab` (a twin)
    or `cited` (somebody else's figure, dated and linked in `source`). `weights` tells whether a served model had
    its real weights.
    """

    chapter: str = ""
    host: str = ""
    where: Where = "host"
    engine: str = ""
    model: str = ""
    weights: Literal["real", "random", ""] = ""
    command: str = ""
    artifacts: list[Artifact] = []
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Record(Model):
    """What all kinds share: a dotted, stable name, and where it comes from."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: Name
    title: str = ""
    provenance: Provenance = Field(default_factory=Provenance)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Check(Record):
    """A verdict: what was expected, what was seen, under which conditions, and what to do when they differ."""

    kind: Literal["check"] = "check"
    status: Status
    expected: str = ""
    observed: str = ""
    fix: str = ""
    source: str = ""
    conditions: dict[str, Scalar] = {}


class Measurement(Record):
    """A number with its unit, repetitions, 95 % interval and conditions."""

    kind: Literal["measurement"] = "measurement"
    value: float
    unit: str
    n: int = 1
    interval: tuple[float, float] | None = None
    method: str = ""
    conditions: dict[str, Scalar] = {}
    baseline: float | None = None
    source: str = ""


class Change(Record):
    """One change to a host: what it was, what it shall be, why, and how far it got.

    `template` is what a file was rendered from, below runbook/templates.
    """

    kind: Literal["change"] = "change"
    status: Literal["planned", "applied", "verified", "rolled back"]
    target: str
    before: str
    after: str
    reason: str
    source: str = ""
    command: str = ""
    undo: str = ""
    template: str = ""


class Decision(Record):
    """A choice made from evidence: the names of the records that it rests on are part of it."""

    kind: Literal["decision"] = "decision"
    choice: str
    reason: str
    evidence: list[str]
    alternatives: list[str] = []


class Claim(Record):
    """Something that was said about the system (`title`), what is known of it, and how this run looked at it.

    `registered` is the register's verdict and `verdict` this run's: they differ where the register leaves it to a
    measurement. `way` is `executed`, `not run` (its check needs what this machine lacks) or `cited` (links only).
    """

    kind: Literal["claim"] = "claim"
    verdict: Verdict
    registered: Verdict
    way: Way
    topic: str
    told_in: str = ""
    quote: str
    fact: str
    observed: str = ""
    origins: list[str] = []
    evidence: list[str] = []
    value: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    sources: list[str] = []
    read: str = ""
    by_hand: str = ""


AnyRecord = Check | Measurement | Change | Decision | Claim
_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def append(path: Path, records: Sequence[Record]) -> None:
    """Append records to a file of JSON lines and force them to disk: one write, so that lines never interleave."""
    lines = "".join(record.model_dump_json(by_alias=True) + "\n" for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, lines.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[AnyRecord]:
    """Read every record of a file.

    Raises
    ------
    RunbookError
        A line is not a record: the message names the file and the line.
    """
    return list(_parse(path))


def _parse(path: Path) -> Iterator[AnyRecord]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            yield _ADAPTER.validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise RunbookError(
                f"corrupt evidence: {reason}",
                where=f"{path.name}, line {number}",
                fix="python -m lib run --fresh  (measures again; the damaged run is kept as it is)",
            ) from error


def count(records: Iterable[Record]) -> dict[Status, int]:
    """Count checks by status; every status is present."""
    counts: dict[Status, int] = dict.fromkeys(STATUSES, 0)
    for record in records:
        if isinstance(record, Check):
            counts[record.status] += 1
    return counts
