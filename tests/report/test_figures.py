"""Figures: their data as a table beside them, their JSON safe inside the page."""

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lib.core import display
from lib.report.figures import MAX_ROWS, embed, figure, table, values


def bundle(plot: go.Figure, caption: str = "A caption") -> dict[str, Any]:
    display.setup()
    return dict(display.figure(plot, caption)._repr_mimebundle_()[display.Figure.MIME])


def test_series_over_a_common_axis_stand_side_by_side() -> None:
    plot = go.Figure(
        [
            go.Scatter(x=np.array([1, 4]), y=np.array([40.5, 131.0]), name="vLLM", error_y={"array": [1.5, 2]}),
            go.Scatter(x=[4, 16], y=[80, None], name="other"),
        ]
    )
    plot.update_layout(xaxis_title="concurrency", yaxis_title="tok/s")
    made = figure(bundle(plot), 3)
    assert (made.number, made.caption) == (3, "A caption")
    assert made.heads == ["concurrency", "vLLM", "other"]
    assert made.rows == [["1", "40.5 ± 1.5", ""], ["4", "131 ± 2", "80"], ["16", "", ""]]


def test_a_single_series_is_headed_by_its_axis_and_bars_may_lie() -> None:
    plot = go.Figure(go.Bar(x=[3, 5], y=["chapter 1", "chapter 2"], orientation="h"))
    plot.update_layout(xaxis_title="checks")
    assert table(bundle(plot)["data"], bundle(plot)["layout"]) == (
        ["y", "checks"],
        [["chapter 1", "3"], ["chapter 2", "5"]],
    )


def test_other_kinds_are_listed_point_by_point() -> None:
    heat = go.Heatmap(z=np.arange(4.0).reshape(2, 2), x=["a", "b"], y=["low", "high"], name="heat")
    heads, rows = table(bundle(go.Figure(heat))["data"], {})
    assert heads == ["series", "x", "y", "z"]
    assert rows == [["heat", "a", "low", "0, 1"], ["heat", "b", "high", "2, 3"]]
    heads, rows = table([{"type": "pie", "labels": ["a"], "values": [0.25]}], {})
    assert rows == [["pie", "a", "0.25"]]


def test_a_label_of_two_lines_is_one_line_in_the_table() -> None:
    _, rows = table([{"x": [1], "y": ["model<br>from disk"], "orientation": "h"}], {})
    assert rows == [["model · from disk", "1"]]


def test_a_figure_without_data_has_no_rows() -> None:
    assert figure({"data": [], "layout": {}}, 1).rows == []
    assert figure({"data": [], "layout": {}}, 1).caption == "Untitled"


def test_long_data_is_cut_and_says_so() -> None:
    made = figure(bundle(go.Figure(go.Scatter(x=list(range(500)), y=list(range(500))))), 1)
    assert len(made.rows) == MAX_ROWS
    assert made.omitted == 500 - MAX_ROWS


def test_plotly_arrays_are_decoded_with_their_shape() -> None:
    array = np.array([[1, 2], [3, 4]], dtype="i2")
    coded = bundle(go.Figure(go.Heatmap(z=array)))["data"][0]["z"]
    assert "bdata" in coded
    assert values(coded) == [[1, 2], [3, 4]]


def test_json_cannot_end_the_element_that_holds_it() -> None:
    value = {"a": "</script><!-- <script> & \u2028"}
    text = embed(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
