"""Tell the person at the terminal what is happening and how long it will take."""

import time

from rich.console import Console

from lib.core.display import duration
from lib.core.evidence import Check

FAILED_LENGTH = 600
MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "skipped": "[yellow]skipped[/]"}


class Progress:
    """Lines for a terminal: a live one while a chapter works, one that stays when it has ended.

    Without a terminal (CI, a log file) only the lines that stay are printed.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.total, self.number = total, 0
        self._status = self.console.status(self)
        self._started, self._title, self._section, self._expected = 0.0, "", "", 0.0

    def __rich__(self) -> str:
        """Return the live line; rich asks for it several times a second, so that the time runs on."""
        spent = time.monotonic() - self._started
        at = f" · {self._section}" if self._section else ""
        return f"{self._label()}{at} [dim]{duration(spent)} of about {duration(self._expected)}[/]"

    def begin(self, title: str, expected: float) -> None:
        """Announce a chapter and the time it took last time."""
        self.number += 1
        self._title, self._expected, self._section = title, expected, ""
        self._started = time.monotonic()
        if self.console.is_terminal:
            self._status.start()
        else:
            self.console.print(f"[{self.number}/{self.total}] {title} … expected {duration(expected)}", markup=False)

    def section(self, name: str) -> None:
        """Show the section that is being worked on."""
        self._section = name

    def end(self, status: str, seconds: float, note: str = "") -> None:
        """Print a chapter's result."""
        self._status.stop()
        spent = f" in {duration(seconds)}" if seconds else ""
        self.console.print(
            f"{self._label()} {MARKS.get(status, status)}{spent}" + (f" [dim]({note})[/]" if note else "")
        )

    def failed(self, check: Check) -> None:
        """Print what a failed check expected and what was there: one line that says it without the document."""
        told = f"      {check.name}: {check.title}: expected {check.expected}; observed {check.observed}"
        self.console.print(told[:FAILED_LENGTH], markup=False)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._status.stop()

    def _label(self) -> str:
        return f"\\[{self.number}/{self.total}] {self._title}"
