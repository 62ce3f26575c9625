"""Drives the load client: one guarded process that imports vLLM's benchmark client once and then runs many loads.

The import alone takes ten seconds of processor time, more than most loads; and a client that starts while an engine is
measured would disturb it.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.bench.load_client import MARK
from lib.engine.serve.process import Guarded, Identity

POLL_S = 0.1
LIMIT_S = 3600
OnPoint = Callable[[str], None]
Plan = Sequence[Mapping[str, object]]


class LoadClient:
    """One load generator. It starts with its first load or with `ready`, and ends with `close` or with its owner.

    Parameters
    ----------
    log : Path
        Receives everything that it prints.
    environment : mapping of str to str
        Environment of its process.
    """

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self._log, self._environment = log, environment
        self._process: Guarded | None = None
        self._orders = -1
        self._pipe = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, plan: Plan, folder: Path, on_point: OnPoint = lambda _: None) -> list[dict[str, Any]]:
        """Run a plan and return what the client told of each entry; its chatter is kept in the folder's client.log.

        Raises
        ------
        RunbookError
            An entry failed, the client ended, or the plan took longer than `LIMIT_S`; with the client's last words.
        """
        order = folder / "plan.json"
        order.write_text(json.dumps(plan))
        self.ready()
        begun, before = time.monotonic(), self._log.stat().st_size
        os.write(self._orders, f"{order.absolute()}\n".encode())
        try:
            return self._follow(plan, before, begun, folder / "client.log", on_point)
        except BaseException:
            self.close()  # what it has not done of this plan, it shall not do during the next measurement
            raise
        finally:
            (folder / "client.log").write_text(self._said(before))

    def ready(self) -> None:
        """Start it, if it does not run yet: its import may pass while something else is waited for."""
        if self._process and self._process.poll() is None:
            return
        self.close()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        (paths.CACHE / "tmp").mkdir(parents=True, exist_ok=True)
        self._pipe = Path(tempfile.mkdtemp(prefix="load-", dir=paths.CACHE / "tmp")) / "orders"
        os.mkfifo(self._pipe, 0o600)
        # Opened for both directions, so that neither side waits for the other to come.
        self._orders = os.open(self._pipe, os.O_RDWR | os.O_CLOEXEC)
        self._process = Guarded(
            [sys.executable, "-m", "lib.engine.bench.load_client", str(self._pipe)], self._log, self._environment
        )

    def tree(self) -> list[Identity]:
        """Return every live process of the client."""
        return self._process.tree() if self._process else []

    def close(self) -> None:
        """End the client. Closing twice does no harm."""
        if self._process:
            self._process.stop()
            os.close(self._orders)
            self._forget_pipe()
            self._process = None

    def _forget_pipe(self) -> None:
        shutil.rmtree(self._pipe.parent, ignore_errors=True)

    def _follow(self, plan: Plan, before: int, begun: float, where: Path, on_point: OnPoint) -> list[dict[str, Any]]:
        seen = 0
        while True:
            ended = self._process is None or self._process.wait(POLL_S) is not None
            told = _told(self._said(before))
            for entry in told[seen : len(plan)]:
                if "error" in entry:
                    raise RunbookError(
                        f"the load at {entry['label']} failed: {entry['error']}", where=paths.short(where)
                    )
                on_point(entry["label"])
            if told:
                self._forget_pipe()  # the client holds it open; its name is no longer needed
            seen = len(told)
            if seen > len(plan):  # the last word is `done`
                return told[: len(plan)]
            if ended:
                last = [line for line in self._said(before).splitlines() if line.strip()]
                raise RunbookError(
                    f"the load client stopped before {plan[min(seen, len(plan) - 1)]['label']}: "
                    f"{last[-1] if last else 'it said nothing'}",
                    where=paths.short(where),
                )
            if time.monotonic() - begun > LIMIT_S:
                raise RunbookError(f"the load did not end within {LIMIT_S} s", where=paths.short(where))

    def _said(self, before: int) -> str:
        with self._log.open("rb") as file:
            file.seek(before)
            return file.read().decode(errors="replace")


def _told(text: str) -> list[dict[str, Any]]:
    """Return what the client has told so far: the lines that it marked as its own."""
    lines = text.splitlines(keepends=True)
    marked = [line.removeprefix(MARK) for line in lines if line.startswith(MARK) and line.endswith("\n")]
    return [json.loads(line) for line in marked]
