"""From what the probes saw to a verdict, and from the verdict to evidence."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lib.chapters.claims import register
from lib.chapters.claims.known import Known
from lib.chapters.claims.probes import Seen, look
from lib.chapters.claims.register import Entry, Register, Trial
from lib.core import display
from lib.core.evidence import Check, Claim, Verdict, Way

VERDICTS: tuple[Verdict, ...] = ("confirmed", "corrected", "refuted", "measure", "unverifiable")
State = Literal["decided", "open", "contradiction", "not run"]


@dataclass(frozen=True)
class Finding:
    """What became of one trial: what was seen, the verdict that follows, and the one the register must then have."""

    state: State
    seen: tuple[Seen, ...]
    verdict: Verdict | None = None
    registered: Verdict | None = None

    @property
    def told(self) -> str:
        """What was seen, in one line."""
        return "; ".join(seen.told for seen in self.seen)


def judge(book: Register, known: Known) -> list[Check | Claim]:
    """Put every claim to the test: one claim record each, and a check for each that has a trial."""
    return [record for entry in book.claims for record in _judged(entry, book.read, known)]


def find(trial: Trial, known: Known) -> Finding:
    """Run a trial's probes and derive the verdict."""
    if trial.measured:
        return _measured([look(probe, known) for probe in trial.measured])
    says = [look(probe, known) for probe in trial.says]
    holds = _all(says)
    partly = [look(probe, known) for probe in trial.partly] if holds is False else []
    fact = [look(probe, known) for probe in trial.fact]
    seen = (*says, *partly, *fact)
    if holds is None or _all(partly) is None or _all(fact) is None:
        return Finding("not run", tuple(s for s in seen if s.holds is None))
    if not _all(fact) or (partly and not _all(partly)):
        return Finding("contradiction", seen)
    verdict: Verdict = "confirmed" if holds else "corrected" if partly else "refuted"
    return Finding("decided", seen, verdict, verdict)


def _measured(seen: list[Seen]) -> Finding:
    """Decide by the run's own numbers: refuted if one is out of bounds, open while an interval spans its limit."""
    holds = _all(seen)
    if holds is not None:
        return Finding("decided", tuple(seen), "confirmed" if holds else "refuted", "measure")
    missing = [s for s in seen if s.holds is None and not s.open]
    return Finding("not run", tuple(missing)) if missing else Finding("open", tuple(seen), "measure", "measure")


def _all(seen: Sequence[Seen]) -> bool | None:
    """Return the conjunction: false if one is false, undecided if one is undecided."""
    held = [one.holds for one in seen]
    return False if False in held else None if None in held else True


def _judged(entry: Entry, read: str, known: Known) -> list[Check | Claim]:
    if entry.check is None:
        return [_claim(entry, read, None)]
    finding = find(entry.check, known)
    return [_check(entry, finding), _claim(entry, read, finding)]


def _check(entry: Entry, finding: Finding) -> Check:
    status: Literal["pass", "warn", "fail", "skip"] = "pass"
    if finding.state == "not run":
        status = "skip"
    elif finding.state == "contradiction" or finding.registered != entry.verdict:
        status = "fail"
    elif finding.state == "open":
        status = "warn"
    fix = {
        "warn": "measure more often: python -m lib run --thorough",
        "skip": f"on the server: `{entry.by_hand}`" if entry.by_hand else "run on a machine that has what is missing",
        "fail": f"correct the verdict or the check of {entry.id} in runbook/claims.yml",
    }
    return Check(
        name=entry.name,
        title=entry.claim,
        status=status,
        expected=f"the register's verdict: {entry.verdict}",
        observed=f"{_outcome(finding)}{finding.told}",
        fix=fix.get(status, ""),
        source=entry.sources[0] if entry.sources[0].startswith("https://") else "",
    )


def _outcome(finding: Finding) -> str:
    if finding.state == "decided":
        left = " here; it depends on the machine" if finding.registered == "measure" else ""
        return f"{finding.verdict}{left}: "
    return {"open": "not settled: ", "contradiction": "no verdict of the register fits: ", "not run": ""}[finding.state]


def _claim(entry: Entry, read: str, finding: Finding | None) -> Claim:
    executed = finding is not None and finding.state != "not run"
    seen = finding.seen if finding and executed else ()
    numbers = [s for s in seen if s.value is not None]
    chosen = next((s for s in numbers if s.holds is False), numbers[0] if numbers else None)
    agrees = finding is not None and finding.registered == entry.verdict
    return Claim(
        name=entry.name,
        title=entry.claim,
        verdict=(agrees and finding and finding.verdict) or entry.verdict,
        registered=entry.verdict,
        way="executed" if executed else "cited" if finding is None else "not run",
        topic=entry.topic,
        told_in=entry.chapter,
        quote=entry.quote_ru,
        fact=entry.fact,
        observed=finding.told if finding else "",
        origins=list(dict.fromkeys(origin for s in seen for origin in s.origins)),
        evidence=list(dict.fromkeys(name for s in seen for name in s.evidence)),
        value=chosen.value if chosen else None,
        unit=chosen.unit if chosen else "",
        interval=chosen.interval if chosen else None,
        sources=entry.sources,
        read=read,
        by_hand=entry.by_hand,
    )


def load() -> Register:
    """Read the runbook's register."""
    return register.load()


def overview(records: Iterable[Check | Claim]) -> display.Html:
    """Count claims by verdict and by the way in which they were looked at."""
    claims = [record for record in records if isinstance(record, Claim)]
    counts = Counter((claim.verdict, claim.way) for claim in claims)
    ways: dict[Way, str] = {"executed": "Checked here", "not run": "Check needs another machine", "cited": "Links only"}
    words = dict[str, str](zip(VERDICTS, VERDICTS, strict=True)) | {"measure": "left to a measurement"}
    rows = [
        {"Verdict": words[verdict]} | {title: str(counts[verdict, way]) for way, title in ways.items()}
        for verdict in VERDICTS
    ]
    return display.table(rows, f"{len(claims)} claims of the briefing", numeric=list(ways.values()))
