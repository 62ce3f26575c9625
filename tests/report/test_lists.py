"""Figures, tables and words: every one listed with a place that is in the page."""

import re

import pytest
from markupsafe import Markup

from lib.report import lists
from lib.report.cells import Html


def html(text: str) -> Html:
    return Html(Markup(text))  # test data


def names(*texts: str) -> list[str]:
    return [term.term for term in lists.used([html(text) for text in texts], lists.glossary())]


def test_places_of_words_are_unique() -> None:
    places = [term.place for term in lists.glossary()]
    assert len(places) == len(set(places))
    assert all(re.fullmatch(r"term-[a-z0-9-]+", place) for place in places)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<td>TTFT, median</td>", ["TTFT"]),
        ("the goodput is", ["Goodput"]),
        ("Decode is bound", ["Prefill, decode"]),
        ("<code>max_num_seqs</code>", ["max_num_seqs"]),
        ("TTFTs and non-TTFT, n = 3", []),
        ("ttft", []),
        ("", []),
    ],
)
def test_words_are_found_as_they_are_written(text: str, found: list[str]) -> None:
    assert names(text) == found


def test_what_is_in_a_tag_is_no_word() -> None:
    assert names('<a title="TTFT">x</a>') == []


def test_figures_and_tables_are_listed_with_their_captions_and_places(written: str) -> None:
    places = set(re.findall(r'\bid="([^"]+)"', written))
    for kind, words in (("Figure 2", "A heat map"), ("Table 1", "Checks of the machine")):
        place = kind.lower().replace(" ", "-")
        assert f'<li><a href="#{place}"><span class="number">{kind}</span></a> {words}</li>' in written
        assert place in places


def test_a_table_in_the_text_is_listed_as_text() -> None:
    caption = '<table><caption id="table-7"><span class="number">Table 7</span> A &lt; <b>B</b></caption></table>'
    (entry,) = lists.tables([[html(caption)]])
    assert (entry.number, entry.place) == (7, "table-7")
    assert entry.words.split() == ["A", "<", "B"]


def test_a_chapter_links_the_words_that_it_uses(document: str) -> None:
    load = document[document.index('id="chapter-04"') :]
    assert 'Words used here: <a href="#term-ttft">TTFT</a>' in load
