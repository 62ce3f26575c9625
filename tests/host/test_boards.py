"""Versions, branches and the commands that install a driver."""

import subprocess
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import fuzz

from lib.host import boards


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("580.95.05", (580, 95, 5)), ("595", (595,)), ("13.0\n", (13, 0)), ("", None), ("none", None), ("1..2", None)],
)
def test_versions_become_numbers(text: str, numbers: boards.Version | None) -> None:
    assert boards.version(text) == numbers


@given(st.lists(st.integers(0, 999_999), min_size=1, max_size=4))
@fuzz
def test_a_version_is_read_back(numbers: list[int]) -> None:
    assert boards.version(".".join(map(str, numbers))) == tuple(numbers)


@given(st.text())
@fuzz
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = boards.version(text)
    assert found is None or all(part >= 0 for part in found)


def test_a_branch_is_reached_by_all_its_releases() -> None:
    assert boards.at_least((580, 95, 5), "580")
    assert boards.at_least((570, 133, 7), "570.133.07")
    assert not boards.at_least((570, 124, 6), "570.133.07")
    assert not boards.at_least((575, 51, 3), "575.57.08")


@pytest.mark.parametrize(
    ("branch", "day", "alive", "word"),
    [
        (580, date(2026, 11, 23), True, "long-term support, until June 2028"),
        (580, date(2028, 7, 1), False, "ended in June 2028"),
        (595, date(2026, 11, 23), True, "production"),
        (610, date(2026, 11, 23), False, "ended in August 2026"),
        (590, date(2026, 11, 23), False, "new features"),
        (560, date(2026, 11, 23), False, "not among"),
    ],
)
def test_branches_end(branch: int, day: date, alive: bool, word: str) -> None:
    assert boards.branch_state(branch, day)[0] is alive
    assert word in boards.branch_state(branch, day)[1]


def test_the_boards_of_this_card_and_their_first_drivers() -> None:
    first = {pci_id: board.first_driver for pci_id, board in boards.BOARDS.items()}
    assert first == {"10de:2bb1": "570.133.07", "10de:2bb4": "570.133.07", "10de:2bb5": "575.57.08"}
    assert boards.BOARDS["10de:2bb5"].source.endswith("/575.57.08/README.md")


@pytest.mark.parametrize("replaced", [None, 560, 580])
def test_the_commands_are_shell(replaced: int | None) -> None:
    commands = boards.install(580, replaced)
    subprocess.run(["bash", "-n", "-c", commands], check=True)
    assert "nvidia-driver-580-open" in commands
    assert commands.endswith("sudo reboot")
    assert ("purge" in commands) is (replaced == 560)
