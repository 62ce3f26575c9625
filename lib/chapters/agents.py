"""Chapter 10, second half: a planner and its executors do one task whose result is checked."""

from collections.abc import Sequence

import plotly.graph_objects as go

from lib.agents import task, transcript
from lib.agents.loop import Loop, Outcome
from lib.agents.transcript import Event
from lib.chapters import gate
from lib.chapters.gateway import Station
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement


def plan(chapter: Chapter) -> display.Html:
    """Show the task, who works on it, and how much they may spend."""
    settings = chapter.profile.agents
    wanted = task.load(settings.task)
    rows: list[dict[str, object]] = [
        {"": "Task", " ": display.quoted(wanted.title)},
        {"": "Parts", " ": display.quoted("; ".join(f"{part.signature} {part.does}" for part in wanted.parts))},
        {"": "Checked by", " ": f"{sum(len(part.cases) for part in wanted.parts)} calls with known results"},
        {"": "Planner", " ": display.code(settings.planner)},
        {"": "Executors", " ": display.code(", ".join(settings.executors))},
        {
            "": "Limits",
            " ": f"{settings.plans} plans, {settings.steps} steps, {settings.tokens} tokens, {settings.seconds:g} s",
        },
    ]
    return display.table(rows, "What the agents are asked")


def run(station: Station) -> Outcome | None:
    """Let the agents work, and record the verdict with the transcript."""
    chapter, settings = station.chapter, station.chapter.profile.agents
    if not station.url:
        return None
    wanted, show = task.load(settings.task), gate.progress(chapter)
    with chapter.engine_time("agents"), station.client() as client:
        outcome = Loop(client, settings, lambda event: show(_told(event), event.begun)).run(wanted)
    file = chapter.save("agents.json", transcript.as_json(outcome.events))
    chapter.record(_verdict(outcome, len(wanted.parts)), artifacts=[file], weights=gate.weights(chapter))
    chapter.record(*_spent(outcome), artifacts=[file], weights=gate.weights(chapter))
    return outcome


def results(outcome: Outcome | None) -> display.Html:
    """Show what was written for each part, by whom."""
    if outcome is None:
        return display.Html("<p>The agents did not work: see the failed check above.</p>", "nothing was done")
    rows = [
        {
            "": event.kind,
            "Role": event.role,
            "Model": event.model,
            "Part": event.part or "-",
            "Result": display.code(event.result) if event.result else "-",
            "Wrong": display.quoted(event.error) if event.error else "-",
            "s": f"{event.seconds:.1f}",
            "Tokens": event.tokens,
        }
        for event in outcome.events
    ]
    return display.table(rows, "Every request of the agents, in order", numeric=["s", "Tokens"])


def figure(outcome: Outcome | None) -> display.Figure | display.Html:
    """Draw the transcript as a timeline: which model worked when, what it waited for, how much it wrote."""
    if outcome is None or not outcome.events:
        return display.Html("<p>There is no transcript.</p>", "no transcript")
    plot = go.Figure()
    rows = list(dict.fromkeys(f"{event.role}<br>{event.model}" for event in outcome.events))
    for kind, colour in (("plan", display.PALETTE[0]), ("step", display.PALETTE[2])):
        _bars(plot, [event for event in outcome.events if event.kind == kind and not event.error], kind, colour)
    _bars(plot, [event for event in outcome.events if event.error], "went wrong", display.PALETTE[1])
    waits = [event for event in outcome.events if event.waited_ms >= 1]
    if waits:
        plot.add_bar(
            y=[f"{event.role}<br>{event.model}" for event in waits],
            base=[event.begun for event in waits],
            x=[event.waited_ms / 1000 for event in waits],
            orientation="h",
            name="waited for its model",
            marker_color=display.PALETTE[4],
        )
    plot.update_layout(barmode="overlay", xaxis_title="seconds", height=160 + 70 * len(rows), bargap=0.5)
    plot.update_yaxes(categoryorder="array", categoryarray=rows[::-1])
    return display.figure(plot, "The agents' transcript: who worked when; numbers are tokens written")


def decide(chapter: Chapter, outcome: Outcome | None) -> Decision:
    """Keep roles that do the task."""
    settings = chapter.profile.agents
    if outcome is None:
        return Decision(
            name="agents.roles", choice="Nothing is decided", reason="No agent worked.", evidence=["gateway.start"]
        )
    done = not outcome.missing
    writers = dict.fromkeys(event.role for event in outcome.events if event.kind == "step" and not event.error)
    return Decision(
        name="agents.roles",
        choice=f"`{settings.planner}` plans, {', '.join(f'`{role}`' for role in writers) or 'nobody'} executes"
        if done
        else "Other roles are needed",
        reason=(
            f"{len(outcome.results)} of {len(outcome.results) + len(outcome.missing)} parts are right after "
            f"{outcome.plans} plans and {outcome.tokens} tokens." + (f" {outcome.stopped}." if outcome.stopped else "")
        ),
        evidence=["agents.task", "agents.tokens"],
        alternatives=[f"{settings.planner} writes everything itself: no second model, and no second opinion"],
    )


def _verdict(outcome: Outcome, parts: int) -> Check:
    done = "; ".join(f"{name}: {written}" for name, written in outcome.results.items())
    return Check(
        name="agents.task",
        title="The agents did the task, and its result was computed",
        status="fail" if outcome.missing else "pass",
        expected=f"{parts} parts, each right for every case",
        observed=(f"missing: {', '.join(outcome.missing)} ({outcome.stopped}); " if outcome.missing else "") + done,
        fix="read agents.json in the raw files; raise agents.plans or agents.seconds, or choose stronger executors",
        source="runbook/tasks",
    )


def _spent(outcome: Outcome) -> list[Measurement]:
    last = outcome.events[-1] if outcome.events else None
    told = {"plans": outcome.plans, "steps": sum(event.kind == "step" for event in outcome.events)}
    values = (
        ("agents.seconds", "The whole task", round(last.begun + last.seconds, 2) if last else 0.0, "s"),
        ("agents.tokens", "Tokens of all requests", float(outcome.tokens), "tokens"),
    )
    return [
        Measurement(name=name, title=title, value=value, unit=unit, method="one run of the task", conditions=told)
        for name, title, value, unit in values
    ]


def _bars(plot: go.Figure, events: Sequence[Event], name: str, colour: str) -> None:
    plot.add_bar(
        y=[f"{event.role}<br>{event.model}" for event in events],
        base=[event.begun for event in events],
        x=[event.seconds for event in events],
        orientation="h",
        name=name,
        marker_color=colour,
        text=[str(event.tokens) for event in events],
        hovertext=[_told(event) for event in events],
    )


def _told(event: Event) -> str:
    return f"{event.role}: “{event.part or 'plan'}: {event.error or event.result}”"
