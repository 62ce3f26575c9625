"""Errors that a person can act on: what is wrong, where, the nearest valid value, the command that fixes it."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; stable."""

    GREEN = 0
    FAILED = 1
    BAD_INPUT = 2
    REFUSED = 3
    INTERRUPTED = 130


class RunbookError(Exception):
    """Something the user can put right.

    Parameters
    ----------
    what : str
        One sentence: what is wrong.
    where : str, optional
        File, key, line or flag.
    nearest : str, optional
        The nearest valid value.
    fix : str, optional
        The command or edit that puts it right.
    """

    exit_code: Exit = Exit.BAD_INPUT

    def __init__(self, what: str, *, where: str = "", nearest: str = "", fix: str = "") -> None:
        self.what, self.where, self.nearest, self.fix = what, where, nearest, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        lines += [f"  where: {self.where}"] if self.where else []
        lines += [f"  did you mean: {self.nearest}"] if self.nearest else []
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class RefusedError(RunbookError):
    """The runbook will not do this now: a gate is closed or somebody else is at work."""

    exit_code = Exit.REFUSED


def nearest(value: str, valid: Iterable[str]) -> str:
    """Return the valid value closest to `value`, or the empty string if none is close."""
    matches = difflib.get_close_matches(value, list(valid), n=1, cutoff=0.4)
    return matches[0] if matches else ""
