"""Chapter 13's plot: when each fault was played, and how long until clients were served again."""

from collections.abc import Sequence

import plotly.graph_objects as go

from lib.core import display
from lib.resilience.faults.drill import Played


def timeline(played: Sequence[Played]) -> display.Figure | display.Html:
    """Draw every drill as a line in time, the seconds to recovery in front."""
    shown = [one for one in played if one.outcome is not None]
    if not shown:
        return display.Html("<p>No fault was played.</p>", "No fault was played.")
    names = [one.drill.title for one in shown]
    plot = go.Figure()
    plot.add_bar(
        y=names,
        x=[one.took_s for one in shown],
        base=[one.began_s for one in shown],
        orientation="h",
        name="the whole drill",
        marker_color="#d8dde3",
    )
    plot.add_bar(
        y=names,
        x=[one.outcome.recovery_s or 0 if one.outcome else 0 for one in shown],
        base=[one.began_s for one in shown],
        orientation="h",
        name="seconds to recovery",
        marker_color=["#1f5fa8" if one.green else "#c8553d" for one in shown],
    )
    plot.update_layout(
        barmode="overlay",
        height=120 + 24 * len(shown),
        xaxis_title="seconds since the first drill",
        yaxis={"autorange": "reversed", "automargin": True},
    )
    return display.figure(plot, "Faults in time, side by side; in front, how long until clients were served as before")
