"""The chapter graph: order, what is pulled in, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import graph, notebook
from lib.core.errors import RunbookError


@pytest.fixture
def sources(make_chapter: Callable[..., Path]) -> list[notebook.Source]:
    make_chapter("00")
    make_chapter("04")
    make_chapter("05", needs=["04"])
    make_chapter("06", needs=["05"])
    folder = make_chapter("99", last=True).parent
    return notebook.sources(folder)


def ids(chosen: list[notebook.Source]) -> list[str]:
    return [source.id for source in chosen]


def test_all_run_in_order(sources: list[notebook.Source]) -> None:
    assert ids(graph.select(sources)) == ["00", "04", "05", "06", "99"]


def test_what_a_chapter_needs_is_pulled_in(sources: list[notebook.Source]) -> None:
    assert ids(graph.select(sources, only=["06"])) == ["04", "05", "06"]


def test_from_begins_there(sources: list[notebook.Source]) -> None:
    assert ids(graph.select(sources, start="06")) == ["04", "05", "06", "99"]


def test_the_last_chapter_runs_last_however_it_is_named(sources: list[notebook.Source]) -> None:
    assert ids(graph.select(sources, only=["99", "05"])) == ["04", "05", "99"]


@pytest.mark.parametrize(("only", "start", "near"), [(["5"], "", "05"), (["07"], "", "06"), ([], "66", "06")])
def test_an_unknown_chapter_names_the_nearest(
    sources: list[notebook.Source], only: list[str], start: str, near: str
) -> None:
    with pytest.raises(RunbookError) as caught:
        graph.select(sources, only, start)
    assert "unknown chapter" in caught.value.what
    assert caught.value.nearest == near


def test_a_need_without_notebook_is_refused(make_chapter: Callable[..., Path]) -> None:
    folder = make_chapter("05", needs=["04"]).parent
    with pytest.raises(RunbookError, match="needs '04'"):
        graph.select(notebook.sources(folder))


def test_chapters_that_need_each_other_are_refused(make_chapter: Callable[..., Path]) -> None:
    make_chapter("04", needs=["05"])
    folder = make_chapter("05", needs=["04"]).parent
    with pytest.raises(RunbookError, match="need each other"):
        graph.select(notebook.sources(folder))
