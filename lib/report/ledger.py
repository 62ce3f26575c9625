"""The list of all evidence: each record with its anchor, its raw files, and what most records have in common."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.core.evidence import AnyRecord
from lib.report.raw import RawFile


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    anchor: str
    record: AnyRecord
    files: list[RawFile]


@dataclass(frozen=True)
class Usual:
    """The machine and the engine of most records: said once, and repeated only where a record differs."""

    host: str
    engine: str


def rows(records: Sequence[AnyRecord], files: Sequence[RawFile]) -> list[Row]:
    """Give each record its anchor: its name, and a number from the second of the same name on."""
    by_path = {file.path: file for file in files}
    seen: Counter[str] = Counter()
    listed = []
    for record in records:
        seen[record.name] += 1
        suffix = f"-{seen[record.name]}" if seen[record.name] > 1 else ""
        cited = [by_path[artifact.path] for artifact in record.provenance.artifacts]
        listed.append(Row(f"record-{record.name}{suffix}", record, cited))
    return listed


def usual(records: Sequence[AnyRecord]) -> Usual:
    """Return the most frequent machine and engine."""
    ours = [record.provenance for record in records if record.provenance.where != "cited"]
    hosts = Counter(provenance.host for provenance in ours)
    engines = Counter(provenance.engine for provenance in ours)
    return Usual(*(counter.most_common(1)[0][0] if counter else "" for counter in (hosts, engines)))
