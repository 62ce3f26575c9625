"""What drills show, as evidence: whether every alert came and went, and after how many seconds."""

from collections.abc import Iterable, Sequence

from lib.core.evidence import Check, Measurement, Record, Scalar
from lib.resilience.monitor.drill import Outcome

METHOD = "monotonic clock, from the fault (or its end) to the message at the webhook; scrapes and rules every second"
SOURCES = {"real": "the thing itself", "recorded": "what such hardware says, from an endpoint: there is none here"}


def records(outcomes: Iterable[Outcome], wait_s: float) -> list[Record]:
    """Return seconds and verdict of every alert."""
    return [record for outcome in outcomes for record in _of(outcome, wait_s)]


def _of(outcome: Outcome, wait_s: float) -> list[Record]:
    conditions: dict[str, Scalar] = {"alert": outcome.alert, "source": outcome.source}
    found: list[Record] = [
        Measurement(
            name=f"alert.{what}_seconds",
            title=f"{outcome.alert} {words}",
            value=round(seconds, 2),
            unit="s",
            method=METHOD,
            conditions=conditions,
        )
        for what, words, seconds in (
            ("fired", "arrives", outcome.fired_s),
            ("cleared", "ends", outcome.cleared_s),
        )
        if seconds is not None
    ]
    return [*found, _check(outcome, wait_s, conditions)]


def _check(outcome: Outcome, wait_s: float, conditions: dict[str, Scalar]) -> Check:
    if outcome.fired_s is None:
        observed = "no message"
    elif outcome.cleared_s is None:
        observed = f"due after {outcome.fired_s:.1f} s, and not over within {wait_s:g} s"
    else:
        observed = f"due after {outcome.fired_s:.1f} s, over after {outcome.cleared_s:.1f} s"
    return Check(
        name="monitoring.alert.seen",
        title=f"{outcome.alert}: {outcome.fault}",
        status="pass" if outcome.cleared_s is not None else "fail",
        expected=f"a message within {wait_s:g} s, and another when it is over",
        observed=observed,
        fix="the logs of the programs are among the raw files of this chapter",
        source=SOURCES[outcome.source],
        conditions=conditions,
    )


def every_alert(known: Sequence[str], outcomes: Sequence[Outcome], left_out: Sequence[str]) -> Check:
    """Tell whether every alert was seen; one that has no drill fails.

    Parameters
    ----------
    left_out : sequence of str
        Alerts whose drills could not be done here; each has a check of its own that says why.
    """
    seen = {outcome.alert for outcome in outcomes if outcome.cleared_s is not None}
    lacking = [name for name in known if name not in seen and name not in left_out]
    words = f"{len(seen)} of {len(known)}"
    return Check(
        name="monitoring.every_alert",
        title="Every alert was seen to fire and to clear",
        status="fail" if lacking else "skip" if left_out else "pass",
        expected=f"{len(known)} alerts",
        observed=f"{words}; not seen: {', '.join([*lacking, *left_out])}" if lacking or left_out else words,
        fix="make setup  (as root: a file system is mounted for the drills of disks)",
    )
