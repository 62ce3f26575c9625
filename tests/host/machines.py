"""Machines for tests: the recorded ones, and copies of them with something changed, missing or broken."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from hypothesis import settings

from lib.core import profile as profiles
from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host.probe import Output, RecordedHost

HOSTS = Path(__file__).parents[1] / "hosts"
# A machine shared with other work misses deadlines that say nothing about the code.
fuzz = settings(deadline=None, max_examples=60)
MISSING = Output(None, reason="missing")
FORBIDDEN = Output(None, reason="forbidden")


def owner() -> RecordedHost:
    """The owner's box, put together from public facts."""
    return RecordedHost(HOSTS / "owner")


def plain() -> RecordedHost:
    """A small virtual machine, captured."""
    return RecordedHost(HOSTS / "plain")


def box(**overrides: Any) -> Profile:
    """The owner's profile, with dotted fields replaced: ``box(host__ups=False)``."""
    return profiles.load("rtx-pro-6000", {key.replace("__", "."): value for key, value in overrides.items()})


def embedded() -> Profile:
    return profiles.load("embedded")


class Changed:
    """A host like another, except for what is given: commands by their words, files by path; None takes one away."""

    def __init__(
        self,
        below: RecordedHost | None = None,
        commands: dict[str, Output | str | None] | None = None,
        files: dict[str, str | None] | None = None,
        cards: list[dict[str, Any]] | None = None,
    ) -> None:
        self.kind: Literal["constructed"] = "constructed"
        self._below = below
        self._commands = commands or {}
        self._files = files or {}
        self._cards = cards

    def run(self, *argv: str, timeout: float = 15) -> Output:
        for command, said in self._commands.items():
            if " ".join(argv) == command or (command == argv[0]):
                return said if isinstance(said, Output) else MISSING if said is None else Output(0, said)
        return self._below.run(*argv) if self._below else MISSING

    def read(self, path: str) -> str | None:
        if path in self._files:
            return self._files[path]
        return self._below.read(path) if self._below else None

    def glob(self, pattern: str) -> list[str]:
        known = set(self._below.glob(pattern) if self._below else ())
        added = {path for path in self._files if len(Path(path).parts) == len(Path(pattern).parts)}
        known |= {path for path in added if fnmatch(path, pattern)}
        return sorted(path for path in known if self._files.get(path, "") is not None)

    def nvml(self) -> dict[str, Any] | None:
        return None if self._cards is None else {"cards": self._cards}


def named(checks: list[Check], name: str) -> Check:
    """Return the one check of that name."""
    found = [check for check in checks if check.name == name]
    assert len(found) == 1, f"{name}: {len(found)} of {[check.name for check in checks]}"
    return found[0]
