"""What others have published: throughput and hardware figures, each with its address and date, as `published.yml` says.

Nobody checked these figures here. They are shown beside what was measured, and what differs in their settings is said.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.evidence import Name, Scalar

FILE = paths.RUNBOOK / "published.yml"
# YAML reads 2026-01-28 as a date, and 2026-01 as text.
Day = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]


class Section(BaseModel):
    """Base of all entries: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Where figures stand: an address on the open web, and when it was written if it says so."""

    title: str
    url: str = Field(pattern=r"^https://\S+$")
    published: Day | Literal[""] = ""


class Figure(Section):
    """One published figure, with all that its source tells about how it came about.

    Parameters
    ----------
    quantity : str
        Name of the evidence that it stands beside.
    title, model : str
        The model as the source names it; its name in the catalogue, where the catalogue has it.
    format, stack, hardware : str
        Number format of the weights; engine; card or processor.
    kind : str
        `measured`, or `specification` for what a table states.
    concurrency, input_tokens, output_tokens, power_w
        Settings, where the source gives them; the power limit in W.
    setting : str
        What else the source says.
    value, high : float
        The figure; `high` where the source gives a range.
    """

    quantity: Name
    title: str = ""
    model: str = ""
    format: str = ""
    stack: str = ""
    hardware: str
    kind: Literal["measured", "specification"] = "measured"
    concurrency: int | None = Field(default=None, ge=1)
    input_tokens: int | None = Field(default=None, ge=1)
    output_tokens: int | None = Field(default=None, ge=1)
    power_w: int | None = Field(default=None, ge=1)
    setting: str = ""
    value: float
    high: float | None = None
    unit: str
    source: str

    @property
    def conditions(self) -> dict[str, Scalar]:
        """The settings that evidence knows too, by the same names."""
        known = {key: getattr(self, key) for key in ("concurrency", "input_tokens", "output_tokens")}
        return {key: value for key, value in known.items() if value is not None}


class Published(Section):
    """The whole file: when it was read, its sources, its figures."""

    read: Day
    sources: dict[str, Source]
    figures: list[Figure]

    def source(self, figure: Figure) -> Source:
        """Return where a figure stands."""
        return self.sources[figure.source]

    def date(self, figure: Figure) -> str:
        """Say when the source was written or, where it does not tell, when the figure was read there."""
        written = self.source(figure).published
        return written or f"read on {self.read}"


def load(path: Path = FILE) -> Published:
    """Read the published figures.

    Raises
    ------
    RunbookError
        The file is missing, is no YAML, or an entry is wrong: the message names the entry and its field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunbookError("there is no file of published figures", where=paths.short(path)) from error
    return _parsed(text, path)


@cache
def _parsed(text: str, path: Path) -> Published:
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunbookError(f"not valid YAML: {error.problem}", where=f"{paths.short(path)}{line}") from error
    try:
        found = Published.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, path) from error
    for number, figure in enumerate(found.figures, start=1):
        if figure.source not in found.sources:
            raise RunbookError(
                f"unknown source '{figure.source}'",
                where=f"{paths.short(path)}, figure {number} ({figure.quantity}), source",
                nearest=nearest(figure.source, found.sources),
                fix="add it below `sources`, with its address",
            )
    return found


def _explain(error: ValidationError, data: Any, path: Path) -> RunbookError:
    # A misspelt field is told as one that is missing and one too many; the latter says what was meant.
    detail = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = list(detail["loc"])
    place = ".".join(str(part) for part in location)
    if len(location) > 1 and location[0] == "figures":
        entry = data["figures"][int(location[1])]
        told = entry.get("quantity", "") if isinstance(entry, Mapping) else ""
        rest = ".".join(str(part) for part in location[2:])
        place = f"figure {int(location[1]) + 1}" + (f" ({told})" if told else "") + (f", {rest}" if rest else "")
    near = ""
    if detail["type"] == "extra_forbidden":
        kinds: dict[str, type[Section]] = {"figures": Figure, "sources": Source}
        kind = kinds.get(str(location[0]), Published)
        near = nearest(str(location[-1]), kind.model_fields)
    return RunbookError(
        f"a published figure is wrong: {detail['msg']}", where=f"{paths.short(path)}, {place}", nearest=near
    )
