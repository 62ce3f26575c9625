"""Reference bundles: what a finished run found on another machine, small enough to be committed and to travel.

A bundle is a folder of `runbook/reference`: `host.json`, `evidence.jsonl`, `bench/*.json`, `log/*.txt`, `README.md`.
`lib/report/bundle.py` makes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.core import evidence, paths
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord

FOLDER = paths.RUNBOOK / "reference"
SCHEMA = 1
HOST_FILE = "host.json"
EVIDENCE_FILE = "evidence.jsonl"
MAX_BYTES = 1_000_000


class Section(BaseModel):
    """Base of what `host.json` holds: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RunSummary(Section):
    """One run of the bundle: what was asked for, when, and what became of it."""

    id: str
    profile: str
    mode: str
    command: str
    started: str
    seconds: float
    chapters: list[str]
    failed: list[str] = []
    checks: dict[str, int] = {}
    overrides: dict[str, Any] = {}


class Machine(Section):
    """`host.json`: the machine and its software, without anything that identifies one copy of it.

    Parameters
    ----------
    card, driver, cpu, memory, kernel, python, engine, torch : str
        As the runs saw them; `none` where there is none. Versions that differ between runs are joined by commas.
    date : str
        Day of the first run, UTC.
    fingerprint : list of str
        The digests by which the records name the machine.
    weights : mapping of str to str
        Model to `real`, `random`, or both.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: str
    date: str
    card: str
    driver: str
    cpu: str
    memory: str
    kernel: str
    python: str
    engine: str
    torch: str
    fingerprint: list[str]
    weights: dict[str, str]
    runs: list[RunSummary]

    @property
    def title(self) -> str:
        """The machine in a few words: its card or, without one, its processor."""
        return self.card if self.card != "none" else f"no GPU, {self.cpu}"


@dataclass(frozen=True)
class Bundle:
    """A bundle as the document uses it."""

    machine: Machine
    records: list[AnyRecord]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.machine.name


def load(folder: Path) -> Bundle:
    """Read one bundle.

    Raises
    ------
    RunbookError
        A file is missing or damaged: the message names it and, in the evidence, the line.
    """
    place, again = paths.short(folder), "git checkout -- the folder, or: python -m lib reference RUN_FOLDER NAME"
    try:
        machine = Machine.model_validate_json((folder / HOST_FILE).read_bytes())
    except FileNotFoundError as error:
        raise RunbookError("a bundle has a host.json", where=place, fix=again) from error
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise RunbookError(
            f"damaged host.json: {detail['msg']}", where=f"{place}/{HOST_FILE}, {field}", fix=again
        ) from error
    if machine.name != folder.name:
        raise RunbookError(
            f"the bundle calls itself '{machine.name}'", where=f"{place}/{HOST_FILE}, name", fix="rename the folder"
        )
    if not (folder / EVIDENCE_FILE).is_file():
        raise RunbookError("a bundle has an evidence.jsonl", where=place, fix=again)
    try:
        return Bundle(machine, evidence.read(folder / EVIDENCE_FILE))
    except RunbookError as error:
        raise RunbookError(error.what, where=f"{place}, {error.where}", fix=again) from error


def load_all(folder: Path = FOLDER) -> tuple[list[Bundle], list[RunbookError]]:
    """Read every bundle, oldest first; a damaged one is told beside those that can be read."""
    bundles, problems = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            bundles.append(load(path))
        except RunbookError as error:
            problems.append(error)
    return sorted(bundles, key=lambda bundle: (bundle.machine.date, bundle.name)), problems
