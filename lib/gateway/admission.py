"""Whether requests are admitted: a file in a folder stops that, and needs no program that answers to put it there.

Whoever has a reason (the UPS on battery, a card too hot) writes a file of his own name and removes no other's. What
runs goes on. A folder that is not there, or cannot be read, stops nothing.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

RETRY_AFTER_S = 60


class Hold(NamedTuple):
    """Why requests are refused, and what clients are told to wait, s."""

    reason: str
    retry_after_s: int


class Admission:
    """The folder of holds, looked at with every request: that takes some microseconds.

    Parameters
    ----------
    folder : Path
        One file a reason.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def held(self) -> Hold | None:
        """Return the first hold by name, or None while requests are admitted."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if not name.startswith("."))  # noqa: PTH208
        except OSError:
            return None
        return self._read(names[0]) if names else None

    def _read(self, name: str) -> Hold:
        # A hold that cannot be read is a hold: its writer may have been cut short, its reason was not.
        try:
            told = json.loads((self.folder / name).read_text())
            return Hold(str(told["reason"]), int(told["retry_after_s"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Hold(f"Requests are held ({name}).", RETRY_AFTER_S)


def hold(folder: Path, name: str, reason: str, retry_after_s: int = RETRY_AFTER_S) -> None:
    """Refuse requests from now on; the file is whole from its first moment."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{name}.new"
    fresh.write_text(json.dumps({"reason": reason, "retry_after_s": retry_after_s}))
    fresh.replace(folder / name)


def release(folder: Path, name: str) -> None:
    """Take one reason back; others stay. Doing it twice does no harm."""
    (folder / name).unlink(missing_ok=True)
