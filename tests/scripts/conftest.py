"""Fixtures of the set-up's tests. Nothing reaches a real index; programs are stood in for on the PATH."""

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_index import Index, Project, wheel


@pytest.fixture(scope="session")
def own_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pip that runs these tests, packed as a wheel again."""
    distribution = importlib.metadata.distribution("pip")
    files = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in distribution.files or ()
        if str(file).startswith("pip/") and not str(file).endswith(".pyc")
    }
    return wheel(tmp_path_factory.mktemp("pip"), "pip", distribution.version, files)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "index").mkdir()
    served = Index(tmp_path / "index")
    yield served
    served.close()


@pytest.fixture
def project(tmp_path: Path, index: Index, own_pip: Path) -> Project:
    (tmp_path / "project folder").mkdir()
    return Project(tmp_path / "project folder", index, own_pip)


@pytest.fixture
def shims(tmp_path: Path) -> Callable[..., Path]:
    """Put stand-ins for programs into a folder; each logs how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name: str, body: str = "exit 0") -> Path:
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\n{body}\n')
        path.chmod(0o755)
        return folder

    return put
