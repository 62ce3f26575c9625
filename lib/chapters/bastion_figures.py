"""Chapter 11: what the way in costs and how soon it is back, as plots."""

from collections.abc import Sequence

import plotly.graph_objects as go

from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Measurement

VERDICTS = ("bastion.openai_client", "bastion.http_p50", "bastion.stream_gap")
COSTS = {"bastion.ttft_tax_ms": "first token", "bastion.tpot_tax_ms": "each further token"}


def tax(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw what is added to the first and to each further token, by path delay."""
    if not found:
        return display.Html("<p>Nothing was measured.</p>", "Nothing was measured.")
    plot = go.Figure()
    for name, words in COSTS.items():
        chosen = [one for one in found if one.name == name]
        plot.add_bar(
            x=[f"{one.conditions['path_delay_ms']:g} ms round trip" for one in chosen],
            y=[one.value for one in chosen],
            name=words,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.interval[1] - one.value if one.interval else 0 for one in chosen],
                "arrayminus": [one.value - one.interval[0] if one.interval else 0 for one in chosen],
            },
        )
    plot.update_layout(yaxis_title="added, ms", barmode="group")
    return display.figure(plot, "What TLS, keys and the tunnel add, with 95 % intervals")


def recovery(chapter: Chapter) -> display.Figure | display.Html:
    """Draw the seconds to recovery of every fault."""
    found = chapter.measurements("bastion.recovery_seconds")
    if not found:
        return display.Html("<p>No fault was tried.</p>", "No fault was tried.")
    plot = go.Figure(go.Bar(x=[one.value for one in found], y=[one.title for one in found], orientation="h"))
    plot.update_layout(xaxis_title="seconds until served again", yaxis={"autorange": "reversed", "automargin": True})
    return display.figure(plot, "Seconds to recovery; 0 means that no request failed or was slow")
