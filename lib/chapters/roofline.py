"""Chapter 06, the roofline: what the machine allows, how much of it each operating point reaches, and what is lost."""

import shutil
from collections.abc import Sequence

import plotly.graph_objects as go

from lib.chapters import gate
from lib.chapters.fleet import Fleet
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Record
from lib.engine.bench.results import Result
from lib.engine.models import sizes
from lib.engine.models.catalogue import Model
from lib.engine.roofline import capture, fractions, limits, trace, work
from lib.engine.roofline import losses as lost
from lib.engine.roofline.fractions import Step
from lib.engine.roofline.probe import Facts
from lib.engine.serve.server import Server
from lib.engine.serve.variant import Variant

NOTHING = display.Html("<p>Nothing to show: see the failed check above.</p>", "nothing to show")
PROBE = "python -m lib.engine.roofline.probe"
LABEL = "profiled"
COLOURS = {"decode": display.PALETTE[0], "prefill": display.PALETTE[1]}
PARTS = (("weights", display.PALETTE[0]), ("KV cache", display.PALETTE[4]))


def measure(chapter: Chapter) -> Facts:
    """Measure the machine's limits and record them; call it before an engine starts, while the machine is quiet."""
    with chapter.engine_time("roofline"):
        facts = limits.measure(chapter.profile)
    raw = chapter.save("roofline-limits.json", facts.model_dump_json(indent=1))
    found: list[Record] = [limits.check(facts), *limits.measurements(facts)]
    if not facts.failure:
        found += [limits.quiet(facts), *filter(None, [limits.emulated(facts)])]
    chapter.record(*found, artifacts=[raw], command=f"{PROBE} {limits.argument(chapter.profile)}")
    return facts


def show(chapter: Chapter) -> display.Html:
    """Show what was measured of the machine."""
    names = ("roofline.bandwidth", "roofline.matmul", "roofline.roof")
    return display.measurements(
        [m for m in chapter.measurements("roofline.") if m.name in names], "The machine's limits"
    )


def record(chapter: Chapter, results: Sequence[Result], facts: Facts) -> list[Step]:
    """Hold every operating point against the limits; record the share that each reaches, and whether that can be."""
    model = served(chapter)
    try:
        steps = fractions.steps(model, results, facts, _kv(chapter))
    except RunbookError as error:  # a cache type whose bytes nobody knows
        chapter.record(_skipped("roofline.plausible", "No operating point is faster than the machine's limit", error))
        return []
    files = [file for result in results for file in result.files]
    for result in results:
        mine = [step for step in steps if step.point == result.point]
        told = fractions.measurements(mine, limits.computes_in(model, facts))
        chapter.record(*told, artifacts=result.files, model=model.name, weights=gate.weights(chapter))
    chapter.record(fractions.plausible(steps), artifacts=files, model=model.name, weights=gate.weights(chapter))
    return steps


def served(chapter: Chapter) -> Model:
    """Return the served model in the format in which the profile computes it."""
    return sizes.computed(gate.model(chapter), chapter.profile.serving.dtype)


def _kv(chapter: Chapter) -> str:
    return sizes.kv_type(chapter.profile.serving.kv_cache_dtype, chapter.profile.serving.dtype)


def figure(steps: Sequence[Step], facts: Facts, model: Model) -> display.Figure | display.Html:
    """Draw the roofline: operations per second over operations per byte, with the measured roof and every point."""
    if not steps:
        return NOTHING
    bandwidth, rate = limits.bandwidth(facts), limits.rate(model, facts)
    ridge = rate / bandwidth
    reach = [step.work.intensity for step in steps]
    edges = [min(*reach, ridge) / 3, ridge, max(*reach, ridge) * 3]
    plot = go.Figure()
    plot.add_scatter(
        x=edges,
        y=[min(rate, bandwidth * x) / 1e9 for x in edges],
        mode="lines",
        name="measured roof",
        line={"color": "#7b8794", "width": 2},
        hoverinfo="skip",
    )
    for phase, colour in COLOURS.items():
        mine = [step for step in steps if step.phase == phase]
        plot.add_scatter(
            x=[step.work.intensity for step in mine],
            y=[step.work.operations / step.seconds / 1e9 for step in mine],
            customdata=[[_name(step), 100 * step.fraction, step.bound] for step in mine],
            hovertemplate="%{customdata[0]}: %{customdata[1]:.0f} % of the limit, bound by %{customdata[2]}",
            mode="markers",
            name=phase,
            marker={"size": 10, "color": colour, "symbol": "circle" if phase == "decode" else "diamond"},
        )
    plot.update_xaxes(type="log", title="operations per byte read (derived)")
    plot.update_yaxes(type="log", title="10⁹ operations per second", exponentformat="none")
    plot.update_layout(height=420)
    return display.figure(
        plot,
        f"Roofline: {bandwidth / 1e9:.3g} GB/s and {rate / 1e12:.3g} TFLOP/s in {limits.computes_in(model, facts)} are "
        "measured here; a point's work is derived from the model, its time is measured",
    )


def minimum(steps: Sequence[Step]) -> display.Figure | display.Html:
    """Draw where the least time of a decode step goes, weights, KV cache and arithmetic, beside the measured time."""
    decode = [step for step in steps if step.phase == "decode"]
    if not decode:
        return NOTHING
    names = [_name(step) for step in decode]
    plot = go.Figure()
    for (part, colour), seconds in zip(PARTS, ([s.weights_s for s in decode], [s.kv_s for s in decode]), strict=True):
        plot.add_bar(
            y=names, x=[1000 * s for s in seconds], orientation="h", name=f"reading {part}", marker_color=colour
        )
    for label, marks, symbol in (
        ("compute, at the same time", [s.compute_s for s in decode], "diamond"),
        ("measured TPOT", [s.seconds for s in decode], "line-ns-open"),
    ):
        plot.add_scatter(
            y=names,
            x=[1000 * s for s in marks],
            mode="markers",
            name=label,
            marker={"symbol": symbol, "size": 13, "color": display.PALETTE[1], "line": {"width": 3}},
        )
    plot.update_layout(barmode="stack", height=160 + 40 * len(names), xaxis_title="ms a step")
    plot.update_yaxes(autorange="reversed")
    return display.figure(plot, "The least time of a decode step by part (derived), and the time measured")


def _name(step: Step) -> str:
    point = step.point
    sent = point.dataset.stem if point.dataset else f"{point.input_tokens} in"
    return f"{point.concurrency} × {sent}, {point.output_tokens} out"


def losses(chapter: Chapter, fleet: Fleet, facts: Facts) -> display.Html:
    """Profile one request on a server of its own and name its largest losses; only where the profile asks for it."""
    if not chapter.profile.roofline.losses:
        chapter.record(_not_asked())
        return display.checks(chapter.checks("roofline.losses"))
    folder = chapter.artifact("profiler/trace").parent
    variant = Variant(LABEL, flags=capture.flags(folder))
    engine = fleet.use(variant)
    if engine is None:
        return NOTHING  # the fleet recorded why
    try:
        with chapter.engine_time("profile"):
            seen = capture.run(engine, folder)
        profiled = trace.read(seen.trace)
        shutil.rmtree(folder)  # large, and full of this machine's places: what is needed of it is kept below
    except RunbookError as error:
        chapter.record(_failed(error), artifacts=gate.keep(engine.log), model=engine.model.name)
        return display.checks(chapter.checks("roofline.losses"))
    finally:
        fleet.stop(variant)
    return _record_losses(chapter, engine, seen, profiled, facts)


def _record_losses(
    chapter: Chapter, engine: Server, seen: capture.Profiled, profiled: trace.Trace, facts: Facts
) -> display.Html:
    least = work.decode(served(chapter), 1, seen.context, _kv(chapter))
    found = lost.losses(profiled, least, limits.bandwidth(facts))
    kernels = chapter.save("roofline-kernels.json", lost.table(profiled))
    steps = trace.write(profiled, chapter.artifact("roofline-trace.json.gz"))
    verdict = lost.check(profiled, found)
    chapter.record(
        *lost.measurements(profiled, found, seen.plain_ms),
        verdict,
        artifacts=[kernels, steps],
        command=engine.command,
        model=engine.model.name,
        weights=gate.weights(chapter),
    )
    whole = sum(loss.time for loss in found)
    rows = [
        {
            "Part": loss.kind,
            "Time, ms": display.number(round(loss.time, 4)),
            "Share": f"{loss.time / whole:.0%}",
            "Least, ms": display.number(round(loss.least, 4)),
            "Lost, ms": display.number(round(loss.lost, 4)),
        }
        for loss in found
    ]
    return display.table(rows, f"A decode step of one request, {whole:.3g} ms under the profiler", list(rows[0])[1:])


def _not_asked() -> Check:
    return Check(
        name="roofline.losses",
        title="The largest losses of a single stream are named",
        status="skip",
        expected="one request profiled on a server of its own",
        observed="roofline.losses is false in this profile: it costs one more start of the engine",
        fix="--set roofline.losses=true",
    )


def _failed(error: RunbookError) -> Check:
    return Check(
        name="roofline.losses",
        title="The largest losses of a single stream are named",
        status="fail",
        expected="a trace with decode steps of one request",
        observed=error.what,
        fix=f"{error.fix or 'read the log of the engine in the raw files'}; where: {error.where}",
    )


def _skipped(name: str, title: str, error: RunbookError) -> Check:
    return Check(name=name, title=title, status="skip", observed=error.what, fix=error.fix)
