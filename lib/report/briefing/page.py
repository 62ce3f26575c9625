"""All that the page tells in the briefing's order, in one hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.core.evidence import AnyRecord, Check, Measurement
from lib.core.state import RunState
from lib.report.briefing import checklist, config_files, sections, told
from lib.report.briefing.checklist import Answered
from lib.report.briefing.config_files import ConfigFile
from lib.report.briefing.told import Absent, Told
from lib.report.claims.table import Claims

_COSTS = "cost."


@dataclass(frozen=True)
class Briefing:
    """The document in the briefing's order."""

    sections: list[Told]
    points: list[Answered]
    files: list[ConfigFile]
    costs: list[Measurement]
    unpriced: list[Check]
    absent: list[Absent]

    @property
    def answers(self) -> dict[str, int]:
        """How many points of the checklist have which answer."""
        counted = dict.fromkeys(("yes", "no", "not in this run"), 0)
        for point in self.points:
            counted[point.verdict] += 1
        return counted

    @property
    def left_out(self) -> bool:
        """A section names something that this runbook does not do."""
        return any(section.left_out for section in self.sections)


def build(state: RunState, records: Sequence[AnyRecord], claims: Claims) -> Briefing:
    """Return the run in the briefing's order."""
    chosen = sections.load()
    chapters = sorted({chapter for section in chosen for chapter in section.chapters})
    priced = [record for record in records if record.name.startswith(_COSTS)]
    return Briefing(
        sections=told.tell(state, records, claims, chosen),
        points=checklist.answer(records, claims),
        files=config_files.index(records, chosen),
        costs=[record for record in priced if isinstance(record, Measurement)],
        unpriced=[record for record in priced if isinstance(record, Check) and record.status == "skip"],
        absent=told.absent(state, chapters),
    )
