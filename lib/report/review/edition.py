"""An edition: what a reviewer reads, under one digest - the evidence, and every text that he may correct."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.core import evidence, paths
from lib.core.state import RunState
from lib.report import cells

# Data and templates that reach a host: what a reviewer may correct beside the notebooks.
DEPLOYED = ("profiles", "templates", "claims.yml", "models.yml")


@dataclass(frozen=True)
class Text:
    """A text that may be corrected.

    Parameters
    ----------
    path : str
        Below the project's folder.
    cell : str
        Id of a notebook's cell; empty for other files.
    text : str
        As it was when the run was made.
    kind : str
        `markdown` or `code` for a cell, else `file`.
    """

    path: str
    cell: str
    text: str
    kind: str = "file"

    @cached_property
    def sha256(self) -> str:
        """Of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Edition:
    """What was read: a run's evidence and its sources."""

    run: str
    evidence: str
    texts: tuple[Text, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the evidence and every source: it changes when any of them does."""
        content = {
            "evidence": self.evidence,
            "sources": sorted([text.path, text.cell, text.sha256] for text in self.texts),
        }
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()

    def of(self, path: str, cell: str = "") -> Text | None:
        """Return a source by its place."""
        return next((text for text in self.texts if (text.path, text.cell) == (path, cell)), None)


def of_run(run: Path, state: RunState, root: Path = paths.ROOT) -> Edition:
    """Return the edition of a run: its evidence, its notebooks as they ran, and the files that are deployed now."""
    ledger = run / "evidence.jsonl"
    digest = evidence.sha256(ledger) if ledger.exists() else hashlib.sha256(b"").hexdigest()
    texts = [*_notebooks(run, state), *_files(root, state.profile)]
    return Edition(state.id, digest, tuple(texts))


def _notebooks(run: Path, state: RunState) -> Iterable[Text]:
    for chapter in state.chapters:
        notebook = cells.read(run / "chapters" / f"{chapter.stem}.ipynb")
        for cell in notebook.cells if notebook is not None else ():
            if cell.get("id") and cells.belongs_to_source(cell):
                yield Text(f"notebooks/{chapter.stem}.ipynb", cell.id, cell.source, cell.cell_type)


def _files(root: Path, profile: str) -> Iterable[Text]:
    for name in DEPLOYED:
        place = root / "runbook" / name
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        for file in files:
            if name == "profiles" and file.stem != profile:
                continue
            try:
                yield Text(file.relative_to(root).as_posix(), "", file.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue  # a picture or an archive: nothing to correct by hand
