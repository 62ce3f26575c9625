"""Chapter 07, its figures: speed-up over concurrency, acceptance by position, speed-up over acceptance."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lib.core import display
from lib.core.evidence import Measurement, Scalar
from lib.engine.speculate import findings

NOTHING = display.Html("<p>Nothing was compared: see the checks above.</p>", "nothing was compared")


def speedup_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw the speed-up against concurrency, one panel a workload, with the line at 1."""
    curves = {label: findings.curves(found, label) for label in findings.labels(found)}
    names = list(dict.fromkeys(name for curve in curves.values() for name in curve))
    if not names:
        return NOTHING
    figure = make_subplots(cols=len(names), shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.03)
    for index, (label, by_workload) in enumerate(curves.items()):
        for column, name in enumerate(names, start=1):
            series = list(by_workload.get(name, {}).values())
            figure.add_scatter(
                x=[m.conditions["concurrency"] for m in series],
                y=[m.value for m in series],
                error_y=_error(series),
                mode="lines+markers",
                name=label,
                legendgroup=label,
                showlegend=column == 1,
                line_color=display.PALETTE[index % len(display.PALETTE)],
                row=1,
                col=column,
            )
    ticks = sorted({int(str(m.conditions["concurrency"])) for m in found if m.name == "spec.speedup"})
    figure.add_hline(y=1, line_dash="dash", line_color="#9aa4ad")
    figure.update_xaxes(type="log", tickvals=ticks, title_text="requests at a time")
    figure.update_yaxes(title_text="× decoding speed of the plain server", col=1)
    figure.update_layout(height=380, margin_t=64, legend_y=1.12)
    return display.figure(figure, "Speed-up against concurrency; above the line at 1 speculation pays")


def acceptance_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw the share of drafts that were accepted up to each position, at the smallest concurrency."""
    rates = [m for m in found if m.name == "spec.acceptance_rate"]
    if not rates:
        return NOTHING
    alone = min(int(str(m.conditions["concurrency"])) for m in rates)
    series: dict[tuple[str, str], list[Measurement]] = {}
    for m in rates:
        if m.conditions["concurrency"] == alone:
            key = (str(m.conditions["configuration"]), str(m.conditions["workload"]))
            series.setdefault(key, []).append(m)
    figure = go.Figure()
    workloads = list(dict.fromkeys(workload for _, workload in series))
    for (label, workload), points in series.items():
        figure.add_scatter(
            x=[m.conditions["position"] for m in points],
            y=[100 * m.value for m in points],
            mode="lines+markers",
            name=f"{label}, {workload}",
            line={
                "color": display.PALETTE[workloads.index(workload) % len(display.PALETTE)],
                "dash": "solid" if label == next(iter(series))[0] else "dot",
            },
        )
    figure.update_layout(xaxis_title="position in the draft", yaxis_title="per cent of the drafts accepted", height=380)
    figure.update_xaxes(dtick=1)
    figure.update_yaxes(range=[0, 105])
    return display.figure(figure, f"Acceptance by position; requests at a time: {alone}")


def cost_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw the speed-up of decoding against the tokens of a step: a line for the mean cost of a step.

    The dots are the measured speed-ups. A lookup has steps without a draft, which are cheaper: on text where it finds
    little, its dots lie above the line.
    """
    costs = [m for m in found if m.name == "spec.break_even_length"]
    if not costs:
        return NOTHING
    steps = [m for m in found if m.name == "spec.tokens_per_step"]
    gains = {_place(m): m for m in found if m.name == "spec.speedup"}
    longest = max([2.0, *(m.value for m in [*costs, *steps])]) * 1.1
    figure = go.Figure()
    for index, cost in enumerate(costs):
        label, concurrency = cost.conditions["configuration"], cost.conditions["concurrency"]
        colour = display.PALETTE[index % len(display.PALETTE)]
        name = f"{label}, {concurrency} at a time: {cost.value:.2f} tokens to break even"
        figure.add_scatter(
            x=[1, longest],
            y=[1 / cost.value, longest / cost.value],
            mode="lines",
            name=name,
            line_color=colour,
        )
        mine = [(m, gains[key]) for m in steps if (key := _place(m)) in gains and key[:2] == (label, concurrency)]
        figure.add_scatter(
            x=[m.value for m, _ in mine],
            y=[gain.value for _, gain in mine],
            mode="markers",
            text=[str(m.conditions["workload"]) for m, _ in mine],
            hovertemplate="%{text}: %{x:.2f} tokens of a step, %{y:.2f} ×",
            marker={"color": colour, "size": 9},
            showlegend=False,
        )
    figure.add_hline(y=1, line_dash="dash", line_color="#9aa4ad")
    figure.update_layout(
        xaxis_title="tokens of a decoding step", yaxis_title="× decoding speed of the plain server", height=420
    )
    return display.figure(
        figure, "What acceptance would pay: lines from the mean time of a step, dots the speed-up of each workload"
    )


def _place(m: Measurement) -> tuple[Scalar, Scalar, Scalar]:
    return m.conditions["configuration"], m.conditions["concurrency"], m.conditions["workload"]


def _error(series: Sequence[Measurement]) -> dict[str, object]:
    above = [m.interval[1] - m.value if m.interval else 0 for m in series]
    below = [m.value - m.interval[0] if m.interval else 0 for m in series]
    return {"type": "data", "array": above, "arrayminus": below, "color": "#7b8794", "thickness": 1.2}
