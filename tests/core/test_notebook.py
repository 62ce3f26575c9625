"""Chapter files: title, metadata and the parameters cell."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import notebook
from lib.core.errors import RunbookError

MakeChapter = Callable[..., Path]


def test_title_summary_and_metadata_are_read(make_chapter: MakeChapter) -> None:
    source = notebook.Source(make_chapter("05", needs=["04"]))
    assert (source.id, source.title, source.summary) == ("05", "Chapter 05", "What it gives.")
    assert source.metadata.needs == ["04"]
    source.check_parameters()


def test_a_notebook_without_parameters_cell_is_refused(make_chapter: MakeChapter) -> None:
    with pytest.raises(RunbookError, match="no cell tagged 'parameters'") as caught:
        notebook.Source(make_chapter("05", parameters=None)).check_parameters()
    assert "05_test.ipynb" in caught.value.where


def test_a_missing_parameter_is_named(make_chapter: MakeChapter) -> None:
    with pytest.raises(RunbookError, match="does not declare: mode, run, overrides"):
        notebook.Source(make_chapter("05", parameters='profile = "embedded"')).check_parameters()


def test_unknown_metadata_is_named(make_chapter: MakeChapter) -> None:
    source = notebook.Source(make_chapter("05", metadata={"minutes": 1, "risk": "", "changes": "", "undo": "", "x": 1}))
    with pytest.raises(RunbookError, match="x: Extra inputs"):
        _ = source.metadata


def test_a_file_that_is_no_notebook_is_named(tmp_path: Path) -> None:
    for text in ("not json", "[]", "{}", '{"cells": []}'):
        (tmp_path / "05_bad.ipynb").write_text(text)
        with pytest.raises(RunbookError, match="not a notebook"):
            _ = notebook.Source(tmp_path / "05_bad.ipynb").cells


def test_lines_of_a_cell_may_be_a_list(tmp_path: Path) -> None:
    (tmp_path / "05_x.ipynb").write_text(
        '{"metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, "source": ["# T\\n", "\\n", "Sum."]}]}'
    )
    source = notebook.Source(tmp_path / "05_x.ipynb")
    assert (source.title, source.summary) == ("T", "Sum.")


def test_find_names_the_nearest(make_chapter: MakeChapter) -> None:
    folder = make_chapter("05").parent
    assert notebook.find("05", folder).id == notebook.find("05_test", folder).id == "05"
    with pytest.raises(RunbookError) as caught:
        notebook.find("5", folder)
    assert caught.value.nearest == "05"
