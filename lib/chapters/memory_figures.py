"""Chapter 09's plots, and its search box."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Measurement
from lib.memory.evaluate.corpus import Question
from lib.memory.retrieve import Hit
from lib.memory.service import Memory

EXCERPT = 240


def quality(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Plot nDCG@10 and MRR of each method, with intervals."""
    plot = go.Figure()
    for name, title in (("memory.ndcg_at_10", "nDCG@10"), ("memory.mrr", "MRR")):
        rows = [m for m in found if m.name == name and m.interval]
        plot.add_bar(
            name=title,
            x=[str(m.conditions["method"]) for m in rows],
            y=[m.value for m in rows],
            error_y={
                "array": [m.interval[1] - m.value for m in rows if m.interval],
                "arrayminus": [m.value - m.interval[0] for m in rows if m.interval],
            },
        )
    if not plot.data or not plot.data[0].x:
        return display.Html("<p>Nothing was measured.</p>", "nothing was measured")
    plot.update_yaxes(title="score", range=[0, 1])
    return display.figure(plot, "How well each method finds the right file; whiskers are 95 % intervals")


def saves(seconds: Sequence[float]) -> display.Figure | display.Html:
    """Plot the time from each save to the search that finds it."""
    if not seconds:
        return display.Html("<p>Nothing was saved.</p>", "nothing was saved")
    plot = go.Figure(go.Scatter(x=list(range(1, len(seconds) + 1)), y=list(seconds), mode="markers", name="save"))
    plot.add_hline(y=2, line_dash="dash", annotation_text="limit for p95")
    plot.update_xaxes(title="save")
    plot.update_yaxes(title="s", rangemode="tozero")
    return display.figure(plot, "From the save to the answer that has it")


def box(chapter: Chapter, memory: Memory | None, questions: Sequence[Question]) -> Any:
    """Return a search box, or, headless, what the first question of the corpus finds."""
    if memory is None:
        return display.Html("<p>No memory is open.</p>", "no memory is open")
    if chapter.headless:
        question = questions[0].text
        return results(question, memory.search(question, 3).hits)
    import ipywidgets as widgets

    field = widgets.Text(placeholder="a question, in any words", layout={"width": "60%"})
    shown = widgets.HTML()

    def ask(_: Any) -> None:
        shown.value = results(field.value, memory.search(field.value).hits).markup if field.value.strip() else ""

    button = widgets.Button(description="Search", icon="search")
    button.on_click(ask)
    field.continuous_update = False
    field.observe(ask, names="value")
    return widgets.VBox([widgets.HBox([field, button]), shown])


def results(question: str, hits: Sequence[Hit]) -> display.Html:
    """Show hits with their places; what a file says is shown as text, never as markup."""
    rows = [
        {
            "File": display.code(hit.path),
            "Below": display.quoted(" > ".join(hit.heading)) if hit.heading else "",
            "Bytes": f"{hit.start}-{hit.end}",
            "Text": display.quoted(hit.text.strip()[:EXCERPT]),
        }
        for hit in hits
    ]
    return display.table(rows, f"Found for: “{html.unescape(question)}”", numeric=("Bytes",))
