"""Chapter 14's plots: where the time of a restore goes, and how soon each damage was noticed or outlived."""

import plotly.graph_objects as go

from lib.core import display
from lib.core.chapter import Chapter
from lib.resilience.backup.drill import Drilled

HOW = ("detected", "survived")


def steps(drilled: Drilled | None) -> display.Figure | display.Html:
    """Draw the steps of the restore, one after the other."""
    if drilled is None:
        return display.Html("<p>Nothing was restored.</p>", "Nothing was restored.")
    plot = go.Figure()
    for name, seconds in drilled.steps.items():
        plot.add_bar(name=name, x=[seconds], y=["restore drill"], orientation="h")
    plot.update_layout(barmode="stack", xaxis_title="s", yaxis={"automargin": True}, height=200)
    return display.figure(plot, "Where the time of a restore goes")


def damages(chapter: Chapter) -> display.Figure | display.Html:
    """Draw the seconds of every damage."""
    found = [check for check in chapter.checks("backup.damage_detected") if "seconds" in check.conditions]
    if not found:
        return display.Html("<p>Nothing was damaged.</p>", "Nothing was damaged.")
    plot = go.Figure()
    for how in HOW:
        rows = [check for check in found if check.conditions["how"] == how]
        plot.add_bar(
            name=how,
            x=[check.conditions["seconds"] for check in rows],
            y=[check.title for check in rows],
            orientation="h",
        )
    plot.update_layout(xaxis_title="s", yaxis={"autorange": "reversed", "automargin": True})
    return display.figure(plot, "Seconds until each damage was detected or survived")
