"""Chapter 06, the tuner: which server flags give the most goodput, judged against vLLM's defaults."""

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from lib.chapters import gate
from lib.chapters import load as loads
from lib.chapters.fleet import Fleet
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections import Scalar
from lib.engine.bench.compare import Comparison, compare
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.stats import estimate
from lib.engine.models import catalogue, fetch
from lib.engine.serve import command
from lib.engine.serve.variant import DEFAULTS, OWN, Variant
from lib.engine.tune import configuration, space
from lib.engine.tune.search import Outcome, Search, Trial
from lib.engine.tune.space import Params, Space

# Where the ready configuration listens when the profile leaves the port open.
PORT = 8000
NOT_ASKED = display.Html("<p>This profile varies nothing: tuner.space is empty.</p>", "tuner.space is empty")


class Tuning:
    """One search on one chapter's servers.

    Parameters
    ----------
    chapter : Chapter
        Its profile's `tuner` section says what is varied and how long.
    fleet : Fleet
        Starts the servers.
    """

    def __init__(self, chapter: Chapter, fleet: Fleet) -> None:
        self.chapter, self.fleet = chapter, fleet
        self.space: Space = space.of(chapter.profile)
        self.own = self.space.nearest(space.own(chapter.profile))
        self.defaults: Outcome | None = None
        self._measured: dict[str, Outcome] = {}
        self._warm: set[str] = set()
        # The defaults are one of the starts.
        budget = self.space.size if chapter.profile.tuner.exhaustive else chapter.profile.tuner.starts - 1
        self.search = Search(self.space, budget, chapter.artifact("tuner.journal")) if self.space.size else None

    def run(self) -> list[Trial]:
        """Measure the defaults, then search; every configuration that was tried is recorded."""
        if self.search is None or self.fleet.refusal(OWN) is not None:
            return []
        if self.own and self.fleet.runs(OWN):
            self._measured[OWN.label] = self._outcome(OWN, self.own)  # while it is there
        self.defaults = self._outcome(DEFAULTS)
        self.search.run(self._measure, [self.own] if self.own else [], self.fleet.room)
        self._record_starts()
        return self.trials

    @property
    def trials(self) -> list[Trial]:
        """What was tried so far, without the defaults."""
        return self.search.trials if self.search else []

    @property
    def best(self) -> Trial | None:
        """The best configuration that may be used."""
        return self.search.best if self.search else None

    def judge(self) -> Comparison | None:
        """Measure the best configuration and the defaults in turn, A B A B, and record `tuner.gain`."""
        best = self.best
        if best is None or self.defaults is None or self.defaults.refused:
            return None
        speeds: dict[str, list[float]] = {DEFAULTS.label: [], "tuned": []}
        for pair in range(self.chapter.profile.tuner.pairs):
            for name, variant in ((DEFAULTS.label, DEFAULTS), ("tuned", self.variant(best.params))):
                speeds[name] += self._goodput(variant, f"pair{pair}-{name}", repeats=1)
        whole = all(len(told) == self.chapter.profile.tuner.pairs and min(told) > 0 for told in speeds.values())
        if not whole:
            return None
        verdict = compare(speeds[DEFAULTS.label], speeds["tuned"])
        gain = Measurement(
            name="tuner.gain",
            title="Goodput of the best configuration over vLLM's defaults",
            value=round(verdict.ratio, 4),
            unit="×",
            n=verdict.n,
            interval=(round(verdict.low, 4), round(verdict.high, 4)),
            method=verdict.method,
            conditions={**self._point.conditions, "configuration": best.name, "verdict": verdict.verdict},
            baseline=1.0,
        )
        raw = sorted(self.chapter.artifacts.glob("pair*/*-r0.json"))
        self.chapter.record(gain, artifacts=raw, model=self._model, weights=gate.weights(self.chapter))
        return verdict

    def variant(self, params: Params) -> Variant:
        """Return the server of a configuration; the profile's own is the one that runs already."""
        return OWN if params == self.own else space.variant(params)

    def _measure(self, batch: Sequence[dict[str, Scalar]]) -> list[Outcome]:
        variants = [self.variant(params) for params in batch]
        self.fleet.prepare([v for v in variants if v.label not in self._measured], searching=True)
        return [
            self._measured.get(variant.label) or self._outcome(variant, params)
            for variant, params in zip(variants, batch, strict=True)
        ]

    def _outcome(self, variant: Variant, params: Params | None = None) -> Outcome:
        goodput = self._goodput(variant, f"trial-{variant.label}", self.chapter.profile.tuner.repeats)
        refused = self.fleet.refusal(variant)
        if refused is not None:
            return Outcome(0.0, refused.observed)
        if not goodput:
            return Outcome(0.0, "the load did not run to its end")
        self._record_trial(goodput, variant, params or {})
        return Outcome(sum(goodput) / len(goodput))

    def _goodput(self, variant: Variant, name: str, repeats: int) -> list[float]:
        # A server that runs since its trial has answered this very load before: it is warm.
        warmup = 0 if variant.label in self._warm and self.fleet.runs(variant) else 1
        effort = self._effort._replace(repeats=repeats, warmup_prompts=warmup)
        self._warm.add(variant.label)
        engine = self.fleet.use(variant, searching=True)
        results = loads.measure(self.chapter, engine, [self._point], effort, name, check="tuner.completed")
        return [float(run["request_goodput"]) for result in results for run in result.runs]

    def _record_trial(self, goodput: list[float], variant: Variant, params: Params) -> None:
        positive = min(goodput) > 0
        told = estimate(goodput) if positive else None
        trial = Measurement(
            name="tuner.goodput",
            title="Goodput of a configuration",
            value=round(told.mean if told else min(goodput), 4),
            unit="1/s",
            n=len(goodput),
            interval=(round(told.low, 4), round(told.high, 4)) if told else None,
            method="requests per second that hold the profile's TTFT and TPOT limits, vLLM's benchmark client",
            conditions={"configuration": "vLLM's defaults" if variant == DEFAULTS else space.label(params), **params},
        )
        raw = sorted(Path(self.chapter.artifacts / f"trial-{variant.label}").glob("*-r*.json"))
        self.chapter.record(trial, artifacts=raw, model=self._model, weights=gate.weights(self.chapter))

    def _record_starts(self) -> None:
        refused = [trial for trial in self.trials if trial.outcome.refused]
        starts = Measurement(
            name="tuner.starts",
            title="Configurations tried, vLLM's defaults included",
            value=1 + len(self.trials),
            unit="server starts",
            method=f"the whole space has {self.space.size}",
            conditions={"refused_by_the_gate": len(refused), "space": self.space.size},
        )
        self.chapter.record(starts, model=self._model)

    @property
    def _point(self) -> Point:
        tuner = self.chapter.profile.tuner
        return Point(tuner.concurrency, tuner.input_tokens, tuner.output_tokens)

    @property
    def _effort(self) -> Effort:
        tuner, load = self.chapter.profile.tuner, self.chapter.profile.batching
        return Effort(tuner.repeats, tuner.prompts_per_slot, 1, load.ttft_limit_ms, load.tpot_limit_ms)

    @property
    def _model(self) -> str:
        return self.chapter.profile.models.served


def plan(chapter: Chapter) -> display.Html:
    """Show what the search may vary, and what it costs."""
    tuner, known = chapter.profile.tuner, space.of(chapter.profile)
    if not known.size:
        return NOT_ASKED
    rows = [{"Field": field, "Values": ", ".join(map(str, values))} for field, values in known.values.items()]
    starts = known.size + 1 if tuner.exhaustive else min(tuner.starts, known.size + 1)
    return display.table(
        rows, f"{known.size} configurations, {starts} server starts, load of {tuner.concurrency} requests at a time"
    )


def figure(tuning: Tuning) -> display.Figure | display.Html:
    """Draw the goodput of every configuration in the order in which it was tried, against vLLM's defaults."""
    trials = tuning.trials
    if not trials or tuning.defaults is None:
        return NOT_ASKED if tuning.search is None else display.Html("<p>Nothing was tried.</p>", "nothing was tried")
    names = ["vLLM's defaults", *(trial.name for trial in trials)]
    values = [tuning.defaults.goodput, *(trial.outcome.goodput for trial in trials)]
    best = max(values)
    colours = [display.PALETTE[0] if value == best else "#9aa4ad" for value in values]
    plot = go.Figure(go.Bar(x=values, y=names, orientation="h", marker_color=colours, name="goodput"))
    plot.update_yaxes(autorange="reversed")
    plot.update_layout(xaxis_title="requests per second within the limits", height=120 + 34 * len(names))
    return display.figure(plot, "Goodput of every configuration that was tried, in order; zero was refused by the gate")


def verify(tuning: Tuning, verdict: Comparison | None) -> tuple[Check, ...]:
    """Record whether the search found a configuration that may be used and was judged."""
    best = tuning.best
    if tuning.search is None:
        return tuning.chapter.record(_not_asked())
    seen = f"best of {1 + len(tuning.trials)}: {best.name}" if best else "no configuration passed the gate"
    check = Check(
        name="tuner.judged",
        title="A configuration was found and judged against the defaults",
        status="pass" if verdict else "fail",
        expected="at least one configuration starts, passes the gate, and runs A B A B against the defaults to the end",
        observed=f"{seen}; {verdict.verdict}" if verdict else f"{seen}; not judged",
        fix="read the warned checks above: each names its server and the engine's own words",
    )
    return tuning.chapter.record(check, model=tuning.chapter.profile.models.served)


def write(tuning: Tuning) -> list[Path]:
    """Write the best configuration as files that vLLM and systemd read; nothing is installed."""
    best, chapter = tuning.best, tuning.chapter
    if best is None:
        return []
    profile = tuning.variant(best.params).of(chapter.profile)
    model = catalogue.get(profile.models.served)
    flags = command.arguments(
        profile, model, fetch.folder(model.name, profile.models.store), profile.serving.port or 8000
    )
    made = configuration.files(flags, command.environment(profile))
    return [
        chapter.save("tuned/vllm.yaml", made.config),
        chapter.save("tuned/vllm.env", made.environment),
        chapter.save("tuned/command.txt", f"{made.command}\n"),
    ]


def decide(tuning: Tuning, verdict: Comparison | None) -> Decision:
    """Choose the configuration: the best if it is better than the defaults, else the defaults."""
    best, cited = tuning.best, ["tuner.goodput", "tuner.starts", "tuner.gain", "tuner.judged"]
    others = [f"{trial.name}: {trial.outcome.refused or f'{trial.outcome.goodput:.2f}/s'}" for trial in tuning.trials]
    if verdict is None or best is None:
        choice, reason = "Nothing is decided", "No configuration was judged against the defaults."
        cited = ["tuner.judged"]
    elif verdict.verdict == "better":
        choice = f"{best.name} instead of vLLM's defaults"
        reason = (
            f"Measured in turn it gives {verdict.ratio:.2f} times their goodput (95 % interval {verdict.low:.2f} to "
            f"{verdict.high:.2f}). The files tuned/vllm.yaml and tuned/vllm.env of this chapter are ready to serve it."
        )
    else:
        choice = "vLLM's defaults stay"
        reason = (
            f"The best configuration found gives {verdict.ratio:.2f} times their goodput (95 % interval "
            f"{verdict.low:.2f} to {verdict.high:.2f}): {verdict.verdict}."
        )
    return Decision(name="tuner.configuration", choice=choice, reason=reason, evidence=cited, alternatives=others)


def _not_asked() -> Check:
    return Check(
        name="tuner.judged",
        title="A configuration was found and judged against the defaults",
        status="skip",
        expected="a search over server flags",
        observed="tuner.space is empty in this profile: there is nothing to vary",
        fix='--set tuner.space={"max_num_seqs": [64, 256]}  (fields of `serving` with the values to try)',
    )


def _says(outcome: Outcome) -> str:
    return outcome.refused or f"{outcome.goodput:.2f} requests/s"
