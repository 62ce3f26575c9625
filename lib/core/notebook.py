"""Chapter notebooks as files: their metadata, their parameters cell, their place in the graph."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.core import paths
from lib.core.errors import RunbookError, nearest

REQUIRED_PARAMETERS = ("profile", "mode", "run", "overrides")


class Metadata(BaseModel):
    """The `runbook` entry of a chapter's notebook metadata: what its header table is made from."""

    model_config = ConfigDict(extra="forbid")

    needs: list[str] = Field(default=[], description="Chapters that must have passed")
    minutes: float = Field(gt=0, description="Expected time before it was ever measured")
    risk: str
    changes: str
    undo: str
    last: bool = Field(default=False, description="Runs after all others, whatever became of them")


class Cell(NamedTuple):
    """One cell: what a digest and a reader need of it."""

    kind: str
    source: str
    tags: tuple[str, ...]
    id: str
    executed: bool


class Source:
    """One chapter notebook on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stem = path.stem
        self.id = path.stem.split("_", 1)[0]

    @cached_property
    def _content(self) -> dict[str, Any]:
        """The JSON, read plainly: every chapter's kernel does so, and nbformat alone takes a second to load."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return {"metadata": content["metadata"], "cells": content["cells"]}
        except (ValueError, KeyError, TypeError) as error:
            raise RunbookError(
                "not a notebook", where=paths.short(self.path), fix=f"git checkout -- {paths.short(self.path)}"
            ) from error

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells in order."""
        return [
            Cell(
                kind=cell["cell_type"],
                source="".join(cell["source"]),  # a text, or a list of lines
                tags=tuple(cell.get("metadata", {}).get("tags", ())),
                id=cell.get("id", ""),
                executed=bool(cell.get("outputs") or cell.get("execution_count")),
            )
            for cell in self._content["cells"]
        ]

    @cached_property
    def metadata(self) -> Metadata:
        """The chapter's own metadata, validated."""
        try:
            return Metadata.model_validate(self._content["metadata"].get("runbook", {}))
        except ValidationError as error:
            detail = error.errors()[0]
            raise RunbookError(
                f"chapter metadata: {'.'.join(map(str, detail['loc']))}: {detail['msg']}",
                where=f"{paths.short(self.path)}, metadata.runbook",
            ) from error

    @cached_property
    def title(self) -> str:
        """The first heading."""
        for cell in self.cells:
            if cell.kind == "markdown" and cell.source.startswith("# "):
                return cell.source.splitlines()[0][2:].strip()
        return self.stem

    @cached_property
    def summary(self) -> str:
        """The paragraph below the title: what the owner gets."""
        blocks = self.cells[0].source.split("\n\n") if self.cells else []
        return blocks[1].strip() if len(blocks) > 1 else ""

    def check_parameters(self) -> None:
        """Raise `RunbookError` unless there is a `parameters` cell that declares every required parameter."""
        from papermill.inspection import inspect_notebook

        if not any("parameters" in cell.tags for cell in self.cells):
            raise RunbookError(
                "the notebook has no cell tagged 'parameters'",
                where=paths.short(self.path),
                fix="tag the first code cell 'parameters' (JupyterLab: property inspector, Cell Tags)",
            )
        declared = set(inspect_notebook(str(self.path)))
        missing = [name for name in REQUIRED_PARAMETERS if name not in declared]
        if missing:
            raise RunbookError(
                f"the parameters cell does not declare: {', '.join(missing)}",
                where=paths.short(self.path),
                fix=f'add a line such as: {missing[0]} = ""',
            )


def sources(folder: Path = paths.NOTEBOOKS) -> list[Source]:
    """Return all chapters in reading order."""
    return [Source(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def find(chapter: str, folder: Path = paths.NOTEBOOKS) -> Source:
    """Return a chapter by its two digits or its file name without `.ipynb`; an unknown one names the nearest."""
    known = sources(folder)
    for source in known:
        if chapter in (source.id, source.stem):
            return source
    valid = [source.id for source in known]
    near = nearest(chapter, valid) or nearest(chapter, [source.stem for source in known])
    raise RunbookError(f"unknown chapter '{chapter}'", nearest=near, fix=f"chapters: {', '.join(valid)}")
