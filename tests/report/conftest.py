"""The sample run, executed once for all tests of the document, and what is rendered from it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report.sample_run import build

from lib.report.render import english, render


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the sample run; tests must not change it."""
    return build(tmp_path_factory.getbasetemp() / "sample")


@pytest.fixture
def copied(sample: Path, tmp_path: Path) -> Path:
    """Return a copy of the sample run that a test may damage."""
    return Path(shutil.copytree(sample, tmp_path / sample.name))


@pytest.fixture(scope="session")
def document(sample: Path) -> str:
    """Return the document of the sample run."""
    return render(sample).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def written(sample: Path) -> str:
    """Return the document of the sample run as it is written, in English alone."""
    return english(sample, in_place=True)


@pytest.fixture
def edit(copied: Path) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """Return a function that changes the copy's `run.json`."""

    def change(how: Callable[[dict[str, Any]], None]) -> None:
        state = json.loads((copied / "run.json").read_text())
        how(state)
        (copied / "run.json").write_text(json.dumps(state))

    return change
