"""Terminal text on a page."""

from pathlib import Path

import pytest
from markupsafe import Markup

from lib.core import paths
from lib.report.text import capitalize_first, excerpt, plain, portable, size


def test_colours_go_and_progress_bars_show_their_last_state() -> None:
    assert plain("\x1b[1;31mred\x1b[0m\n10 %\r55 %\r100 %\n") == "red\n100 %"
    assert plain("\x1b]8;;https://x\x07link\x1b]8;;\x07") == "link"
    assert plain("line\r\nnext\r\n") == "line\nnext"
    assert plain("bell\x07 and nul\x00") == "bell and nul"


def test_folders_of_this_machine_do_not_travel() -> None:
    told = portable(f'File "{paths.ROOT}/lib/core/run.py", {paths.ROOT}, {Path.home()}/x')
    assert told == 'File "lib/core/run.py", ., ~/x'


def test_long_text_keeps_its_beginning_and_its_end() -> None:
    text = "\n".join(str(number) for number in range(100))
    short = excerpt(text, head=3, tail=2)
    assert (short.head, short.omitted, short.tail) == ("0\n1\n2", 95, "98\n99")


def test_text_that_is_only_a_little_longer_is_kept_whole() -> None:
    text = "\n".join(str(number) for number in range(8))
    assert excerpt(text, head=3, tail=2).head == text
    assert excerpt(text, head=3, tail=2).omitted == 0


def test_sizes() -> None:
    assert [size(999), size(1000), size(2_500_000)] == ["999 B", "1.0 kB", "2.5 MB"]


@pytest.mark.parametrize(
    ("markup", "told"),
    [
        ("chapter 05", "Chapter 05"),
        ('<a href="#a">chapter 05</a>', '<a href="#a">Chapter 05</a>'),
        (" <b> word", " <b> Word"),
        ("", ""),
    ],
)
def test_the_first_letter_is_a_capital_inside_an_element_too(markup: str, told: str) -> None:
    assert capitalize_first(Markup(markup)) == told  # test data
