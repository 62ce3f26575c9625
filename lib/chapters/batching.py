"""Chapter 06: what batching gives, as plots and as a decision."""

from collections.abc import Sequence

import plotly.graph_objects as go

from lib.chapters import serving
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement
from lib.core.profile import Batching
from lib.engine.bench import sweep
from lib.engine.bench.sweep import Result, Target
from lib.engine.serve import command
from lib.engine.serve.server import Server

NOTHING = display.Html("<p>Nothing was measured: see the failed check above.</p>", "nothing was measured")


def plan(load: Batching) -> display.Html:
    """Show the operating points before they are measured."""
    rows = [
        {
            "Concurrency": point.concurrency,
            "Input tokens": point.input_tokens,
            "Output tokens": point.output_tokens,
            "Warm-up requests": load.warmup_prompts * point.concurrency,
            "Counted requests": f"{load.repeats} × {load.prompts_per_slot * point.concurrency}",
        }
        for point in sweep.points(load)
    ]
    return display.table(rows, "Operating points", numeric=list(rows[0]))


def measure(chapter: Chapter, engine: Server | None, gate: Sequence[Check]) -> list[Result]:
    """Measure every operating point; nothing is measured where the engine answers wrong (the gate failed).

    A client that fails becomes a failed check `batching.completed`.
    """
    if engine is None or any(check.status == "fail" for check in gate):
        return []
    target = Target(engine.url, engine.model.name, engine.folder)
    folder = chapter.artifact("load/plan.json").parent
    show = serving.progress(chapter)
    try:
        with chapter.engine_time("load"):
            return sweep.run(
                target,
                chapter.profile.batching,
                folder,
                command.inherited() | command.caches() | command.environment(chapter.profile),
                lambda label: show(f"measured {label}", 0),
            )
    except RunbookError as error:
        chapter.record(_failed(error), artifacts=sorted(folder.iterdir()))
        return []


def record(chapter: Chapter, results: Sequence[Result]) -> list[Measurement]:
    """Record the measurements of every point, each with the raw files that it was computed from."""
    return [
        written
        for result in results
        for written in chapter.record(
            *sweep.measurements(result),
            artifacts=result.files,
            model=chapter.profile.models.served,
            weights=serving.weights(chapter),
        )
    ]


def verify(chapter: Chapter, results: Sequence[Result]) -> list[Check]:
    """Record whether every request was answered in full, and where the limits hold; show what was recorded."""
    if results:
        chapter.record(*sweep.checks(results, chapter.profile.batching), model=chapter.profile.models.served)
    return [check for check in chapter.checks("batching.") if check.name != "batching.smoke"]


def throughput_figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw output throughput against concurrency, with intervals and what no gain from batching would look like."""
    series = _series(found, "batching.output_throughput")
    if not series:
        return NOTHING
    alone = series[0]
    at = [m.conditions["concurrency"] for m in series]
    figure = go.Figure()
    figure.add_scatter(
        x=at, y=[m.value for m in series], error_y=_error(series), mode="lines+markers", name="all requests together"
    )
    figure.add_scatter(
        x=at,
        y=[m.value / float(str(m.conditions["concurrency"])) for m in series],
        mode="lines+markers",
        name="each request",
        line_dash="dot",
    )
    figure.add_hline(y=alone.value, line_dash="dash", line_color="#9aa4ad", annotation_text="one request alone")
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
        series = _series(found, name)
        dash = "dot" if "p95" in name else "solid"
        colour = display.PALETTE[0] if "ttft" in name else display.PALETTE[1]
        figure.add_scatter(
            x=[m.conditions["concurrency"] for m in series],
            y=[100 * m.value / limit for m in series],
            customdata=[m.value for m in series],
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


def decide(
    results: Sequence[Result], found: Sequence[Measurement], load: Batching, recorded: Sequence[str] = ()
) -> Decision:
    """Choose the concurrency with the most output among those that hold the limits; a tie goes to the smaller one."""
    cited = ["batching.output_throughput", "batching.ttft_ms", "batching.tpot_ms", "batching.limits"]
    throughput = {m.conditions["concurrency"]: m for m in _series(found, "batching.output_throughput")}
    holding = [throughput[r.point.concurrency] for r in results if sweep.within_limits(r, load)]
    if not results:
        return Decision(
            name="batching.concurrency",
            choice="Nothing is decided",
            reason="Nothing was measured: no speed is reported for an engine that does not start or answers wrong.",
            evidence=[name for name in ("serving.start", "batching.smoke", "batching.completed") if name in recorded],
        )
    others = [f"concurrency {c}: {display.number(m.value)} tok/s" for c, m in throughput.items()]
    if not holding:
        return Decision(
            name="batching.concurrency",
            choice="No measured concurrency holds the limits on this machine",
            reason="Every operating point exceeds the profile's TTFT or TPOT limit.",
            evidence=cited,
            alternatives=others,
        )
    best = max(holding, key=lambda m: m.value)
    chosen = next(m for m in holding if _upper(m) >= best.value)
    gain = chosen.value / _series(found, "batching.output_throughput")[0].value
    return Decision(
        name="batching.concurrency",
        choice=f"Up to {chosen.conditions['concurrency']} requests at a time",
        reason=(
            f"It gives {display.number(chosen.value)} tok/s, {gain:.1f} times one request alone, within the limits. "
            f"It is the smallest point whose interval reaches the best one's mean, {display.number(best.value)} tok/s."
        ),
        evidence=cited,
        alternatives=others,
    )


def _failed(error: RunbookError) -> Check:
    return Check(
        name="batching.completed",
        title="Every request of the load was answered in full",
        status="fail",
        expected="the load runs to its end",
        observed=error.what,
        fix=f"read {error.where} and the engine's log in the raw files",
    )


def _series(found: Sequence[Measurement], name: str) -> list[Measurement]:
    """Return one metric's points by rising concurrency."""
    return sorted((m for m in found if m.name == name), key=lambda m: float(str(m.conditions["concurrency"])))


def _error(series: Sequence[Measurement]) -> dict[str, object]:
    return {"type": "data", "array": [_upper(m) - m.value for m in series], "color": "#7b8794", "thickness": 1.2}


def _upper(measurement: Measurement) -> float:
    return measurement.interval[1] if measurement.interval else measurement.value
