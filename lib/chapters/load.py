"""Load on a server that passed the gate: measured with vLLM's client, recorded with its raw files."""

import atexit
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lib.chapters import gate
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Scalar
from lib.engine.bench import results as verdicts
from lib.engine.bench import sweep
from lib.engine.bench.client import LoadClient
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.serve import command
from lib.engine.serve.server import Server


def measure(
    chapter: Chapter,
    engine: Server | None,
    points: Sequence[Point],
    effort: Effort,
    name: str = "load",
    check: str = "batching.completed",
) -> list[Result]:
    """Measure points on a server; without one, or when the client fails, nothing comes back.

    Parameters
    ----------
    chapter : Chapter
        Where raw files are kept; a client that fails becomes a failed check there.
    engine : Server or None
        A running server that passed the gate (`Fleet.use`).
    points, effort
        What is measured, and how thoroughly.
    name : str
        Folder of the raw files, below the chapter's artifacts.
    check : str
        Name of the check that a failing client becomes.
    """
    if engine is None or not points:
        return []
    folder = chapter.artifact(f"{name}/plan.json").parent
    show = gate.progress(chapter)
    target = sweep.Target(engine.url, engine.model.name, engine.folder)
    try:
        with chapter.engine_time("load"):
            client = _client(chapter.artifact("client.log"))
            return sweep.run(target, points, effort, folder, client, lambda label: show(f"{name}: measured {label}", 0))
    except RunbookError as error:
        chapter.record(_failed(check, error), artifacts=sorted(folder.iterdir()), model=engine.model.name)
        return []


def expect(chapter: Chapter) -> None:
    """Have the load client ready by the time that servers are: it imports while they start."""
    _client(chapter.artifact("client.log")).ready()


def record(
    chapter: Chapter, results: Sequence[Result], family: str = "batching", model: str = "", **conditions: Scalar
) -> list[Measurement]:
    """Record the measurements of every point, each with the raw files that it was computed from."""
    return [
        written
        for result in results
        for written in chapter.record(
            *verdicts.measurements(result, family, **conditions),
            artifacts=result.files,
            model=model or chapter.profile.models.served,
            weights=gate.weights(chapter),
        )
    ]


@cache
def _client(log: Path) -> LoadClient:
    """Return the chapter's one load generator; it ends with the chapter's process."""
    client = LoadClient(log, command.inherited() | command.caches() | {"HF_HUB_OFFLINE": "1"})
    atexit.register(client.close)
    return client


def _failed(name: str, error: RunbookError) -> Check:
    return Check(
        name=name,
        title="Every request of the load was answered in full",
        status="fail",
        expected="the load runs to its end",
        observed=error.what,
        fix=f"read {error.where} and the engine's log in the raw files",
    )
