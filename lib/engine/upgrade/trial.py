"""What two engine environments did in turn: ratios of their speeds, how right they were, and the verdict."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from lib.core.evidence import Check, Decision, Measurement, Scalar, Status
from lib.engine.bench.compare import Comparison, compare
from lib.engine.bench.point import Point
from lib.engine.bench.results import Result

Side = Literal["old", "new"]
SIDES: tuple[Side, Side] = ("old", "new")
Answers = Sequence[Mapping[str, Any]]  # one a question: `id`, `answer`, `wrong` (why, or empty)
# Ratio: its name, what it is of, key in vLLM's JSON, whether less of it is better.
METRICS = (
    ("upgrade.speed_ratio", "Output throughput, new over old", "output_throughput", False),
    ("upgrade.ttft_ratio", "Median TTFT, new over old", "median_ttft_ms", True),
    ("upgrade.tpot_ratio", "Median TPOT, new over old", "median_tpot_ms", True),
)
# A loss of right answers counts when chance alone would give it less often.
CHANCE = 0.05


class Turn(NamedTuple):
    """One environment's turn under the load."""

    side: Side
    results: Sequence[Result]


class Environment(NamedTuple):
    """One side of the trial: its vLLM, whether it passed the gate, and what it answered (random weights: nothing)."""

    side: Side
    version: str
    passed: bool
    answers: Answers = ()

    @property
    def right(self) -> int:
        """Questions answered right."""
        return sum(not row["wrong"] for row in self.answers)


class Ratio(NamedTuple):
    """One metric at one point, new over old."""

    name: str
    title: str
    point: Point
    found: Comparison


def ratios(turns: Sequence[Turn], tolerance: float) -> list[Ratio]:
    """Compare each metric at each point over the pairs of turns; a turn's value is the geometric mean of its runs.

    Parameters
    ----------
    turns : sequence of Turn
        Old and new alternating, the same points in each; an odd one at the end has no partner and is left out.
    tolerance : float
        Share of speed that the new one may lose.

    Raises
    ------
    ValueError
        Fewer than two pairs.
    """
    pairs = min(sum(turn.side == side for turn in turns) for side in SIDES)
    if pairs < 2:
        raise ValueError(f"a comparison needs two pairs or more, got {pairs}")
    whole = {side: [turn for turn in turns if turn.side == side][:pairs] for side in SIDES}
    points = [result.point for result in turns[0].results]
    found = []
    for name, title, key, lower in METRICS:
        for point in points:
            old, new = (_values(whole[side], point, key) for side in SIDES)
            found.append(Ratio(name, title, point, compare(old, new, tolerance, lower)))
    return found


def measurements(found: Sequence[Ratio], both: Sequence[Environment]) -> list[Measurement]:
    """Return the ratios with their intervals, and how right each environment was."""
    versions: dict[str, Scalar] = {one.side: one.version for one in both}
    told = [
        Measurement(
            name=ratio.name,
            title=ratio.title,
            value=round(ratio.found.ratio, 4),
            unit="×",
            n=ratio.found.n,
            interval=(round(ratio.found.low, 4), round(ratio.found.high, 4)),
            method=f"vLLM's benchmark client, A B A B; {ratio.found.method}",
            conditions={**ratio.point.conditions, **versions},
            baseline=1.0,
        )
        for ratio in found
    ]
    return told + [_accuracy(one) for one in both if one.answers]


def same_answers(old: Environment, new: Environment) -> Measurement | None:
    """Return the share of questions that both answered word for word alike; greedy decoding, so rounding decides."""
    if not (old.answers and new.answers):
        return None
    before = {row["id"]: row["answer"] for row in old.answers}
    same = sum(before.get(row["id"]) == row["answer"] for row in new.answers)
    return Measurement(
        name="upgrade.same_answers",
        title="Answers that are the same word for word",
        value=round(same / len(new.answers), 4),
        unit="share",
        n=len(new.answers),
        method="greedy decoding, one answer a question",
        conditions={old.side: old.version, new.side: new.version},
    )


def accuracy_lost(old: Environment, new: Environment) -> bool:
    """Tell whether the new environment lost more right answers than chance explains.

    Of the questions that only one of them got right, chance gives each side half (McNemar's exact test, one-sided):
    five losses without a gain are the least that counts.
    """
    before = {row["id"]: bool(row["wrong"]) for row in old.answers}
    lost = sum(bool(row["wrong"]) and not before.get(row["id"], True) for row in new.answers)
    gained = sum(not row["wrong"] and before.get(row["id"], False) for row in new.answers)
    total = lost + gained
    chance = sum(math.comb(total, k) for k in range(lost, total + 1)) / 2**total
    return lost > gained and chance < CHANCE


def check(found: Sequence[Ratio], old: Environment, new: Environment, tolerance: float) -> Check:
    """Return the gate's verdict: closed when the new one fails or answers worse, a warning when it is slower."""
    slower = [ratio for ratio in _speeds(found) if ratio.found.verdict == "worse"]
    status: Status = "pass"
    if not (old.passed and new.passed):
        failed = " and ".join(one.side for one in (old, new) if not one.passed)
        status, observed = "fail", f"the {failed} environment did not pass the gate: nothing was compared"
    elif accuracy_lost(old, new):
        status = "fail"
        observed = f"{new.right} of {len(new.answers)} right, {old.right} before: more lost than chance explains"
    elif not found:
        status, observed = "fail", "the load did not run to its end on both"
    else:
        status, observed = ("warn" if slower else "pass"), "; ".join(_told(ratio) for ratio in _speeds(found))
    return Check(
        name="upgrade.verdict",
        title=f"vLLM {new.version or '(unknown)'} instead of {old.version or '(unknown)'}",
        status=status,
        expected=f"both pass the gate, no right answers lost, no point more than {tolerance:.0%} slower",
        observed=observed,
        fix="stay with the old environment" + ("; read the failed checks of the new one" if status == "fail" else ""),
    )


def decision(found: Sequence[Ratio], verdict: Check, same: bool) -> Decision:
    """Decide: upgrade when something got better and nothing worse, stay when something did, else no reason to.

    Parameters
    ----------
    same : bool
        Both environments are the same one: then any difference would be the measurement's own.
    """
    speeds = _speeds(found)
    verdicts = {ratio.found.verdict for ratio in speeds}
    if verdict.status in ("fail", "warn"):
        choice, reason = "Stay with the engine in use", verdict.observed
    elif same:
        choice, reason = "No reason to change: both environments are the same engine", verdict.observed
    elif "better" in verdicts:
        choice, reason = "Upgrade", verdict.observed
    else:
        choice, reason = "No reason to upgrade for its speed", verdict.observed
    if speeds and verdict.status == "pass":
        worst = min(ratio.found.low for ratio in speeds)
        if worst < 1:
            reason += f". A loss of {1 - worst:.1%} at most cannot be ruled out with this many pairs"
    return Decision(
        name="upgrade.engine",
        choice=choice,
        reason=f"{reason}.",
        evidence=["upgrade.verdict", *(["upgrade.speed_ratio"] if speeds else [])],
        alternatives=["upgrade for a model or fix that the old engine lacks: rerun this chapter with that model"]
        if choice.startswith("No reason")
        else [],
    )


def _speeds(found: Sequence[Ratio]) -> list[Ratio]:
    return [ratio for ratio in found if ratio.name == "upgrade.speed_ratio"]


def _told(ratio: Ratio) -> str:
    one = ratio.found
    return f"concurrency {ratio.point.concurrency}: {one.ratio:.3f} × ({one.low:.3f} … {one.high:.3f}), {one.verdict}"


def _values(turns: Sequence[Turn], point: Point, key: str) -> list[float]:
    """Return one value a turn: the geometric mean of its runs of a point."""
    return [
        float(np.exp(np.mean([np.log(run[key]) for run in result.runs])))
        for turn in turns
        for result in turn.results
        if result.point == point
    ]


def _accuracy(one: Environment) -> Measurement:
    n, share = len(one.answers), one.right / len(one.answers)
    # Wilson's interval: it stays within 0 and 1 where all answers are right.
    z2 = 1.959964**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Measurement(
        name="upgrade.accuracy",
        title="Smoke questions answered right",
        value=round(share, 4),
        unit="share",
        n=n,
        interval=(round(max(centre - half, 0), 4), round(min(centre + half, 1), 4)),
        method="greedy decoding, one answer a question; Wilson interval",
        conditions={"environment": one.side, "engine": one.version},
    )
