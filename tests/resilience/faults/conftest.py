"""One ground for all drills of a session."""

from collections.abc import Iterator

import pytest

from lib.resilience.faults.ground import Ground


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground(tmp_path_factory.mktemp("drills")) as made:
        yield made
