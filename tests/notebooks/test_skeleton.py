"""Every chapter has the same skeleton, thin cells, stable ids and no outputs."""

import ast
import re

import pytest

from lib.core import graph, notebook
from lib.core.notebook import Source

SECTIONS = ["Look", "Plan", "Do", "Verify", "Measure", "Decide", "Undo"]
SOURCES = notebook.sources()
LONGEST_CELL = 10

chapters = pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])


def test_the_chapters_of_this_runbook_are_there() -> None:
    ids = [source.id for source in SOURCES]
    assert ids == [*(f"{number:02}" for number in range(17)), "99"]


def test_the_graph_holds_together() -> None:
    assert len(graph.select(SOURCES)) == len(SOURCES)


@chapters
def test_sections_stand_in_order(source: Source) -> None:
    headings = [
        line[3:]
        for cell in source.cells
        if cell.kind == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("## ")
    ]
    assert headings == SECTIONS


@chapters
def test_opening(source: Source) -> None:
    first = source.cells[0]
    assert first.kind == "markdown"
    assert source.title
    assert len(source.summary) > 80, "one paragraph says what the owner gets"
    assert source.metadata.minutes > 0
    source.check_parameters()
    assert "chapter.header()" in source.cells[2].source


@chapters
def test_cells_are_thin_and_hold_no_logic(source: Source) -> None:
    for cell in source.cells:
        if cell.kind != "code":
            continue
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.id
        tree = ast.parse(cell.source)
        forbidden = (ast.FunctionDef, ast.ClassDef, ast.While, ast.Try)
        assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)], cell.id


@chapters
def test_no_outputs_and_readable_unique_ids(source: Source) -> None:
    ids = [cell.id for cell in source.cells]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{1,40}", cell_id) for cell_id in ids), ids
    code = [cell for cell in source.cells if cell.kind == "code"]
    assert not [cell.id for cell in code if cell.executed]
