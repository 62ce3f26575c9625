"""A gateway for each test that asks for one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Loop, MakeTown, StandIn, Town, town


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def make_town(tmp_path: Path, loop: Loop) -> Iterator[MakeTown]:
    """Return a function that runs a gateway in front of stand-ins with these names."""
    with contextlib.ExitStack() as stack:

        def make(*names: str, sleep_s: float = 0.0, asleep: tuple[str, ...] = (), **settings: Any) -> Town:
            fakes = {name: StandIn(loop, sleep_s, name in asleep) for name in names or ("a",)}
            for fake in fakes.values():
                stack.callback(fake.end)
            return stack.enter_context(town(tmp_path, fakes=fakes, loop=loop, **settings))

        yield make
