"""A small owner's memory, its keys and a repository, made once; every test damages a copy of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.resilience.backup.damage.arena import Arena

needs_restic = pytest.mark.skipif(not shutil.which("restic"), reason="make setup installs restic")


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    if not shutil.which("restic"):
        pytest.skip("make setup installs restic")
    place = tmp_path_factory.mktemp("backup") / "arena"
    with Arena(place, profiles.load("embedded")) as made:
        *known, _ = sorted(made.golden.notes)
        made.remember(*(place / "notes" / name for name in known))
        made.back_up()
        yield made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with a password, mode 0600."""
    path = tmp_path / "password"
    path.write_text("a-password-of-the-test\n")
    path.chmod(0o600)
    return path
