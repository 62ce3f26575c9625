"""Output throughput against concurrency: the reference models, this run where it has the same, published points."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from lib.core import display
from lib.core.evidence import Measurement, Scalar
from lib.report import figures
from lib.report.beside import Beside, Group, Row, family, model_title
from lib.report.published import Figure

QUANTITY = "batching.output_throughput"
MOST_SERIES = 6
HEIGHT = 460
Series = dict[str, list[tuple[float, Measurement]]]


def throughput(shown: Beside, number: int) -> figures.Figure | None:
    """Return the figure with its number, or None where no bundle measured throughput over concurrency."""
    groups = [group for group in [*shown.both, *shown.there] if group.quantity == QUANTITY]
    there = _reference(shown, groups)
    if not there:
        return None
    chosen = dict(sorted(there.items(), key=lambda item: -len(item[1]))[:MOST_SERIES])
    drawn = go.Figure()
    for name, points in chosen.items():
        _line(drawn, name, points, "solid")
    for name, points in _series([group for group in groups if any(row.shared for row in group.rows)], -1).items():
        _line(drawn, name, points, "dot")
    marks = _published(shown, groups)
    for name, figures_published in marks.items():
        _marks(drawn, name, figures_published)
    at = sorted({float(x) for trace in drawn.data for x in trace.x})
    _axes(drawn, at)
    drawn.update_layout(meta={"caption": _caption(len(chosen), len(there), marked=bool(marks))})
    made = figures.figure(json.loads(drawn.to_json()), number)
    # Series have points at different places: the table beside the figure lists them all in one order.
    order = {display.number(x): x for x in at}
    return replace(made, rows=sorted(made.rows, key=lambda row: order.get(row[0], math.inf)))


def _reference(shown: Beside, groups: Sequence[Group]) -> Series:
    """Return the series of all bundles, each named by its machine or, where two have the same card, by its bundle."""
    cards = [bundle.machine.card for bundle in shown.bundles]
    found: Series = {}
    for index, bundle in enumerate(shown.bundles):
        known = bundle.machine.title if cards.count(bundle.machine.card) == 1 else bundle.name
        found |= _series(groups, index, known)
    return found


def _caption(shown: int, known: int, marked: bool) -> str:
    caption = "Output throughput of reference machines against concurrency, by input and output tokens; "
    caption += "axes are logarithmic"
    caption += "; diamonds are published figures with other settings" if marked else ""
    left = known - shown
    return caption + (f"; the {shown} series with the most points, {left} more are in the tables" if left else "")


def _axes(drawn: go.Figure, at: Sequence[float]) -> None:
    display.setup()
    ticks = _ticks([float(y) for trace in drawn.data for y in trace.y])
    drawn.update_layout(
        template="runbook",
        xaxis_title="requests at a time",
        yaxis_title="output tokens per second",
        height=HEIGHT,
        legend={"orientation": "h", "yanchor": "top", "y": -0.26, "x": 0, "font": {"size": 11}},
    )
    drawn.update_xaxes(type="log", tickvals=list(at), ticktext=[f"{x:g}" for x in at])
    drawn.update_yaxes(type="log", tickvals=ticks, ticktext=[display.number(y) for y in ticks])


def _ticks(values: Sequence[float]) -> list[float]:
    """Return 1, 2 and 5 times powers of ten around positive values, for an axis that names them in full."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = [step * 10.0**power for power in range(low, high + 1) for step in (1, 2, 5)]
    return [step for step in steps if min(values) / 2 <= step <= max(values) * 2]


def _series(groups: Sequence[Group], index: int, bundle: str = "") -> Series:
    """Return the points of one bundle, or of this run (index -1), a series for each setting beside concurrency."""
    found: Series = {}
    for row in (row for group in groups for row in group.rows):
        measured = row.here if index < 0 else row.there[index]
        concurrency = row.conditions.get("concurrency")
        # The axes are logarithmic: what gave nothing at all has no place on them.
        if measured is None or measured.value <= 0 or not isinstance(concurrency, int | float):
            continue
        found.setdefault(f"{_label(row)}, {bundle or 'this host'}", []).append((float(concurrency), measured))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def _label(row: Row) -> str:
    rest: Mapping[str, Scalar] = {key: value for key, value in row.conditions.items() if key != "concurrency"}
    lengths = ""
    if {"input_tokens", "output_tokens"} <= rest.keys():
        lengths = f" {rest['input_tokens']}/{rest['output_tokens']}"
    other = [f"{k.replace('_', ' ')} {v}" for k, v in rest.items() if k not in ("input_tokens", "output_tokens")]
    return ", ".join([model_title(row.model) + lengths, *other])


def _line(figure: go.Figure, name: str, points: Sequence[tuple[float, Measurement]], dash: str) -> None:
    measured = [m for _, m in points]
    spans = [m.interval or (m.value, m.value) for m in measured]
    figure.add_scatter(
        x=[x for x, _ in points],
        y=[m.value for m in measured],
        error_y={
            "type": "data",
            "array": [high - m.value for m, (_, high) in zip(measured, spans, strict=True)],
            "arrayminus": [m.value - low for m, (low, _) in zip(measured, spans, strict=True)],
            "thickness": 1.2,
        },
        mode="lines+markers",
        line_dash=dash,
        name=name,
    )


def _published(shown: Beside, groups: Sequence[Group]) -> dict[str, list[Figure]]:
    """Return the published points that fit on the axes, of the architectures that a bundle measured."""
    wanted = {family(row.model) for group in groups for row in group.rows if any(row.there)}
    found: dict[str, list[Figure]] = {}
    for figure in shown.published.figures if shown.published else []:
        fits = figure.quantity == QUANTITY and figure.unit == "tok/s" and figure.concurrency
        if fits and family(figure.model or figure.title) in wanted:
            name = ", ".join(part for part in (f"{figure.title} {figure.format}".strip(), figure.hardware) if part)
            found.setdefault(f"{name}, published", []).append(figure)
    return found


def _marks(figure: go.Figure, name: str, points: Sequence[Figure]) -> None:
    figure.add_scatter(
        x=[point.concurrency for point in points],
        y=[point.value for point in points],
        text=[point.setting for point in points],
        mode="markers",
        marker={"symbol": "diamond", "size": 10},
        name=name,
    )
