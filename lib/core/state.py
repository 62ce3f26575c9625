"""The state of a run on disk: `run.json`, the machine interface, always whole and always true."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from lib.core import paths
from lib.core.chapter import Mode
from lib.core.errors import RunbookError, nearest

SCHEMA = 1
ChapterStatus = Literal["pending", "running", "passed", "failed", "skipped", "interrupted"]


class ChapterState(BaseModel):
    """One chapter of a run, as `run.json` tells it."""

    id: str
    title: str
    status: ChapterStatus = "pending"
    seconds: float = 0
    reused: bool = False
    error: str = ""
    stem: str
    summary: str = ""
    expected_seconds: float = 0
    digest: str = ""


class RunState(BaseModel):
    """The content of `run.json`; the machine interface of DESIGN, plus what the document's front page shows."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    id: str
    profile: str
    mode: Mode
    started: datetime
    seconds: float = 0
    chapters: list[ChapterState]
    checks: dict[str, int] = {}
    complete: bool = False
    resumed: int = 0
    profile_title: str = ""
    overrides: dict[str, Any] = {}
    host: dict[str, str] = {}
    engine_seconds: float = 0
    overhead_fraction: float | None = None

    model_config = {"populate_by_name": True}


def read_state(folder: Path) -> RunState:
    """Read a run's `run.json`.

    Raises
    ------
    RunbookError
        There is no run in the folder, or its state is damaged.
    """
    try:
        return RunState.model_validate_json((folder / "run.json").read_bytes())
    except FileNotFoundError as error:
        raise RunbookError("no run here", where=paths.short(folder), fix="python -m lib run") from error
    except ValidationError as error:
        detail = error.errors()[0]
        raise RunbookError(
            f"damaged run.json: {detail['msg']}",
            where=paths.short(folder / "run.json"),
            fix="python -m lib run --fresh",
        ) from error


def find(run: str, runs: Path) -> Path:
    """Return the folder of a run by its id or `latest`; an unknown one names the nearest."""
    folder = runs / run
    if (folder / "run.json").exists():
        return folder
    known = sorted(path.parent.name for path in runs.glob("*/run.json") if not path.parent.is_symlink())
    raise RunbookError(f"no run '{run}'", where=paths.short(runs), nearest=nearest(run, known), fix="python -m lib run")


def earlier(runs: Path) -> Iterator[tuple[Path, RunState]]:
    """Yield runs, newest first; a damaged one is passed over, it is only a source of reuse."""
    folders = [path.parent for path in runs.glob("*/run.json") if not path.parent.is_symlink()]
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        try:
            yield folder, read_state(folder)
        except RunbookError:
            continue


def replace(path: Path, content: bytes) -> None:
    """Write a file aside, force it to disk and rename it into place."""
    aside = path.with_name(path.name + ".new")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def point(link: Path, target: str) -> None:
    """Let a symbolic link name another target, without a moment in which it names none."""
    aside = link.with_name(".latest.new")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(link)
