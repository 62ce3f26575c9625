"""What set-up says: plain sentences, one moving progress line on a terminal, errors that carry their fix."""

import math
import sys
import time
from dataclasses import dataclass, field


class SetupError(Exception):
    """Set-up cannot go on: what is wrong, where, and the command that puts it right."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", nearest: str = "", fix: str = "") -> None:
        lines = [f"error: {what}"]
        lines += [f"  where: {where}"] if where else []
        lines += [f"  did you mean: {nearest}"] if nearest else []
        lines += [f"  fix: {fix}"] if fix else []
        super().__init__("\n".join(lines))


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(f"set-up: {text}", flush=True)


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@dataclass
class Progress:
    """One line that is overwritten on a terminal; elsewhere a line at most every `every` seconds."""

    title: str
    every: float = 15.0
    started: float = field(default_factory=time.monotonic)
    _printed: float = -math.inf  # not 0: the clock begins with the machine, which may just have been started
    _width: int = 0

    def show(self, text: str) -> None:
        """Tell how far it is."""
        now = time.monotonic()
        line = f"set-up: {self.title}: {text}, {duration(now - self.started)}"
        if sys.stdout.isatty():
            print(f"\r{line.ljust(self._width)}", end="", flush=True)
            self._width = len(line)
        elif now - self._printed >= self.every:
            print(line, flush=True)
            self._printed = now

    def done(self, text: str) -> None:
        """Close the line with what was reached."""
        line = f"set-up: {self.title}: {text}, {duration(time.monotonic() - self.started)}"
        print(f"\r{line.ljust(self._width)}" if self._width else line, flush=True)

    def broken(self) -> None:
        """Leave the line where it is, so that a message can follow."""
        if self._width:
            print(flush=True)
