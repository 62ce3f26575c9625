"""What differs between two runs. A number differs only where the intervals of both say so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from lib.core import evidence
from lib.core.evidence import Check, Decision, Measurement, Record, Scalar
from lib.core.state import RunState, read_state

Outcome = Literal["regression", "improvement", "no difference", "changed", "not comparable"]
OUTCOMES: tuple[Outcome, ...] = ("regression", "improvement", "changed", "no difference", "not comparable")
_MORE_IS_BETTER = ("tok/s", "1/s", "GB/s", "MB/s", "TFLOP/s", "requests/s")
_LESS_IS_BETTER = ("ms", "s")
_BOOKKEEPING = ("run.",)
R = TypeVar("R", bound=Record)
Key = tuple[str, str, tuple[tuple[str, Scalar], ...]]


@dataclass(frozen=True)
class Run:
    """One side of a comparison."""

    state: RunState
    records: Sequence[Record]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read a run's folder; a damaged or missing one is an error."""
        return cls(read_state(folder), evidence.read(folder / "evidence.jsonl"))


@dataclass(frozen=True)
class Change:
    """A fact, a check or a decision that is another in the second run."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Compared:
    """One measurement of both runs."""

    before: Measurement
    after: Measurement
    outcome: Outcome

    @property
    def ratio(self) -> float | None:
        """Return the second value over the first."""
        return self.after.value / self.before.value if self.before.value else None

    @property
    def span(self) -> tuple[float, float] | None:
        """Return the least and the greatest ratio that both intervals allow; it holds 1 where they overlap."""
        if self.before.interval is None or self.after.interval is None or self.outcome == "not comparable":
            return None
        (least, most), (low, high) = self.before.interval, self.after.interval
        return (low / most, high / least) if least > 0 and low > 0 else None


@dataclass(frozen=True)
class Comparison:
    """Everything that changed from run A to run B."""

    facts: list[Change]
    checks: list[Change]
    decisions: list[Change]
    measurements: list[Compared]
    lost: list[Measurement]
    new: list[Measurement]

    @property
    def only_before(self) -> int:
        """Count the measurements that only the first run has."""
        return len(self.lost)

    @property
    def only_after(self) -> int:
        """Count the measurements that only the second run has."""
        return len(self.new)

    def with_outcome(self, outcome: Outcome) -> list[Compared]:
        """Return the measurements that came out so."""
        return [one for one in self.measurements if one.outcome == outcome]


def compare(before: Run, after: Run) -> Comparison:
    """Compare two runs, A before and B after."""
    numbers = [_numbers(run.records) for run in (before, after)]
    both = [key for key in numbers[0] if key in numbers[1]]
    return Comparison(
        facts=_changes(_facts(before.state), _facts(after.state)),
        checks=_changes(_statuses(before.records), _statuses(after.records), missing="not recorded"),
        decisions=_changes(_choices(before.records), _choices(after.records), missing="not recorded"),
        measurements=[_compared(numbers[0][key], numbers[1][key]) for key in both],
        lost=[one for key, one in numbers[0].items() if key not in numbers[1]],
        new=[one for key, one in numbers[1].items() if key not in numbers[0]],
    )


def _compared(before: Measurement, after: Measurement) -> Compared:
    return Compared(before, after, outcome(before, after))


def outcome(before: Measurement, after: Measurement) -> Outcome:
    """Tell how a number changed.

    Where both have a 95 % interval they must not overlap; that is stricter than a test of the difference at 5 %. A
    single value without an interval shows no difference: nobody knows how much it varies.
    """
    if before.unit != after.unit or before.provenance.weights != after.provenance.weights:
        return "not comparable"
    if before.value == after.value:
        return "no difference"
    if before.interval is None or after.interval is None:
        return "not comparable"
    if before.interval[0] <= after.interval[1] and after.interval[0] <= before.interval[1]:
        return "no difference"
    more = after.value > before.value
    if before.unit in _MORE_IS_BETTER:
        return "improvement" if more else "regression"
    if before.unit in _LESS_IS_BETTER:
        return "regression" if more else "improvement"
    return "changed"


def _numbers(records: Iterable[Record]) -> dict[Key, Measurement]:
    """Return measurements by name, model and conditions; of several alike the last counts."""
    measured = (r for r in records if isinstance(r, Measurement) and not r.name.startswith(_BOOKKEEPING))
    return {(m.name, m.provenance.model, tuple(sorted(m.conditions.items()))): m for m in measured}


def _facts(state: RunState) -> dict[str, str]:
    overrides = {f"override {key}": str(value) for key, value in state.overrides.items()}
    return {"profile": state.profile, "mode": state.mode, **state.host, **overrides}


def _statuses(records: Iterable[Record]) -> dict[str, str]:
    """Return the worst status of each check's name."""
    order = ("fail", "warn", "pass", "skip")
    found: dict[str, str] = {}
    for record in records:
        if isinstance(record, Check):
            found[record.name] = min(found.get(record.name, "skip"), record.status, key=order.index)
    return found


def _choices(records: Iterable[Record]) -> dict[str, str]:
    return {record.name: record.choice for record in records if isinstance(record, Decision)}


def _changes(before: dict[str, str], after: dict[str, str], missing: str = "none") -> list[Change]:
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name, missing), after.get(name, missing)) for name in names)
    return [Change(name, old, new) for name, old, new in pairs if old != new]
