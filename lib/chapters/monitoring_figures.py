"""Chapter 12: how soon an alert arrives and ends, as a plot."""

import plotly.graph_objects as go

from lib.core import display
from lib.core.chapter import Chapter

BARS = {"alert.fired_seconds": "fault to message", "alert.cleared_seconds": "mended to message"}


def seconds(chapter: Chapter) -> display.Figure | display.Html:
    """Draw both times of every alert."""
    if not chapter.measurements("alert."):
        return display.Html("<p>No alert was tried.</p>", "No alert was tried.")
    plot = go.Figure()
    for name, words in BARS.items():
        found = chapter.measurements(name)
        plot.add_bar(
            x=[one.value for one in found], y=[one.conditions["alert"] for one in found], name=words, orientation="h"
        )
    rows = len(chapter.measurements("alert.fired_seconds"))
    plot.update_layout(
        xaxis_title="seconds, at the pace of the drills",
        yaxis={"autorange": "reversed", "automargin": True, "dtick": 1},
        height=120 + 26 * rows,
    )
    return display.figure(plot, "Every alert, from the fault to the message, and from its end to the message of that")
