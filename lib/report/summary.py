"""The front page: one honest sentence, the key measurements, the decisions and what they rest on, what is open."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.core import evidence
from lib.core.display import number
from lib.core.evidence import AnyRecord, Change, Check, Decision, Measurement, Scalar
from lib.core.state import ChapterState, RunState

_READY = re.compile(r"(^|\.)(ready|start|load|wake|swap)_?\w*seconds$")
_POINT = re.compile(r"(output_throughput|request_throughput|goodput|ttft|tpot|itl)(_|$)")
_MOST_COLUMNS = 5
_OWN_BOOKKEEPING = "run."


@dataclass(frozen=True)
class Points:
    """Operating points side by side: one row a load, one column a quantity; cells hold the measurement itself."""

    title: str
    constant: dict[str, Scalar]
    varying: list[str]
    columns: list[tuple[str, str]]  # title, unit
    rows: list[tuple[list[Scalar], list[Measurement | None]]]


@dataclass(frozen=True)
class Cited:
    """A decision with the records that it rests on; a name that the run does not hold stays a name."""

    decision: Decision
    evidence: list[tuple[str, str]]  # name, what it says


def verdict(state: RunState, records: Sequence[AnyRecord]) -> str:
    """Say in one or a few short sentences what became of the run; nothing is rounded in its favour."""
    counts = evidence.count(records)
    sentences = [_checks_sentence(counts)]
    stopped = [chapter.id for chapter in state.chapters if _stopped(chapter, records)]
    if stopped:
        sentences.append(f"{_chapters(stopped)} stopped with an error.")
    skipped = [chapter.id for chapter in state.chapters if chapter.status == "skipped"]
    if skipped:
        need = "it needs" if len(skipped) == 1 else "they need"
        sentences.append(f"{_chapters(skipped)} did not run: what {need} did not pass.")
    if not state.complete:
        sentences.append(_cut_short(state))
    return " ".join(sentences)


def _checks_sentence(counts: dict[evidence.Status, int]) -> str:
    total = sum(counts.values())
    ran = total - counts["skip"]
    if not total:
        return "No check has run."
    if not ran:
        return f"None of the {_checks(total)} could run on this machine."
    rest = [f"{_checks(counts['pass'])} passed"] if not counts["fail"] else [f"{counts['pass']} passed"]
    rest += [f"{counts['warn']} {'warns' if counts['warn'] == 1 else 'warn'}"] if counts["warn"] else []
    rest += [f"{counts['skip']} could not run on this machine"] if counts["skip"] else []
    if counts["fail"]:
        return f"{counts['fail']} of {_checks(ran)} failed; {_listed(rest)}."
    if len(rest) == 1:
        return f"All {_checks(total)} passed." if total > 1 else "The one check passed."
    return f"Nothing failed: {_listed(rest)}."


def _cut_short(state: RunState) -> str:
    at = [chapter.id for chapter in state.chapters if chapter.status in ("interrupted", "running")]
    pending = sum(chapter.status == "pending" for chapter in state.chapters)
    where = f" in chapter {at[0]}" if at else ""
    rest = f"; {pending} {'chapter has' if pending == 1 else 'chapters have'} not run yet" if pending else ""
    return f"The run was cut short{where}{rest}."


def _stopped(chapter: ChapterState, records: Sequence[AnyRecord]) -> bool:
    """Tell whether a chapter failed by an exception: no failed check of its own explains it."""
    failed = (r for r in records if isinstance(r, Check) and r.status == "fail" and r.provenance.chapter == chapter.id)
    return chapter.status == "failed" and next(failed, None) is None


def still_open(records: Iterable[AnyRecord]) -> list[tuple[evidence.Status, list[Check]]]:
    """Return the checks that are not green, by status, failures first, each kind in the order of the chapters."""
    found = [record for record in records if isinstance(record, Check)]
    groups: list[evidence.Status] = ["fail", "warn", "skip"]
    return [(status, chosen) for status in groups if (chosen := [check for check in found if check.status == status])]


def planned(records: Iterable[AnyRecord]) -> list[Change]:
    """Return changes that would really change something."""
    return [record for record in records if isinstance(record, Change) and record.before != record.after]


def decisions(records: Sequence[AnyRecord]) -> list[Cited]:
    """Return every decision with what its evidence says."""
    return [
        Cited(record, [(name, says([r for r in records if r.name == name])) for name in record.evidence])
        for record in records
        if isinstance(record, Decision)
    ]


def says(records: Sequence[AnyRecord]) -> str:
    """Say in a few words what the records of one name found."""
    measured = [record for record in records if isinstance(record, Measurement)]
    if measured:
        low, high = min(measured, key=lambda m: m.value), max(measured, key=lambda m: m.value)
        span = number(low.value) if low.value == high.value else f"{number(low.value)} to {number(high.value)}"
        return f"{span} {high.unit}".strip() + (f", {len(measured)} values" if len(measured) > 1 else "")
    checks = [record for record in records if isinstance(record, Check)]
    if checks:
        worst = min(checks, key=lambda check: ("fail", "warn", "skip", "pass").index(check.status))
        return f"{worst.status}: {worst.observed}" if worst.observed else worst.status
    return next((record.choice for record in records if isinstance(record, Decision)), "")


def single(records: Iterable[AnyRecord]) -> list[Measurement]:
    """Return the times that an owner waits for: until the engine is ready, until a model is swapped."""
    return [record for record in _measured(records) if _READY.search(record.name)]


def points(records: Iterable[AnyRecord]) -> list[Points]:
    """Return the operating points of each chapter that measured throughput and latency under load."""
    groups: dict[str, list[Measurement]] = {}
    for record in _measured(records):
        family, _, quantity = record.name.rpartition(".")
        if _POINT.search(quantity):
            groups.setdefault(family, []).append(record)
    return [_points(family, measured) for family, measured in groups.items()]


def _points(family: str, measured: list[Measurement]) -> Points:
    keys = list(dict.fromkeys(key for m in measured for key in m.conditions))
    seen = {key: {m.conditions.get(key) for m in measured} for key in keys}
    varying = [key for key in keys if len(seen[key]) > 1]
    names = sorted(dict.fromkeys(m.name for m in measured), key=_rank)[:_MOST_COLUMNS]
    first = {name: next(m for m in measured if m.name == name) for name in names}
    loads = list(dict.fromkeys(tuple(m.conditions.get(key) for key in varying) for m in measured))
    cells = {(m.name, tuple(m.conditions.get(key) for key in varying)): m for m in measured}
    return Points(
        title=family.replace("_", " ").replace(".", ", "),
        constant={key: first_value for key in keys if key not in varying for first_value in seen[key]},
        varying=varying,
        columns=[(first[name].title or name, first[name].unit) for name in names],
        rows=[(list(load), [cells.get((name, load)) for name in names]) for load in loads],
    )


def _rank(name: str) -> int:
    """Order the columns: throughput, TTFT, TPOT, the rest."""
    order = ("output_throughput", "ttft", "tpot", "itl")
    return next((index for index, part in enumerate(order) if part in name), len(order))


def _measured(records: Iterable[AnyRecord]) -> list[Measurement]:
    return [r for r in records if isinstance(r, Measurement) and not r.name.startswith(_OWN_BOOKKEEPING)]


def _checks(count: int) -> str:
    return f"{count} check" if count == 1 else f"{count} checks"


def _chapters(ids: Sequence[str]) -> str:
    return f"Chapter {ids[0]}" if len(ids) == 1 else f"Chapters {_listed(ids)}"


def _listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: a, b, and c."""
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"
