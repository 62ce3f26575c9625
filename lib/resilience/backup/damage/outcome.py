"""What became of a damage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from lib.resilience.backup.damage.arena import Arena

How = Literal["detected", "survived"]


class Outcome(NamedTuple):
    """One damage, done: whether it was noticed or outlived, in how many seconds, and what was seen.

    Parameters
    ----------
    lost : int
        Acknowledged writes that no restore brings back.
    """

    good: bool
    observed: str
    seconds: float
    lost: int = 0


class Damage(NamedTuple):
    """A damage.

    Parameters
    ----------
    how : str
        What the defence is for: to notice it, or to outlive it.
    do : callable
        Does it in an arena. With False the defence is taken away, and the outcome must not be good: the counter-test.
    needs : str
        Empty, or the command that this machine lacks.
    """

    name: str
    title: str
    how: How
    defence: str
    do: Callable[[Arena, bool], Outcome]
    needs: Callable[[], str] = lambda: ""


class Watch:
    """A stopwatch."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Measure what is inside."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - begun
