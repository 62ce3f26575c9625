"""The watcher: a saved file is taken in within moments; a sweep catches what events miss."""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import watchfiles

from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.memory import files
from lib.memory.files import Place
from lib.memory.ingest import Report
from lib.memory.service import Memory

# Several writes of one save come together; longer waiting would be felt.
DEBOUNCE_MS = 200
STEP_MS = 30
OnReport = Callable[[Report], None]


def _quiet(_report: Report) -> None:
    """Show nothing."""


class Watcher(Lifetime):
    """Watches all roots of a memory in a thread of its own. A context manager; or call `start` and `stop`.

    Parameters
    ----------
    on_report : callable, optional
        Called with what became of changed files.
    """

    def __init__(self, memory: Memory, on_report: OnReport = _quiet) -> None:
        self.memory, self.on_report = memory, on_report
        self.errors: list[RunbookError] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start watching; what changed before is found by the first sweep."""
        self._stop.clear()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._events, self._sweeps)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run(self) -> None:
        """Watch until interrupted."""
        with self:
            while not self._stop.wait(1):
                continue

    def _events(self) -> None:
        folders = {folder: root for root, folder in self.memory.store.manifest.roots().items() if folder.is_dir()}
        if not folders:
            return
        for changes in watchfiles.watch(
            *folders, debounce=DEBOUNCE_MS, step=STEP_MS, stop_event=self._stop, recursive=True, watch_filter=None
        ):
            places = {place for _, path in changes for place in self._places(Path(path), folders)}
            if places:
                self._take(partial(self.memory.take, sorted(places)))

    def _places(self, path: Path, folders: dict[Path, str]) -> list[Place]:
        folder = next((parent for parent in (path, *path.parents) if parent in folders), None)
        if folder is None or folder == path:
            return []
        name = path.relative_to(folder).as_posix()
        if files.ignored(name, self.memory.settings.ignore):
            return []
        if path.is_dir() and not path.is_symlink():
            # A folder that was moved in brings no events of its own files.
            return list(files.walk(folders[folder], folder, self.memory.settings.ignore, name))
        return [Place(folders[folder], folder, name)]

    def _sweeps(self) -> None:
        while not self._stop.is_set():
            self._take(self.memory.sweep)
            self._stop.wait(self.memory.settings.sweep_seconds)

    def _take(self, work: Callable[[], Report]) -> None:
        try:
            report = work()
        except RunbookError as error:
            # The server may be back at the next sweep, which finds the same changes again.
            self.errors.append(error)
            return
        if report.stored or report.removed or report.refused:
            self.on_report(report)


def visible(memory: Memory, question: str, path: str, since: float, limit_s: float = 30) -> float:
    """Return the seconds from `since` (monotonic) until a search finds a file; infinite if it never does."""
    while time.monotonic() - since < limit_s:
        if any(hit.path == path for hit in memory.search(question).hits):
            return time.monotonic() - since
        time.sleep(0.02)
    return float("inf")
