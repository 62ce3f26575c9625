"""What each section of the briefing shows of a run: expected against measured, files, decisions, what was not done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.core import notebook
from lib.core.evidence import AnyRecord, Change, Check, Decision, Measurement
from lib.core.state import RunState
from lib.report import summary
from lib.report.briefing import config_files, sections
from lib.report.briefing.config_files import ConfigFile
from lib.report.briefing.sections import LeftOut, Section
from lib.report.claims.table import Claims, Row

_WORST: tuple[str, ...] = ("fail", "warn", "pass")
_BOOKKEEPING = "run.engine_seconds"


@dataclass(frozen=True)
class Held:
    """Records of one name: what was expected, what was found, and the record to look at first."""

    record: Check | Measurement
    expected: str
    found: str
    count: int


@dataclass(frozen=True)
class Absent:
    """A chapter that gives nothing in this run, and why."""

    chapter: str
    title: str
    why: str
    command: str


@dataclass(frozen=True)
class Told:
    """One section as the page shows it; every part comes from the run's evidence."""

    number: int
    section: Section
    claims: list[Row]
    held: list[Held]
    in_full: list[Measurement]
    commands: list[str]
    files: list[ConfigFile]
    decisions: list[tuple[int, Decision]]
    skipped: list[Held]
    left_out: list[tuple[LeftOut, list[Row]]]
    absent: list[Absent]

    @property
    def empty(self) -> bool:
        """No record of the run belongs here, except what the briefing claimed."""
        return not (self.held or self.in_full or self.skipped or self.files or self.decisions)


def tell(
    state: RunState, records: Sequence[AnyRecord], claims: Claims, chosen: Sequence[Section] | None = None
) -> list[Told]:
    """Return every section with what this run has for it.

    Parameters
    ----------
    chosen : sequence of Section, optional
        The sections; by default those of `sections.yml`.
    """
    listed = sections.load() if chosen is None else chosen
    owned, files = _owned(records, listed), config_files.index(records, listed)
    rows = {sections.claim_id(row.claim.name): row for row in claims.rows}
    decided = list(enumerate((record for record in records if isinstance(record, Decision)), 1))
    return [
        Told(
            number=number,
            section=section,
            claims=[row for row in claims.rows if sections.claim_owner(listed, row.claim) is section],
            held=held(one for one in owned[section.id] if not _in_full(section, one)),
            in_full=[one for one in owned[section.id] if isinstance(one, Measurement) and _in_full(section, one)],
            commands=_commands(owned[section.id]),
            files=[file for file in files if file.section is section],
            decisions=[(place, one) for place, one in decided if sections.owner(listed, one.name) is section],
            skipped=skipped(owned[section.id]),
            left_out=[(item, [rows[claim] for claim in item.claims if claim in rows]) for item in section.left_out],
            absent=absent(state, section.chapters),
        )
        for number, section in enumerate(listed, 1)
    ]


def held(records: Iterable[AnyRecord]) -> list[Held]:
    """Return checks that ran, and measurements, one line a name: the worst check, the span of the values."""
    groups: dict[str, list[Check | Measurement]] = {}
    for record in records:
        if isinstance(record, Measurement) or (isinstance(record, Check) and record.status != "skip"):
            groups.setdefault(record.name, []).append(record)
    return [_held(group) for group in groups.values()]


def skipped(records: Iterable[AnyRecord]) -> list[Held]:
    """Return the checks that could not run, one line a name, each with its reason; those that ran elsewhere are not."""
    checks = [record for record in records if isinstance(record, Check)]
    ran = {check.name for check in checks if check.status != "skip"}
    left: dict[str, list[Check]] = {}
    for check in checks:
        if check.name not in ran:
            left.setdefault(check.name, []).append(check)
    return [Held(group[0], "", group[0].observed, len(group)) for group in left.values()]


def absent(state: RunState, chapters: Iterable[str]) -> list[Absent]:
    """Return which of these chapters give nothing in this run, each with the reason and the command that brings it."""
    entries = {entry.id: entry for entry in state.chapters}
    found = []
    for chapter in chapters:
        entry = entries.get(chapter)
        if entry and entry.status == "passed":
            continue
        title = entry.title if entry else _title(chapter)
        why = "it is not part of this run" if entry is None else _why(entry.status, entry.error)
        command = f"python -m lib run --profile {state.profile} --only {chapter}"
        found.append(Absent(chapter, title, why, command))
    return found


def _title(chapter: str) -> str:
    """Return the title of a chapter that the run does not have; its notebook is read for it."""
    return next((source.title for source in notebook.sources() if source.id == chapter), "")


def _why(status: str, error: str) -> str:
    words = {
        "failed": "it failed",
        "skipped": "it did not run",
        "pending": "it has not run yet",
        "interrupted": "it was interrupted",
        "running": "it was running when the document was written",
    }[status]
    first = error.strip().splitlines()
    return f"{words} ({first[0]})" if first else words


def _in_full(section: Section, record: AnyRecord) -> bool:
    """Tell whether a record is a measurement that is shown with its conditions."""
    named = any(f"{record.name}.".startswith(f"{prefix}.") for prefix in section.in_full)
    return named and isinstance(record, Measurement)


def _owned(records: Iterable[AnyRecord], listed: Sequence[Section]) -> dict[str, list[AnyRecord]]:
    """Return the records of each section by its id."""
    owners: dict[str, Section | None] = {_BOOKKEEPING: None}
    found: dict[str, list[AnyRecord]] = {section.id: [] for section in listed}
    for record in records:
        if record.name not in owners:
            owners[record.name] = sections.owner(listed, record.name)
        section = owners[record.name]
        if section:
            found[section.id].append(record)
    return found


def _held(group: Sequence[Check | Measurement]) -> Held:
    checks = [record for record in group if isinstance(record, Check)]
    if checks:
        worst = min(checks, key=lambda check: _WORST.index(check.status))
        return Held(worst, worst.expected, worst.observed or worst.status, len(checks))
    measured = [record for record in group if isinstance(record, Measurement)]
    return Held(measured[0], _baseline(measured), summary.says(measured), len(measured))


def _baseline(measured: Sequence[Measurement]) -> str:
    known = [m.model_copy(update={"value": m.baseline}) for m in measured if m.baseline is not None]
    return summary.says(known)


def _commands(records: Iterable[AnyRecord]) -> list[str]:
    """Return the commands that the records name, each once, in their order."""
    told = (
        record.command if isinstance(record, Change) else record.provenance.command
        for record in records
        if isinstance(record, Change | Check | Measurement)
    )
    lines = (line.strip() for command in told for line in command.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("install -m")))
