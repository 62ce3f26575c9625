"""The briefing's final checklist, as `checklist.yml` corrects it, answered by the checks of a run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from lib.core import paths
from lib.core.evidence import AnyRecord, Check
from lib.report.briefing.sections import Entry, claim_id, entries
from lib.report.claims.table import Claims, Row

FILE = paths.REPORT_TEMPLATE / "checklist.yml"
Verdict = Literal["yes", "no", "not in this run"]


class Point(Entry):
    """One point of the checklist; `checklist.yml` tells what its fields mean."""

    number: int = Field(ge=1)
    quote_ru: str
    how_ru: str
    gist: str
    corrected: str
    claims: list[str] = Field(min_length=1)
    checks: list[str] = Field(min_length=1)

    @property
    def quote(self) -> str:
        """The briefing's words, what and how, without its marks for code."""
        return f"{self.quote_ru}: {self.how_ru}".replace("`", "")


@dataclass(frozen=True)
class Seen:
    """One check that a point names: the record that decides, and why none does."""

    name: str
    check: Check | None
    why: str = ""

    @property
    def ran(self) -> bool:
        """The check is in the run and was not skipped."""
        return self.check is not None and self.check.status != "skip"


@dataclass(frozen=True)
class Answered:
    """A point with its answer, what it rests on, and what corrects it."""

    point: Point
    verdict: Verdict
    seen: list[Seen]
    claims: list[Row]

    @property
    def warns(self) -> bool:
        """A check warns: the answer is yes, and something should be looked at."""
        return any(one.check is not None and one.check.status == "warn" for one in self.seen)


@cache
def load(file: Path = FILE) -> tuple[Point, ...]:
    """Read the points.

    Raises
    ------
    RunbookError
        The file is no valid YAML, or a point is not as it should be.
    """
    return tuple(entries(file, "points", TypeAdapter(list[Point])))


def answer(records: Iterable[AnyRecord], claims: Claims, points: Sequence[Point] | None = None) -> list[Answered]:
    """Answer every point: no where a named check failed, yes where all ran, otherwise it is not in this run."""
    checks = [record for record in records if isinstance(record, Check)]
    rows = {claim_id(row.claim.name): row for row in claims.rows}
    return [
        Answered(point, verdict(seen), seen, [rows[claim] for claim in point.claims if claim in rows])
        for point in (load() if points is None else points)
        for seen in [[_seen(name, checks) for name in point.checks]]
    ]


def verdict(seen: Sequence[Seen]) -> Verdict:
    """Return what a point's checks say together."""
    if any(one.check is not None and one.check.status == "fail" for one in seen):
        return "no"
    return "yes" if all(one.ran for one in seen) else "not in this run"


def _seen(name: str, checks: Sequence[Check]) -> Seen:
    """Return the worst check of a name among those that ran; without one, why."""
    found = [check for check in checks if fnmatchcase(check.name, name)]
    order = ("fail", "warn", "pass", "skip")
    worst = min(found, key=lambda check: order.index(check.status), default=None)
    if worst is None:
        return Seen(name, None, "no chapter of this run recorded it")
    return Seen(name, worst, worst.observed if worst.status == "skip" else "")
