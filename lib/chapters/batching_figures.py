"""Chapter 06 as plots: throughput, latency, the front of what is possible, context, shared beginnings."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lib.core import display
from lib.core.evidence import Measurement, Scalar
from lib.core.sections import Batching

# Share of the best throughput at which a point counts as saturated.
SATURATED = 0.95
NOTHING = display.Html("<p>Nothing was measured: see the failed check above.</p>", "nothing was measured")


def series(
    found: Sequence[Measurement], name: str, same: Mapping[str, Scalar], key: str = "concurrency"
) -> list[Measurement]:
    """Return one metric's points by rising `key`, of those whose conditions have the values in `same`."""
    chosen = [m for m in found if m.name == name and all(m.conditions.get(k) == v for k, v in same.items())]
    return sorted(chosen, key=lambda m: float(str(m.conditions[key])))


def usual(found: Sequence[Measurement]) -> dict[str, Scalar]:
    """Return the lengths of the profile's first shape: those that were measured first."""
    first = next((m for m in found if m.name == "batching.output_throughput"), None)
    return {} if first is None else {key: first.conditions[key] for key in ("input_tokens", "output_tokens")}


def saturation(found: Sequence[Measurement]) -> int | None:
    """Return the smallest measured concurrency from which more requests at a time gave no more output.

    A point is saturated when the best of all lies within its 95 % interval or at most 5 % above its value; None where
    only the largest one is, since more might still give more.
    """
    points = series(found, "batching.output_throughput", usual(found))
    best = max((m.value for m in points), default=0.0)
    reached = [m for m in points if upper(m) >= best or m.value >= SATURATED * best]
    if not reached or reached[0] is points[-1]:
        return None
    return int(str(reached[0].conditions["concurrency"]))


def upper(measurement: Measurement) -> float:
    """Return the upper end of a measurement's interval."""
    return measurement.interval[1] if measurement.interval else measurement.value


def throughput_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw output throughput against concurrency, with intervals and what no gain from batching would look like."""
    points = series(found, "batching.output_throughput", usual(found))
    if not points:
        return NOTHING
    alone = points[0]
    at = [m.conditions["concurrency"] for m in points]
    figure = go.Figure()
    figure.add_scatter(
        x=at,
        y=[m.value for m in points],
        error_y=error_bars(points),
        mode="lines+markers",
        name="all requests together",
    )
    figure.add_scatter(
        x=at,
        y=[m.value / float(str(m.conditions["concurrency"])) for m in points],
        mode="lines+markers",
        name="each request",
        line_dash="dot",
    )
    figure.add_hline(y=alone.value, line_dash="dash", line_color="#9aa4ad", annotation_text="one request alone")
    if (full := saturation(found)) is not None:
        figure.add_vline(x=full, line_dash="dot", line_color="#9aa4ad")
        # On a logarithmic axis plotly places lines by value and annotations by exponent.
        figure.add_annotation(x=math.log10(full), y=1, yref="paper", text=f"saturated from {full}", showarrow=False)
    figure.update_layout(xaxis_title="requests at a time", yaxis_title="output tokens per second", height=380)
    figure.update_xaxes(type="log", tickvals=at)
    return display.figure(figure, "Output throughput against concurrency; bars are 95 % intervals over repeats")


def latency_figure(found: Sequence[Measurement], load: Batching) -> display.Figure | display.Html:
    """Draw TTFT and TPOT against concurrency, each relative to the owner's limit for it."""
    if not found:
        return NOTHING
    figure = go.Figure()
    for name, title, limit in (
        ("batching.ttft_ms", "TTFT, median", load.ttft_limit_ms),
        ("batching.tpot_ms", "TPOT, median", load.tpot_limit_ms),
        ("batching.ttft_p95_ms", "TTFT, 95th percentile", load.ttft_limit_ms),
        ("batching.tpot_p95_ms", "TPOT, 95th percentile", load.tpot_limit_ms),
    ):
        points = series(found, name, usual(found))
        dash = "dot" if "p95" in name else "solid"
        colour = display.PALETTE[0] if "ttft" in name else display.PALETTE[1]
        figure.add_scatter(
            x=[m.conditions["concurrency"] for m in points],
            y=[100 * m.value / limit for m in points],
            customdata=[m.value for m in points],
            hovertemplate="%{customdata:.1f} ms, %{y:.0f} % of the limit",
            mode="lines+markers",
            name=title,
            line={"dash": dash, "color": colour},
        )
    figure.add_hline(y=100, line_color="#b8322a", annotation_text="limit of the profile")
    figure.update_layout(xaxis_title="requests at a time", yaxis_title="per cent of the limit", height=380)
    figure.update_xaxes(type="log", tickvals=load.concurrency)
    return display.figure(
        figure, f"Latency against the limits: TTFT {load.ttft_limit_ms:g} ms, TPOT {load.tpot_limit_ms:g} ms"
    )


def pareto_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw what all requests get together against what each of them gets; the front is what cannot be improved on."""
    loads = [m for m in found if m.name == "batching.output_throughput"]
    speeds = {_load(m): 1000 / m.value for m in found if m.name == "batching.tpot_ms" and m.value > 0}
    placed = sorted((speeds[_load(m)], m.value, _told(m)) for m in loads if _load(m) in speeds)
    if not placed:
        return NOTHING
    best = [point for point in placed if not any(x > point[0] and y > point[1] for x, y, _ in placed)]
    figure = go.Figure()
    figure.add_scatter(
        x=[x for x, _, _ in placed],
        y=[y for _, y, _ in placed],
        text=[label for _, _, label in placed],
        mode="markers",
        name="operating points",
    )
    figure.add_scatter(
        x=[x for x, _, _ in best], y=[y for _, y, _ in best], mode="lines", name="front", line_dash="dot"
    )
    figure.update_layout(
        xaxis_title="tokens per second of each request (1 / TPOT)", yaxis_title="output tokens per second", height=380
    )
    return display.figure(figure, "What all get together against what each gets: the Pareto front")


def context_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw TTFT and TPOT of one request alone against the length of its prompt."""
    first = series(found, "batching.context.ttft_ms", {}, "input_tokens")
    further = series(found, "batching.context.tpot_ms", {}, "input_tokens")
    if not first:
        return display.Html("<p>No context lengths are set for this profile.</p>", "no context lengths")
    figure = go.Figure()
    for points, title in ((first, "TTFT, median"), (further, "TPOT, median")):
        figure.add_scatter(
            x=[m.conditions["input_tokens"] for m in points],
            y=[m.value for m in points],
            error_y=error_bars(points),
            mode="lines+markers",
            name=title,
        )
    figure.update_layout(xaxis_title="tokens in the prompt", yaxis_title="ms", height=360)
    figure.update_yaxes(type="log")
    return display.figure(figure, "What a longer context costs one request alone; bars are 95 % intervals")


def error_bars(points: Sequence[Measurement]) -> dict[str, object]:
    """Return plotly's error bars from the intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [upper(m) - m.value for m in points],
        "arrayminus": [m.value - m.interval[0] if m.interval else 0 for m in points],
        "color": "#7b8794",
        "thickness": 1.2,
    }


def _load(measurement: Measurement) -> tuple[tuple[str, Scalar], ...]:
    return tuple(measurement.conditions.items())


def _told(measurement: Measurement) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in measurement.conditions.items())
