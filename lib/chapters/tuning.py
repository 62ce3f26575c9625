"""Chapter 03: the figure of what a power limit costs, and the choice of one."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Change, Check, Decision, Measurement
from lib.core.sections import Profile
from lib.host import power_curve, probe
from lib.host import tuning as settings
from lib.host.power_curve import DECODE, TENSOR, Series
from lib.host.probe import Host
from lib.host.recording import RecordingHost

BRIEFING_W = 300


def look() -> RecordingHost:
    """Return the machine as one picture: checks and plan see the same values."""
    return RecordingHost(probe.current())


def checks(chapter: Chapter, host: Host) -> list[Check]:
    """Judge every setting and record the verdicts."""
    return list(chapter.record(*settings.checks(host, chapter.profile)))


def plan(host: Host, profile: Profile) -> list[Change]:
    """Return the planned changes."""
    return settings.plan(host, profile)


def overview(found: Sequence[Check]) -> display.Html:
    """Show every setting in one line: verdict, value now, value that serves."""
    rows = [
        {
            "Verdict": display.Html(display.badge(check.status), check.status),
            "Setting": check.title,
            "Now": check.observed,
            "Serves": check.expected.partition(": ")[0],
        }
        for check in found
    ]
    return display.table(rows)


def commands(planned: Sequence[Change]) -> display.Html:
    """Show the commands of every planned change, and those that take it back."""
    if not planned:
        return display.Html("<p class='rb-empty'>no commands: nothing is planned</p>", "no commands")
    # The way back is a comment: the whole block may be pasted.
    scripts = [f"# {change.title}\n{change.command}\n# way back:\n{_comment(change.undo)}" for change in planned]
    text = "\n\n".join(scripts)
    return display.Html(f'<pre class="rb-diff">{html.escape(text)}</pre>', text)


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.splitlines())


def unchanged(found: Sequence[Check], planned: Sequence[Change]) -> list[Check]:
    """Return the checks that no planned change answers: what is fine, cannot be judged, or is for a person to do."""
    changed = {change.name for change in planned}
    return [check for check in found if check.name not in changed]


def cited() -> list[Measurement]:
    """Return what others measured at several power limits."""
    return power_curve.measurements()


def power_figure(profile: Profile) -> display.Figure:
    """Draw the share of the best value that is left at each power limit, for every cited workload."""
    plot = go.Figure([_line(series) for series in (*DECODE, TENSOR)])
    marks: dict[float, str] = {BRIEFING_W: "the briefing's 300 W"}
    marks |= {gpu.power_cap_w: f"planned: {gpu.power_cap_w:g} W" for gpu in profile.host.gpus if gpu.power_cap_w}
    for limit, words in marks.items():
        plot.add_vline(x=limit, line={"dash": "dot", "width": 1.5}, annotation={"text": words, "textangle": 0})
    plot.update_layout(height=460)
    plot.update_xaxes(title="Power limit, W", range=[280, 620], dtick=50)
    plot.update_yaxes(title="Share of the best value", tickformat=".0%", range=[0.5, 1.05])
    return display.figure(
        plot,
        f"What a power limit costs, {power_curve.CARD}. Cited, not measured here: vLLM, one run a point "
        "(2026-04-29), where differences below 3 % are noise; gpu_burn, mean of two cards (2026-04-26).",
    )


def _line(series: Series) -> go.Scatter:
    limits = sorted(series.values)
    return go.Scatter(
        x=limits,
        y=[series.values[limit] / series.best for limit in limits],
        name=series.title,
        mode="lines+markers",
        line={"dash": "dash"} if series is TENSOR else {},
        customdata=[series.values[limit] for limit in limits],
        hovertemplate=f"%{{x}} W: %{{customdata:,.1f}} {series.unit}, %{{y:.1%}} of the best",
    )


def hardest(records: Sequence[Measurement]) -> list[Measurement]:
    """Return the throughput of the dense model with 32 streams: of the cited loads, the one that wants most power."""
    return [
        item
        for item in records
        if item.name == "tuning.power_limit_throughput"
        and item.conditions.get("model") == power_curve.DENSE
        and item.conditions.get("concurrency") == 32
    ]


def decide(profile: Profile, planned: Sequence[Change]) -> Decision:
    """Return the choice of the power limit and what becomes of the other recipes."""
    caps = [gpu for gpu in profile.host.gpus if gpu.power_cap_w]
    names = ["tuning.power_limit_throughput", "tuning.power_limit_efficiency", "tuning.hugepages", "tuning.numa"]
    changes = ", ".join(change.name.removeprefix("tuning.").replace("_", " ") for change in planned) or "none"
    recipes = (
        "Three recipes of the briefing are left out: static huge pages, which vLLM does not use; numactl, which "
        "changes nothing on one NUMA node; and 300 W, which costs speed."
    )
    if not caps:
        return Decision(
            name="tuning.decision",
            title="Tuning",
            choice=f"Changes planned on this machine: {changes}",
            reason=f"The profile has no card whose power limit is to be lowered. {recipes}",
            evidence=names,
        )
    cap = caps[0].power_cap_w
    return Decision(
        name="tuning.decision",
        title="Tuning",
        choice=f"{cap:g} W for {caps[0].name}; changes planned: {changes}",
        reason=f"{power_curve.cost(cap)}, and the room gets {caps[0].power_default_w - cap:g} W less. {recipes}",
        evidence=names,
        alternatives=[
            f"{caps[0].power_default_w:g} W: the card's default, for long prefills in a cool room",
            power_curve.cost(400),
            power_curve.cost(BRIEFING_W),
        ],
    )
