"""A comparison as lines of text."""

from collections.abc import Iterator, Sequence

from lib.core.display import number
from lib.core.evidence import Measurement
from lib.report.compare.differences import OUTCOMES, Change, Compared, Comparison

_QUIET = ("no difference", "not comparable")


def lines(found: Comparison) -> Iterator[str]:
    """Yield what changed; what did not is counted."""
    yield from _changes("facts", found.facts)
    yield from _changes("checks", found.checks)
    yield from _changes("decisions", found.decisions)
    yield "measurements:"
    for outcome in OUTCOMES:
        alike = found.with_outcome(outcome)
        if outcome not in _QUIET:
            yield from (f"  {outcome:12} {_told(one)}" for one in alike)
        elif alike:
            yield f"  {outcome}: {len(alike)}"
    yield f"  only in A: {found.only_before}, only in B: {found.only_after}"


def _changes(title: str, changes: Sequence[Change]) -> Iterator[str]:
    yield f"{title}:" if changes else f"{title}: the same"
    yield from (f"  {change.what}: {change.before} -> {change.after}" for change in changes)


def _told(one: Compared) -> str:
    where = ", ".join(f"{key} {value}" for key, value in one.before.conditions.items())
    named = one.before.name + (f" ({where})" if where else "")
    ratio = f", × {number(one.ratio)}" if one.ratio is not None else ""
    return f"{named}: {_value(one.before)} -> {_value(one.after)} {one.after.unit}{ratio}"


def _value(measured: Measurement) -> str:
    if measured.interval is None:
        return number(measured.value)
    return f"{number(measured.value)} [{number(measured.interval[0])} … {number(measured.interval[1])}]"
