"""Chapter 10: what the gateway costs, measured on the engine alone and through the gateway in turn."""

import os
from collections.abc import Sequence
from statistics import median
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lib.chapters import gate
from lib.chapters.gateway import Station
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement
from lib.engine.bench import compare
from lib.engine.serve.server import Server
from lib.gateway import cost

METHOD = (
    "the same requests to the engine and through the gateway, in turn, every second pair the other way round; {what}"
)
# Of all processors: above this share there is none for the gateway and the client to run on beside the engine.
FULL = 0.95


def overhead(station: Station) -> list[Measurement]:
    """Load engine and gateway in turn; record what the gateway adds to TTFT and leaves of throughput."""
    chapter = station.chapter
    engine = station.engines.get(_role_engine(chapter))
    if not station.url or engine is None:
        return []
    settings = chapter.profile.gateway
    try:
        with chapter.engine_time("load"):
            measured = _measure(station, engine)
    except RunbookError as error:
        chapter.record(_load_failed(error))
        return []
    file = chapter.save("overhead.json", cost.as_json(measured))
    added = cost.added(measured.first_ms)
    ratio = compare.compare([a for a, _ in measured.tokens_per_s], [b for _, b in measured.tokens_per_s])
    lengths = {"input_words": settings.input_words, "output_tokens": settings.output_tokens}
    found = (
        Measurement(
            name="gateway.ttft_overhead_ms",
            title="What the gateway adds to the median TTFT",
            value=round(added.value, 3),
            unit="ms",
            n=len(measured.first_ms),
            interval=(round(added.low, 3), round(added.high, 3)),
            method=METHOD.format(what="difference of medians, 95 % bootstrap over pairs"),
            conditions={"concurrency": 1, "input_words": settings.input_words, "output_tokens": cost.FIRST_TOKENS},
            baseline=round(median(direct for direct, _ in measured.first_ms), 3),
        ),
        Measurement(
            name="gateway.throughput_ratio",
            title="Output throughput through the gateway, over that of the engine alone",
            value=round(ratio.ratio, 4),
            unit="",
            n=ratio.n,
            interval=(round(ratio.low, 4), round(ratio.high, 4)),
            method=METHOD.format(what=ratio.method),
            conditions={"concurrency": settings.concurrency, **lengths},
        ),
    )
    spent = [_spent(name, share, settings.concurrency) for name, share in measured.cpu.items()]
    told = chapter.record(*found, *spent, artifacts=[file], model=engine.model.name, weights=gate.weights(chapter))
    chapter.record(
        _within_ttft(told[0], settings.ttft_limit_ms),
        _within_ratio(told[1], settings.throughput_limit, sum(measured.cpu.values()), len(os.sched_getaffinity(0))),
    )
    return list(told)


def _measure(station: Station, engine: Server) -> cost.Found:
    settings = station.chapter.profile.gateway
    trees = {"engine": engine.tree, "gateway": station.gateway.tree} if station.gateway else {}
    return cost.measure(
        cost.Way(engine.url, engine.model.name),
        cost.Way(station.url, next(iter(settings.roles)), station.key),
        cost.Load(
            firsts=settings.ttft_prompts,
            rounds=settings.pairs,
            concurrency=settings.concurrency,
            each=settings.prompts_per_slot,
            input_words=settings.input_words,
            tokens=settings.output_tokens,
            longest_s=settings.load_s,
        ),
        trees,
    )


def _spent(name: str, share: float, concurrency: int) -> Measurement:
    return Measurement(
        name="gateway.cpu_share",
        title="Processor that each part used under the load through the gateway; 1 is one processor",
        value=share,
        unit="",
        method="processor time of the process tree over wall time, all rounds through the gateway",
        conditions={"part": name, "concurrency": concurrency},
    )


def figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw both against their limits: shares of what is allowed."""
    ratio = next((m for m in found if m.name == "gateway.throughput_ratio"), None)
    added = next((m for m in found if m.name == "gateway.ttft_overhead_ms"), None)
    if ratio is None or added is None or not added.interval or not ratio.interval:
        return display.Html("<p>Nothing was measured: see the failed check above.</p>", "nothing was measured")
    plot = make_subplots(rows=2, vertical_spacing=0.35)
    for row, (m, name) in enumerate(((added, "added TTFT, ms"), (ratio, "throughput, share")), start=1):
        low, high = m.interval or (m.value, m.value)
        mark = go.Scatter(
            x=[m.value],
            y=[name],
            error_x={"type": "data", "symmetric": False, "array": [high - m.value], "arrayminus": [m.value - low]},
            mode="markers+text",
            text=[f"{m.value:.3g}"],
            textposition="top center",
            name=name,
            marker_size=11,
        )
        plot.add_trace(mark, row=row, col=1)
    plot.update_layout(height=260, showlegend=False)
    return display.figure(plot, "What the gateway costs; bars are 95 % intervals over pairs")


def decide(chapter: Chapter, found: Sequence[Measurement]) -> Decision:
    """Put the gateway in front of everything, where it held its limits."""
    names = {record.name for record in chapter.records}
    cited = [
        name for name in ("gateway.ttft_overhead_ms", "gateway.throughput_ratio", "gateway.start") if name in names
    ]
    failed = [check.name for check in chapter.checks("gateway.") if check.status == "fail"]
    if failed or not found:
        return Decision(
            name="gateway.use",
            choice="Clients keep asking the engine itself",
            reason=f"Not green: {', '.join(dict.fromkeys(failed)) or 'nothing was measured'}.",
            evidence=cited,
        )
    return Decision(
        name="gateway.use",
        choice="Clients ask the gateway and nothing else",
        reason=(
            f"It adds {found[0].value:.2g} ms to the median TTFT and leaves {found[1].value:.1%} of the throughput. "
            "In return there is one address, one list of names, keys, limits and a queue."
        ),
        evidence=cited,
        alternatives=["each client knows every engine's address: no keys, no limits, and nobody changes models"],
    )


def _within_ttft(found: Measurement, limit: float) -> Check:
    low = found.interval[0] if found.interval else found.value
    status = "pass" if found.value <= limit else "fail" if low > limit else "warn"
    return _limit(
        "gateway.ttft", "The gateway answers as soon as the engine", status, f"at most {limit:g} ms more", found
    )


def _within_ratio(found: Measurement, limit: float, used: float, processors: int) -> Check:
    """Judge what remains of the throughput; where no processor was free, a loss is not the gateway's to answer for."""
    high = found.interval[1] if found.interval else found.value
    full = used > FULL * processors
    status = "pass" if found.value >= limit else "fail" if high < limit and not full else "warn"
    check = _limit(
        "gateway.throughput", "The gateway lets through what the engine gives", status, f"at least {limit:g}", found
    )
    return check.model_copy(update={"observed": f"{check.observed}; {used:.2f} of {processors} processors in use"})


def _limit(name: str, title: str, status: Any, expected: str, found: Measurement) -> Check:
    low, high = found.interval or (found.value, found.value)
    return Check(
        name=name,
        title=title,
        status=status,
        expected=expected,
        observed=f"{found.value:.3g} {found.unit}".strip() + f", 95 % interval {low:.3g} to {high:.3g}, n={found.n}",
        fix="repeat on a quiet machine (--set gateway.pairs=6); give the gateway a CPU that the engine does not use",
        conditions=found.conditions,
    )


def _load_failed(error: RunbookError) -> Check:
    return Check(
        name="gateway.load",
        title="The load ran to its end",
        status="fail",
        expected="both sides are measured",
        observed=error.what,
        fix=f"read {error.where} and gateway.log in the raw files",
    )


def _role_engine(chapter: Chapter) -> str:
    roles = chapter.profile.gateway.roles
    return roles[next(iter(roles))].engine if roles else ""
