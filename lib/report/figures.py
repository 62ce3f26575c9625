"""Plotly figures: kept as data, drawn by the page; beside each the numbers that it shows, as a table."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lib.core import display

MAX_ROWS = 200
DEFAULT_HEIGHT = 420


@dataclass(frozen=True)
class Figure:
    """A numbered figure: its caption, its plotly data, and the table that says the same in words and numbers."""

    kind: ClassVar[str] = "figure"
    number: int
    caption: str
    height: int
    heads: list[str]
    rows: list[list[str]]
    omitted: int
    data: Markup


def library() -> str:
    """Return plotly's source as a page may carry it: HTML forbids two control characters that stand in its strings."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", lambda found: f"\\x{ord(found[0]):02x}", get_plotlyjs())


def figure(bundle: Mapping[str, Any], number: int) -> Figure:
    """Make a figure from a plotly MIME bundle, ``{"data": […], "layout": {…}}``."""
    layout = bundle.get("layout") or {}
    caption = str((layout.get("meta") or {}).get("caption") or _text(layout.get("title")) or "Untitled")
    heads, rows = table(bundle.get("data") or [], layout)
    return Figure(
        number=number,
        caption=caption,
        height=int(layout.get("height") or DEFAULT_HEIGHT),
        heads=heads,
        rows=rows[:MAX_ROWS],
        omitted=max(0, len(rows) - MAX_ROWS),
        data=embed({"data": bundle.get("data") or [], "layout": layout}),
    )


def embed(value: object) -> Markup:
    """Return JSON that is safe inside a script element: no `<`, so neither `</script>` nor `<!--` can appear."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # the characters that could end the element are escaped above


def table(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a figure's data.

    Series over a common axis stand side by side, one row a position; other kinds are listed one row a point.
    """
    if traces and all("x" in trace and "y" in trace and "z" not in trace for trace in traces):
        return _side_by_side(traces, layout)
    return _one_by_one(traces)


def _side_by_side(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    flat = all(trace.get("orientation") == "h" for trace in traces)
    across, along = ("y", "x") if flat else ("x", "y")
    first = _text((layout.get(f"{across}axis") or {}).get("title")) or across
    value = _text((layout.get(f"{along}axis") or {}).get("title")) or along
    names = [
        str(trace.get("name") or (value if len(traces) == 1 else f"series {i}")) for i, trace in enumerate(traces, 1)
    ]
    rows: dict[str, list[str]] = {}
    for column, trace in enumerate(traces):
        spread = _spread(trace, along)
        for index, (position, point) in enumerate(zip(values(trace[across]), values(trace[along]), strict=False)):
            row = rows.setdefault(_cell(position), [""] * len(traces))
            text = _cell(point) + (spread[index] if index < len(spread) else "")
            row[column] = f"{row[column]}; {text}" if row[column] else text
    return [first, *names], [[position, *row] for position, row in rows.items()]


def _spread(trace: Mapping[str, Any], axis: str) -> list[str]:
    """Return the error bars of a trace as text, `±` or lower and upper."""
    bars = trace.get(f"error_{axis}") or {}
    above = values(bars.get("array"))
    below = values(bars.get("arrayminus"))
    if below:
        return [f" (−{_cell(low)}, +{_cell(high)})" for low, high in zip(below, above, strict=False)]
    return [f" ± {_cell(high)}" for high in above]


def _one_by_one(traces: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    keys = [key for key in ("labels", "values", "x", "y", "z", "r", "theta", "text") if any(key in t for t in traces)]
    rows = []
    for index, trace in enumerate(traces, start=1):
        name = str(trace.get("name") or trace.get("type") or f"series {index}")
        columns = [values(trace.get(key)) for key in keys]
        for point in range(max((len(column) for column in columns), default=0)):
            rows.append([name, *(_cell(column[point]) if point < len(column) else "" for column in columns)])
    return ["series", *keys], rows


def values(data: Any) -> list[Any]:
    """Return a plotly array as a list; plotly writes numpy arrays as base64 with `dtype` and `shape`."""
    if isinstance(data, Mapping) and "bdata" in data:
        array = np.frombuffer(base64.b64decode(data["bdata"]), dtype=np.dtype(str(data["dtype"])))
        shape = [int(length) for length in str(data.get("shape") or array.size).split(",")]
        return list(array.reshape(shape).tolist())
    return list(data) if isinstance(data, list | tuple) else []


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return display.number(value) if isinstance(value, int | float) else str(value).replace("<br>", " · ")


def _text(title: Any) -> str:
    text = title.get("text") if isinstance(title, Mapping) else title
    return Markup(str(text)).striptags() if text else ""  # noqa: S704  # tags are stripped, nothing is trusted
