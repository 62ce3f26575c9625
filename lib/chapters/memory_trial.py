"""Chapter 09's trial of another embedding model: asked the same, judged, and switched to while questions come."""

import plotly.graph_objects as go

from lib.chapters.memory_study import Study
from lib.core import display
from lib.core.evidence import Check, Decision, Measurement
from lib.memory import service
from lib.memory.evaluate import metrics, trial
from lib.memory.evaluate.corpus import Question
from lib.memory.evaluate.trial import Switch, Trial


def run(study: Study) -> Trial | None:
    """Ask the model in use and the one on trial the same questions, and record the difference."""
    memory, chapter = study.memory, study.chapter
    candidate = chapter.profile.memory.candidate
    endpoint = study.servers.candidate_url
    if memory is None or not candidate.model or not endpoint:
        return None
    study.candidate = service.candidate(chapter.profile, endpoint)
    with chapter.engine_time("trial"):
        study.trial = trial.run(memory, study.candidate, study.all_questions, study.vectors())
    for method in trial.METHODS:
        gain = study.trial.difference(method)
        study.record(
            Measurement(
                name="memory.candidate_gain",
                title=f"nDCG@10 that {study.trial.new} gains over {study.trial.old}",
                value=round(gain.mean, 4),
                unit="",
                n=gain.n,
                interval=(round(gain.low, 4), round(gain.high, 4)),
                method=f"paired, the same questions and chunks, searched exactly; {metrics.METHOD}",
                conditions={"method": method, "verdict": study.trial.verdict(method)},
            )
        )
    return study.trial


def figure(study: Study) -> display.Figure | display.Html:
    """Plot what each method gains by the model on trial; an interval across zero decides nothing."""
    found = [m for m in study.chapter.measurements("memory.candidate_gain") if m.interval]
    if not found or study.trial is None:
        return display.Html("<p>No model is on trial.</p>", "no model is on trial")
    plot = go.Figure()
    for m in found:
        low, high = m.interval or (m.value, m.value)
        plot.add_scatter(
            x=[m.value],
            y=[str(m.conditions["method"])],
            error_x={"array": [high - m.value], "arrayminus": [m.value - low]},
            mode="markers",
            marker={"size": 10},
            name=str(m.conditions["method"]),
        )
    plot.add_vline(x=0, line_dash="dash")
    plot.update_xaxes(title="nDCG@10 gained")
    plot.update_layout(showlegend=False)
    return display.figure(plot, f"{study.trial.new} against {study.trial.old}; whiskers are 95 % intervals")


def switch(study: Study) -> list[Check]:
    """Switch to the model on trial while questions come without a pause, and check that none was lost."""
    memory, chapter = study.memory, study.chapter
    if memory is None or study.trial is None or study.candidate is None:
        return []
    with chapter.engine_time("switch"):
        seen = trial.switch(memory, study.candidate, _sure(study, study.trial))
    wrong = memory.store.disagreements()
    chapter.record(
        Check(
            name="memory.switch",
            title="The model is switched while questions come",
            status="pass" if _clean(seen) and not wrong else "fail",
            expected="every question answered, each by one model alone; all indexes agree",
            observed=(
                f"{seen.old} to {seen.new}: {seen.answered} answered, {seen.wrong} wrong, {len(seen.failed)} failed"
                + "".join(f"; {line}" for line in [*seen.failed[:1], *wrong])
            ),
            fix="" if _clean(seen) and not wrong else "python -m lib memory verify",
        )
    )
    return chapter.checks("memory.switch")


def decide(study: Study) -> Decision:
    """Switch only to a model that is shown to be better: every chunk would have to be embedded again."""
    found = study.trial
    if found is None:
        return Decision(
            name="memory.model",
            choice=f"Keep {study.chapter.profile.memory.model or 'no model'}",
            reason="No other model is on trial: memory.candidate names none, or no server ran.",
            evidence=["memory.candidate_gain"],
        )
    said = {method: found.verdict(method) for method in trial.METHODS}
    judged = [f"{verdict} (`{method}`)" for method, verdict in said.items()]
    better = "better" in said.values() and "worse" not in said.values()
    return Decision(
        name="memory.model",
        choice=f"Switch to {found.new}" if better else f"Keep {found.old}",
        reason=(
            f"{found.new} on {len(study.all_questions)} questions: {', '.join(judged)}. "
            "A model that is not shown to be better is not worth embedding everything again."
        ),
        evidence=["memory.candidate_gain", "memory.switch"],
        alternatives=[found.old if better else found.new],
    )


def _clean(seen: Switch) -> bool:
    return bool(seen.answered) and not seen.wrong and not seen.failed


def _sure(study: Study, found: Trial) -> Question:
    """Return a question that both models answer, so that a wrong answer can only come from the switch."""
    both = zip(
        study.all_questions,
        found.values_old["fused"]["mrr"],
        found.values_new["fused"]["mrr"],
        strict=True,
    )
    return max(both, key=lambda row: min(row[1], row[2]))[0]
