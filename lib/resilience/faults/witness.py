"""A client that asks all the time, and tells afterwards when it was served and what it saw instead."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

PAUSE_S = 0.03
# An answer that took longer was not served as usual.
SLOW_S = 1.0
# A fault that nobody noticed for so long is one that clients do not see.
SETTLE_S = 1.0


class Try(NamedTuple):
    """One request: when it began and ended on the steady clock, and what went wrong, or the empty string."""

    begun: float
    ended: float
    error: str


class Witness:
    """Asks in a thread of its own until it is left.

    Parameters
    ----------
    ask : callable
        Asks once and returns what went wrong; empty if it was served.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask, self._end = ask, threading.Event()
        self.tries: list[Try] = []
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(30)

    def served_again(self, since: float, wait_s: float) -> float | None:
        """Return the seconds from a fault to the end of the first of two good answers in a row after the last bad one.

        0 if `SETTLE_S` passed with good answers alone; None if it was not to be within `wait_s`.
        """
        while time.monotonic() - since < wait_s:
            found = self._recovery([one for one in list(self.tries) if one.ended >= since], since)
            if found is not None:
                return found
            time.sleep(PAUSE_S)
        return None

    def errors(self, since: float) -> str:
        """Return what clients saw since then, each kind with its number."""
        seen = Counter(one.error for one in self.tries if one.ended >= since and one.error)
        return ", ".join(f"{number} × {error}" for error, number in seen.most_common(3)) or "nothing"

    @staticmethod
    def _recovery(tries: list[Try], since: float) -> float | None:
        bad = [place for place, one in enumerate(tries) if one.error or one.ended - one.begun > SLOW_S]
        if not bad:
            fresh = [one for one in tries if one.begun >= since]
            return 0.0 if len(fresh) > 2 and fresh[-1].ended - since > SETTLE_S else None
        after = tries[bad[-1] + 1 :]
        return after[0].ended - since if len(after) > 1 else None

    def _run(self) -> None:
        while not self._end.is_set():
            begun = time.monotonic()
            error = self._ask()
            self.tries.append(Try(begun, time.monotonic(), error))
            self._end.wait(PAUSE_S)
