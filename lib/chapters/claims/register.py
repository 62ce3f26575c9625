"""The register of claims, `runbook/claims.yml`: what the briefing said, what is known of it, and how it is checked."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.evidence import Scalar, Verdict

FILE = paths.RUNBOOK / "claims.yml"
Day = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Where = dict[str, Scalar]


class Section(BaseModel):
    """Base of all entries: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Flag(Section):
    """A flag of `vllm serve`, asked of the installed engine's own parser.

    `choices` must all be among its choices; `default` is what the parser prints as its default.
    """

    flag: str = Field(pattern=r"^-[-a-z0-9]+$")
    choices: list[str] = []
    default: str | None = None


class Variable(Section):
    """An environment variable that the installed engine reads."""

    variable: str = Field(pattern=r"^[A-Z0-9_]+$")


class Words(Section):
    """A literal text in the installed engine's Python sources; `file` narrows it to one of them."""

    source: str = Field(min_length=4)
    file: str = ""


class Package(Section):
    """A package installed here."""

    package: str


class File(Section):
    """A file of this repository with a line that matches the pattern."""

    file: str
    line: str


class Formula(Section):
    """An expression over the catalogue, the target's profile, locks and cited figures; see `formula.py`."""

    formula: str


class Checked(Section):
    """A check of this run, by name; where it ran several times, one with this status is enough."""

    check: str
    status: Literal["pass", "warn", "fail"] = "pass"
    observed: str = Field(default="", description="Pattern that what was seen must match")


class Measured(Section):
    """A measurement of this run, held against a limit; with `over` the ratio of two.

    A condition may be `highest` or `lowest`. With `best` the largest of all that fit is taken. A limit that lies inside
    the 95 % interval leaves the claim open.
    """

    measured: str
    where: Where = {}
    over: Where | None = None
    best: bool = False
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _a_limit(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give `at_least`, `at_most` or both")
        return self


class Not(Section):
    """The opposite of another probe."""

    no: "Probe"


KINDS: dict[str, type[Section]] = {
    "flag": Flag,
    "variable": Variable,
    "source": Words,
    "package": Package,
    "line": File,
    "formula": Formula,
    "check": Checked,
    "measured": Measured,
    "no": Not,
}


def _kind(probe: object) -> str | None:
    """Tell the kind of a probe by the key that only it has."""
    for key, kind in KINDS.items():
        if isinstance(probe, kind) or (isinstance(probe, dict) and key in probe):
            return key
    return None


Probe = Annotated[
    Annotated[Flag, Tag("flag")]
    | Annotated[Variable, Tag("variable")]
    | Annotated[Words, Tag("source")]
    | Annotated[Package, Tag("package")]
    | Annotated[File, Tag("line")]
    | Annotated[Formula, Tag("formula")]
    | Annotated[Checked, Tag("check")]
    | Annotated[Measured, Tag("measured")]
    | Annotated[Not, Tag("no")],
    Discriminator(
        _kind,
        custom_error_type="unknown_probe",
        custom_error_message=f"a probe has one of the keys {', '.join(KINDS)}",
    ),
]


class Trial(Section):
    """How a claim is put to the test. Every list is a conjunction.

    `says` is the claim as it was made: it holds, and the claim is confirmed, or it does not, and the claim is refuted.
    `partly` is what is right about a claim that does not hold: then it is corrected. `fact` must hold besides.
    `measured` depends on the machine, so that the register can only say `measure` and the run decides.
    """

    says: list[Probe] = []
    partly: list[Probe] = []
    fact: list[Probe] = []
    measured: list[Measured] = []

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.says) == bool(self.measured):
            raise ValueError("a check has either `says` or `measured`")
        if self.measured and self.partly:
            raise ValueError("`partly` goes with `says`")
        return self


class Entry(Section):
    """One claim of the briefing."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    topic: str
    chapter: str = Field(default="", pattern=r"^(\d\d)?$", description="Where it is told; empty: in the table only")
    quote_ru: str = Field(description="The briefing's own words")
    claim: str
    verdict: Verdict
    fact: str
    sources: list[str] = Field(min_length=1)
    by_hand: str = Field(default="", description="How to see it on the server")
    check: Trial | None = None

    @property
    def name(self) -> str:
        """The name of its evidence."""
        return f"claims.{self.id.replace('-', '_')}"


class Register(Section):
    """The whole file; `read` is the day on which the sources were read."""

    read: Day
    claims: list[Entry] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        twice = [name for name, times in Counter(entry.id for entry in self.claims).items() if times > 1]
        if twice:
            raise ValueError(f"more than one claim is called {', '.join(twice)}")
        return self


def load(path: Path = FILE) -> Register:
    """Read the register.

    Raises
    ------
    RunbookError
        The file is missing, is no YAML, or a claim is wrong: the message names the claim and its field.
    """
    try:
        data = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise RunbookError("there is no register of claims", where=paths.short(path)) from error
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunbookError(f"not valid YAML: {error.problem}", where=f"{paths.short(path)}{line}") from error
    try:
        return Register.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, path) from error


def _explain(error: ValidationError, data: Any, path: Path) -> RunbookError:
    # A misspelt field is told as one that is missing and one too many; the latter says what was meant.
    detail = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = list(detail["loc"])
    place = ".".join(str(part) for part in location)
    if len(location) > 1 and location[0] == "claims":
        number, rest = int(location[1]), ".".join(str(part) for part in location[2:])
        entry = data["claims"][number]
        told = entry.get("id", "") if isinstance(entry, Mapping) else ""
        place = f"claim {number + 1}" + (f" ({told})" if told else "") + (f", {rest}" if rest else "")
    near = ""
    if detail["type"] == "extra_forbidden":
        parents: dict[str, type[Section]] = {"check": Trial, **KINDS}
        known = {name for part in location for name in parents.get(str(part), Entry).model_fields}
        near = nearest(str(location[-1]), known)
    elif detail["type"] == "unknown_probe" and isinstance(detail["input"], dict):
        near = nearest(next(map(str, detail["input"]), ""), KINDS)
    elif detail["type"] == "literal_error":
        near = nearest(str(detail["input"]), ("confirmed", "corrected", "refuted", "unverifiable", "measure"))
    return RunbookError(f"a claim is wrong: {detail['msg']}", where=f"{paths.short(path)}, {place}", nearest=near)
