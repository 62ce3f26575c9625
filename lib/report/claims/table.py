"""Claims as the page shows them: rendered from this run's evidence, never from the register."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.core.evidence import AnyRecord, Check, Claim, Status, Verdict, Way

WAYS: dict[Way, str] = {
    "executed": "checked in this run",
    "not run": "could not be checked on this machine",
    "cited": "links only",
}
VERDICTS: dict[Verdict, str] = {
    "confirmed": "confirmed",
    "corrected": "corrected",
    "refuted": "refuted",
    "measure": "not settled",
    "unverifiable": "cannot be verified",
}
LINKS = "links"
_MOST_OPEN = 3


@dataclass(frozen=True)
class Row:
    """One claim with its check's status; without a check it rests on its links."""

    claim: Claim
    status: Status | None

    @property
    def anchor(self) -> str:
        """Its place in the document."""
        return "claim-" + self.claim.name.removeprefix("claims.").replace("_", "-")

    @property
    def quote(self) -> str:
        """The briefing's words without its marks for bold and code."""
        return self.claim.quote.replace("**", "").replace("`", "")

    @property
    def origins(self) -> list[str]:
        """What its verdict rests on, in the words of the filter."""
        return self.claim.origins or [LINKS]


@dataclass(frozen=True)
class Boxes:
    """The claims that belong to one chapter: a few in full view, the others folded."""

    first: list[Row]
    rest: list[Row]


@dataclass(frozen=True)
class Claims:
    """All claims of a run."""

    rows: list[Row]

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """Verdicts that occur, with how many claims have them."""
        counts = Counter(row.claim.verdict for row in self.rows)
        return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}

    @property
    def ways(self) -> dict[Way, int]:
        """How many claims were looked at in which way."""
        counts = Counter(row.claim.way for row in self.rows)
        return {way: counts[way] for way in WAYS}

    @property
    def origins(self) -> list[str]:
        """Everything that verdicts rest on, sorted."""
        return sorted({origin for row in self.rows for origin in row.origins})

    @property
    def contradicted(self) -> list[Row]:
        """Claims whose check leads elsewhere than the register."""
        return [row for row in self.rows if row.status == "fail"]

    def boxes(self, chapter: str) -> Boxes | None:
        """Return what the briefing said that belongs to a chapter, measured and executed claims first."""
        own = sorted((row for row in self.rows if row.claim.told_in == chapter), key=_rank)
        return Boxes(own[:_MOST_OPEN], own[_MOST_OPEN:]) if own else None


def collect(records: Sequence[AnyRecord]) -> Claims:
    """Gather the claims of a run with their checks."""
    status = {check.name: check.status for check in _checks(records)}
    return Claims([Row(record, status.get(record.name)) for record in records if isinstance(record, Claim)])


def _checks(records: Iterable[AnyRecord]) -> Iterable[Check]:
    return (record for record in records if isinstance(record, Check) and record.name.startswith("claims."))


def _rank(row: Row) -> tuple[bool, bool, bool, bool]:
    """Order a chapter's claims: what contradicts, what was measured, what was wrong and checked, what was checked."""
    claim = row.claim
    wrong = claim.verdict in ("refuted", "corrected")
    return row.status != "fail", claim.value is None, claim.way != "executed", not wrong
