"""Markdown cells: numbered sections, stable anchors, no path out."""

from itertools import count

import pytest

from lib.report.links import Links
from lib.report.markdown import Prose, highlight


@pytest.fixture
def prose() -> Prose:
    numbers = count(1)
    return Prose("05", Links(chapters=["02"]), lambda: next(numbers))


def test_sections_are_numbered_and_anchored(prose: Prose) -> None:
    assert prose.render("# Load\n\nA sentence.").strip() == "<p>A sentence.</p>"
    assert '<h3 id="chapter-05-look"><span class="number">5.1</span> Look</h3>' in prose.render("## Look")
    assert '<span class="number">5.2</span> Plan &amp; do' in prose.render("## Plan & do")
    assert [(heading.number, heading.title) for heading in prose.headings] == [("5.1", "Look"), ("5.2", "Plan & do")]


def test_the_same_heading_twice_has_two_anchors(prose: Prose) -> None:
    prose.render("## Look\n\n## Look\n\n## Look around")
    anchors = [heading.anchor for heading in prose.headings]
    assert anchors == ["chapter-05-look", "chapter-05-look-2", "chapter-05-look-around"]


def test_lower_headings_stay_below_their_section(prose: Prose) -> None:
    assert prose.render("### Detail").strip() == "<h4>Detail</h4>"
    assert prose.render("###### Deepest").strip() == "<h6>Deepest</h6>"


def test_tables_code_and_links(prose: Prose) -> None:
    html = prose.render("| a | b |\n|---|---|\n| 1 | `x<y` |\n\n[two](02_driver.ipynb#x) and <https://example.org/>")
    assert '<div class="scroll"><table>' in html
    assert "<code>x&lt;y</code>" in html
    assert '<a href="#chapter-02">two</a>' in html
    assert '<a href="https://example.org/"' in html


def test_a_number_and_its_unit_stay_on_one_line(prose: Prose) -> None:
    assert (
        prose.render("80 % of 128 GiB at 300 W, 4 x 2 models")
        == "<p>80\u00a0% of 128\u00a0GiB at 300\u00a0W, 4 x 2 models</p>\n"
    )


def test_markup_in_prose_is_cleaned(prose: Prose) -> None:
    html = prose.render("<kbd>F1</kbd> <script>alert(1)</script> [x](javascript:alert(1))")
    assert "<kbd>F1</kbd>" in html
    assert "script" not in html


def test_code_is_coloured_and_escaped() -> None:
    assert '<span class="s2">"&lt;b&gt;"</span>' in highlight('x = "<b>"')
    assert highlight("<b>", "no-such-language") == "<code>&lt;b&gt;</code>"
