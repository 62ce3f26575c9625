"""A host that remembers what it was asked: one look gives one picture, and the picture can be kept."""

from typing import Any, Literal

from lib.host.probe import Host, Output


class RecordingHost:
    """A host that is asked everything once: it passes a question on, notes the answer and repeats it.

    `commands` and `files` hold what was asked for, `folders` what a pattern matched that is no readable file.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.commands: dict[tuple[str, ...], Output] = {}
        self.files: dict[str, str | None] = {}
        self.folders: set[str] = set()
        self._snapshot: list[dict[str, Any] | None] = []

    @property
    def kind(self) -> Literal["live", "captured", "constructed"]:
        """How the machine behind is seen."""
        return self._host.kind

    def run(self, *argv: str, timeout: float = 15) -> Output:
        """Run a command once; asking again gives the same answer."""
        if argv not in self.commands:
            self.commands[argv] = self._host.run(*argv, timeout=timeout)
        return self.commands[argv]

    def read(self, path: str) -> str | None:
        """Read a file and note it."""
        if path not in self.files:
            self.files[path] = self._host.read(path)
        return self.files[path]

    def glob(self, pattern: str) -> list[str]:
        """Match paths, and read what is found: a replay can only find what was kept."""
        found = self._host.glob(pattern)
        self.folders.update(path for path in found if self.read(path) is None)
        return found

    def nvml(self) -> dict[str, Any] | None:
        """Return the snapshot of NVML, taken once."""
        if not self._snapshot:
            self._snapshot.append(self._host.nvml())
        return self._snapshot[0]
