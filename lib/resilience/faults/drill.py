"""What a drill is, and what is recorded of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lib.core.evidence import Check, Measurement, Provenance, Scalar

if TYPE_CHECKING:
    from lib.resilience.faults.ground import Ground

NOTHING = "nothing"


class SkipError(Exception):
    """Why a machine cannot play a fault, and what would let it."""


@dataclass
class Outcome:
    """What a drill saw.

    Parameters
    ----------
    recovery_s : float or None
        From the fault until clients are served as before; None: never within the time. 0: they noticed nothing.
    lost : int
        What had been acknowledged and is gone.
    clients : str
        What clients saw.
    wrong : list of str
        What else was not as it should be.
    told : str
        What was done, in the words of the log.
    owner : str
        What is left for the owner to do.
    margin_s : float, optional
        Run time that would be left when the host is down.
    """

    recovery_s: float | None
    lost: int = 0
    clients: str = "nothing"
    wrong: list[str] = field(default_factory=list)
    told: str = ""
    owner: str = NOTHING
    margin_s: float | None = None


class Drill(NamedTuple):
    """A fault, the defence against it, and the play of both.

    Parameters
    ----------
    name, title : str
        Of the record `drill.<name>`, and in words.
    defence : str
        What is meant to hold; with `defended` False it is taken away, and the drill has to go red.
    limit_s : float
        Longest time to recovery.
    play : callable
        From a ground and whether the defence is there to what was seen.
    """

    name: str
    title: str
    defence: str
    limit_s: float
    play: "Callable[[Ground, bool], Outcome]"


class Played(NamedTuple):
    """A drill that was played: its outcome, or why this machine cannot play it."""

    drill: Drill
    outcome: Outcome | None
    skipped: str = ""
    began_s: float = 0.0
    took_s: float = 0.0

    @property
    def green(self) -> bool:
        """Whether the defence held: recovered in time, nothing acknowledged lost, nothing else wrong."""
        seen = self.outcome
        if seen is None or seen.recovery_s is None:
            return False
        return seen.recovery_s <= self.drill.limit_s and not seen.lost and not seen.wrong


def records(played: Played) -> Iterator[Check | Measurement]:
    """Yield the verdict, the seconds to recovery, and what was lost."""
    drill, seen = played.drill, played.outcome
    conditions: dict[str, Scalar] = {"drill": drill.name}
    expected = f"served as before within {drill.limit_s:g} s, nothing acknowledged lost; by: {drill.defence}"
    if seen is None:
        yield Check(
            name=f"drill.{drill.name}",
            title=drill.title,
            status="skip",
            expected=expected,
            observed="not played on this machine",
            fix=played.skipped,
            conditions=conditions,
        )
        return
    back = "not within the time" if seen.recovery_s is None else f"after {seen.recovery_s:.1f} s"
    parts = [f"served as before {back}", f"clients saw {seen.clients}", seen.told, *seen.wrong]
    parts += [f"{seen.lost} acknowledged things lost"] if seen.lost else []
    yield Check(
        name=f"drill.{drill.name}",
        title=drill.title,
        status="pass" if played.green else "fail",
        expected=expected,
        observed="; ".join(part for part in parts if part)[:400],
        fix=""
        if played.green
        else f"play it alone: python -m lib run --only 13 --set 'faults.drills=[\"{drill.name}\"]'",
        conditions=conditions,
        provenance=Provenance(where="lab"),
    )
    if seen.recovery_s is not None:
        yield Measurement(
            name="drill.recovery_seconds",
            title=drill.title,
            value=round(seen.recovery_s, 3),
            unit="s",
            method="from the fault to the first of two good answers in a row; 0: clients noticed nothing",
            conditions=conditions,
            provenance=Provenance(where="lab"),
        )
    yield Measurement(
        name="drill.lost",
        title=drill.title,
        value=seen.lost,
        unit="things",
        method="what had been acknowledged before the fault, counted after it",
        conditions=conditions,
        provenance=Provenance(where="lab"),
    )
    if seen.margin_s is not None:
        yield Measurement(
            name="power.shutdown_margin_seconds",
            title="Run time left when the host is down",
            value=round(seen.margin_s, 2),
            unit="s",
            method="the UPS's run time when the mains went, less the seconds until the shutdown command, less the "
            "seconds that the profile allows the host for its own shutdown",
            conditions=conditions,
            provenance=Provenance(where="lab"),
        )
