"""What the watchdog tells and remembers. A full or read-only disk costs the note, never the deed."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NOTIFY_S = 20.0


class Journal:
    """Lines of what was done, and a note of the state.

    Parameters
    ----------
    folder : Path
        `watchdog.jsonl` and `watchdog.json` lie here.
    notify : sequence of str
        Command that gets an alert as its last word; none: alerts are lines only.
    say : callable
        Told every line; by default standard output, which systemd keeps.
    """

    def __init__(self, folder: Path, notify: Sequence[str] = (), say: Callable[[str], None] | None = None) -> None:
        self.folder, self.notify = folder, list(notify)
        self.say = say or _printed
        self.lines: list[dict[str, Any]] = []

    def write(self, **told: object) -> None:
        """Add a line."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **told}
        # The last lines only: the process runs for months.
        self.lines = [*self.lines[-999:], {**line, "clock": time.monotonic()}]
        self.say(" ".join(f"{key}={value}" for key, value in told.items()))
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "watchdog.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def alert(self, text: str) -> None:
        """Tell the owner; a messenger that hangs or is missing stops nothing."""
        self.write(alert=text)
        if self.notify:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run([*self.notify, text], timeout=NOTIFY_S, check=False, capture_output=True)

    def keep(self, state: Mapping[str, object]) -> None:
        """Note the state, whole or not at all."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / ".watchdog.new"
            fresh.write_text(json.dumps(state))
            fresh.replace(self.folder / "watchdog.json")

    def kept(self) -> dict[str, Any]:
        """Return what was noted last; a damaged note counts as none."""
        try:
            told = json.loads((self.folder / "watchdog.json").read_text())
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}


def _printed(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
