"""What runs between a start and a stop ends in every case."""

import pytest

from lib.core.lifetime import Lifetime


class Bell(Lifetime):
    def __init__(self, *, cracked: bool = False) -> None:
        self.cracked = cracked
        self.rung: list[str] = []

    def start(self) -> None:
        self.rung.append("start")
        if self.cracked:
            raise KeyboardInterrupt

    def stop(self) -> None:
        self.rung.append("stop")


def test_it_is_started_and_stopped() -> None:
    with Bell() as bell:
        assert bell.rung == ["start"]
    assert bell.rung == ["start", "stop"]


def test_what_is_within_may_fail() -> None:
    bell = Bell()
    with pytest.raises(ZeroDivisionError), bell:
        _ = 1 / 0
    assert bell.rung == ["start", "stop"]


def test_a_start_that_fails_half_way_is_stopped_too() -> None:
    bell = Bell(cracked=True)
    with pytest.raises(KeyboardInterrupt), bell:
        pass
    assert bell.rung == ["start", "stop"]
