"""What a chapter's result depends on, as one digest: notebook, code, data, profile, mode, machine, earlier chapters."""

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from lib.core import fingerprint, paths
from lib.core.notebook import Source
from lib.core.sections import Profile

# What the document looks like, and what it shows beside the run, does not change what a chapter finds; profiles count
# by their merged content. The briefing's claims and what they are held against are read by the last chapter only.
_NOT_INPUTS = ("profiles", "report", "runs")
_LAST_ONLY = ("claims.yml", "published.yml", "reference")
# So are prices and tariffs: what the owner pays changes nothing that is measured.
_PRICES = {"costs"}


def chapter_digest(source: Source, profile: Profile, mode: str, needs: Mapping[str, str]) -> str:
    """Return the digest of everything that the chapter's result depends on.

    Parameters
    ----------
    needs : mapping of str to str
        Digest of each chapter that this one needs.
    """
    cells = [(cell.kind, cell.source, cell.tags) for cell in source.cells]
    code = "\n".join(cell.source for cell in source.cells if cell.kind == "code")
    return fingerprint.digest(
        {
            "cells": cells,
            "metadata": source.metadata.model_dump(),
            "code": {paths.short(path): _content(path) for path in sorted(closure(code))},
            "data": {paths.short(path): _content(path) for path in sorted(_data(source.metadata.last))},
            "profile": profile.model_dump(mode="json", exclude=None if source.metadata.last else _PRICES),
            "mode": mode,
            "host": fingerprint.facts(),
            "recorded": os.environ.get("RUNBOOK_HOST", ""),
            "needs": dict(needs),
        }
    )


def closure(code: str, root: Path = paths.ROOT) -> set[Path]:
    """Return the files of `lib` that this source imports, directly or through one another."""
    found: set[Path] = set()
    queue = [path for name in _imports(code) for path in _files(name, root)]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue.extend(_imported(path, root))
    return found


@cache  # most chapters rest on the same modules
def _imported(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the files that a module imports itself."""
    return tuple(file for name in _imports(path.read_text(encoding="utf-8")) for file in _files(name, root))


def _imports(code: str) -> Iterator[str]:
    """Yield the dotted names below `lib` that a module or a notebook's code imports."""
    for node in ast.walk(ast.parse(_without_magics(code))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "lib")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lib":
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_magics(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if not line.startswith(("%", "!")))


def _files(dotted: str, root: Path) -> Iterator[Path]:
    """Yield the file of a module and those of the packages above it; a name that is no module yields its package."""
    parts = dotted.split(".")
    for length in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:length])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                yield candidate


def _data(last: bool) -> Iterable[Path]:
    left_out = _NOT_INPUTS if last else (*_NOT_INPUTS, *_LAST_ONLY)
    for path in paths.RUNBOOK.rglob("*"):
        if path.is_file() and path.relative_to(paths.RUNBOOK).parts[0] not in left_out:
            yield path


@cache
def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
