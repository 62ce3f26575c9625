"""Notebooks as blocks: outputs of every kind, errors, notebooks that were cut short."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from lib.report import cells
from lib.report.links import Links
from lib.report.markdown import Heading


def notebook(*made: Any) -> Any:
    return nbformat.v4.new_notebook(cells=list(made))


def code(source: str, *outputs: Any, count: int | None = 1, **metadata: Any) -> Any:
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def markdown(source: str, **metadata: Any) -> Any:
    return nbformat.v4.new_markdown_cell(source, metadata=metadata)


def shown(**data: Any) -> Any:
    return nbformat.v4.new_output("display_data", {key.replace("_", "/"): value for key, value in data.items()})


def stream(text: str, name: str = "stdout") -> Any:
    return nbformat.v4.new_output("stream", name=name, text=text)


def render(node: Any, finished: bool = True) -> tuple[list[cells.Block], list[Heading]]:
    return cells.blocks(node, "05", Links(), cells.Numbers(), finished)


def test_code_without_output_joins_the_cell_that_shows_something() -> None:
    blocks, _ = render(notebook(code("import os"), code("x = 1"), code("x", shown(text_html="<p>1</p>"))))
    assert [block.kind for block in blocks] == ["code", "html"]
    assert isinstance(blocks[0], cells.Code)
    assert blocks[0].html.striptags() == "import os x = 1 x"


def test_the_declaration_of_parameters_is_left_out_and_the_injected_ones_stay() -> None:
    parameters = code('profile = "embedded"', tags=["parameters"])
    injected = code('profile = "h200"', tags=["injected-parameters"])
    blocks, _ = render(notebook(parameters, injected, code("1", stream("1"))))
    assert isinstance(blocks[0], cells.Code)
    assert "h200" in blocks[0].html
    assert "embedded" not in blocks[0].html


def test_slow_cells_say_how_long_they_took() -> None:
    blocks, _ = render(notebook(code("wait()", stream("done"), papermill={"duration": 34.2})))
    assert isinstance(blocks[0], cells.Code)
    assert blocks[0].seconds == pytest.approx(34.2)
    blocks, _ = render(notebook(code("1", stream("1"), papermill={"duration": 0.2})))
    assert isinstance(blocks[0], cells.Code)
    assert blocks[0].seconds == 0


def test_pieces_of_a_stream_are_joined_and_trimmed() -> None:
    lines = [stream(f"line {number}\n") for number in range(60)]
    blocks, _ = render(notebook(code("talk()", *lines, stream("oh\n", "stderr"))))
    texts = [block for block in blocks if isinstance(block, cells.Text)]
    assert [text.stream for text in texts] == ["stdout", "stderr"]
    assert texts[0].excerpt.head.startswith("line 0\nline 1\n")
    assert texts[0].excerpt.tail.endswith("line 59")
    assert texts[0].excerpt.omitted == 60 - 22


def test_rich_outputs_prefer_figures_then_html_and_widgets_are_left_out() -> None:
    plot = {"application/vnd.plotly.v1+json": {"data": [], "layout": {}}, "text/html": "<p>no</p>"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "VBox()"}
    image = {"image/png": "aGVsbG8=\n", "text/plain": '<Figure "x">'}
    outputs = [nbformat.v4.new_output("display_data", data) for data in (plot, widget, image)]
    blocks, _ = render(notebook(code("show()", *outputs, shown(text_plain="text <b>"))))
    assert [block.kind for block in blocks] == ["code", "figure", "html", "text"]
    assert isinstance(blocks[2], cells.Html)
    assert blocks[2].html.startswith('<img src="data:image/png;base64,aGVsbG8=')


def test_html_outputs_are_cleaned() -> None:
    markup = "<style>p{}</style><p onclick='x()'>1</p><script>1</script>"
    blocks, _ = render(notebook(code("x", shown(text_html=markup))))
    assert isinstance(blocks[1], cells.Html)
    assert blocks[1].html == "<p>1</p>"


def test_an_error_ends_the_chapter_and_names_what_was_not_reached() -> None:
    frames = ["\x1b[31mTraceback\x1b[39m", *[f"frame {number}" for number in range(60)], "ValueError: no"]
    failed = code("boom()", nbformat.v4.new_output("error", ename="ValueError", evalue="no <b>", traceback=frames))
    rest = [markdown("## Verify\n\nText."), code("never()", count=None), markdown("## Undo")]
    marks = markdown('<span style="color:red">An Exception was encountered</span>', tags=["papermill-error-cell-tag"])
    blocks, headings = render(notebook(marks, markdown("## Look"), failed, *rest), finished=False)
    assert [block.kind for block in blocks] == ["html", "code", "error"]
    error = blocks[-1]
    assert isinstance(error, cells.Error)
    assert (error.name, error.message, error.unreached) == ("ValueError", "no <b>", ["Verify", "Undo"])
    assert error.traceback.head.startswith("Traceback\nframe 0")
    assert error.traceback.tail.endswith("ValueError: no")
    assert error.traceback.omitted > 0
    assert [heading.title for heading in headings] == ["Look"]


def test_a_chapter_that_was_cut_short_ends_at_the_first_cell_that_did_not_run() -> None:
    node = notebook(code("a", stream("a")), code("b", count=None), markdown("## Undo"), code("c", count=None))
    blocks, _ = render(node, finished=False)
    assert [block.kind for block in blocks] == ["code", "text", "unreached"]
    assert blocks[-1] == cells.Unreached(["Undo"])


def test_a_finished_chapter_may_hold_cells_that_need_no_execution() -> None:
    blocks, _ = render(notebook(code("", count=None), markdown("## Undo")))
    assert [block.kind for block in blocks] == ["html"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cells": 1}', b"\xff\xfe", b'{"nbformat": 4}'])
def test_a_damaged_notebook_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "05_x.ipynb"
    path.write_bytes(content)
    assert cells.read(path) is None
    assert cells.read(tmp_path / "missing.ipynb") is None
