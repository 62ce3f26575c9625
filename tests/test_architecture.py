"""The house: an import only ever points down, and rooms stay small."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core import paths

# From the top floor to the ground. Chapters may use every room below; the command line stands above all.
FLOORS = [
    "cli",
    "cli_report",
    "cli_deploy",
    "report",
    "chapters",
    "agents",
    "resilience",
    "edge",
    "gateway",
    "memory",
    "engine",
    "deploy",
    "lab",
    "host",
    "core",
]
FILES = sorted(path for path in (paths.ROOT / "lib").rglob("*.py"))
LONGEST_FILE = 330


def room(path: Path) -> str:
    parts = path.relative_to(paths.ROOT / "lib").parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lib."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "lib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lib."))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(paths.ROOT)) for path in FILES])
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    assert here in FLOORS, f"{here} has no floor yet"
    upward = [other for other in imports(path) if FLOORS.index(other) < FLOORS.index(here)]
    assert not upward


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(paths.ROOT)) for path in FILES])
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_nothing_of_the_makers_machine_is_in_the_repository() -> None:
    homes = [str(Path.home()) + "/", str(paths.ROOT) + "/"]
    suspects = [
        path for folder in ("lib", "notebooks", "runbook", "tests") for path in (paths.ROOT / folder).rglob("*")
    ]
    named = [
        path
        for path in suspects
        if path.suffix in (".py", ".ipynb", ".yml", ".txt", ".json", ".j2", ".css", ".js")
        and "runs" not in path.relative_to(paths.ROOT).parts[:2]
        and any(home in path.read_text(errors="replace") for home in homes if len(home) > 3)
    ]
    assert not named


def test_names_of_test_files_differ() -> None:
    """pytest imports a test file by its bare name, so two of one name end the collection of all."""
    names = Counter(path.name for path in (paths.ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert not [name for name, times in names.items() if times > 1]


def test_no_process_builds_grammars_that_nothing_asks_for() -> None:
    asked = "import lib, sys, jsonschema, chromadb; print([name for name in sys.modules if name.startswith('lark')])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
