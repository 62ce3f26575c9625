"""Chapter 07: what speculative decoding gains on which text, and from how many requests on it should be off."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.chapters import gate
from lib.chapters import load as loads
from lib.chapters.fleet import Fleet
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.serve import failure
from lib.engine.serve.server import Server
from lib.engine.speculate import acceptance, findings, same_text, workloads
from lib.engine.speculate.configurations import (
    CPU_HAS_NO_SYNTHETIC,
    CPU_SOURCE,
    PLAIN,
    Configuration,
    configurations,
)

Results = Mapping[str, Sequence[Result]]


def tried(chapter: Chapter) -> list[Configuration]:
    """Return the configurations that can run here; one whose draft is missing becomes a check that says so."""
    if not chapter.checks("spec.draft") and not chapter.checks("spec.synthetic"):
        if gate.weights(chapter) == "random" and chapter.profile.hardware == "cpu":
            chapter.record(_no_synthetic())
        for each in _all(chapter):
            if not each.present:
                chapter.record(_missing(each, asked=each.name in chapter.profile.speculation.configurations))
    return [each for each in _all(chapter) if each.present]


def plan(chapter: Chapter) -> display.Html:
    """Show every configuration with what vLLM gets, before anything starts."""
    known = _all(chapter)
    if not known:
        return display.Html("<p>The profile and the catalogue name no configuration.</p>", "no configuration")
    rows = [
        {
            "Configuration": each.name,
            "Method": str(each.settings.get("method", "")),
            "Draft tokens": str(each.tokens or "as the draft says"),
            "--speculative-config": ", ".join(f"{key}: {value}" for key, value in each.settings.items()),
            "Here": "yes" if each.present else f"no: {each.fetch}",
        }
        for each in known
    ]
    return display.table(rows, "Configurations", numeric=("Draft tokens",))


def texts(chapter: Chapter) -> display.Html:
    """Show the workloads with the beginning of one prompt each."""
    rows = [
        {
            "Workload": name,
            "What it is": workloads.TITLES.get(name, ""),
            "Prompts": len(workloads.prompts(name)),
            "For example": display.quoted(f"{workloads.prompts(name)[0][:90]} …"),
        }
        for name in chapter.profile.speculation.workloads
    ]
    return display.table(rows, "Workloads (runbook/workloads)", numeric=("Prompts",))


def start(chapter: Chapter, fleet: Fleet) -> list[Check]:
    """Start the plain server and the configurations, as many as may run at a time; return how that went."""
    servers = [PLAIN, *(each.variant for each in tried(chapter))]
    if len(servers) > 1:
        fleet.prepare(servers)
    return [*chapter.checks("spec."), *chapter.checks("serving.")]


def measure(chapter: Chapter, fleet: Fleet) -> dict[str, list[Result]]:
    """Measure every server at every point and return the results by server, the plain one first.

    Where all servers run at once, repeats go round all of them: what disturbs the machine meets all alike. A server
    that the gate refused, or whose load failed, is left out; a check says why. Without a plain server there is nothing
    to compare with, and nothing is measured.
    """
    servers = [PLAIN, *(each.variant for each in tried(chapter))]
    repeats = range(chapter.profile.speculation.repeats)
    runs: dict[str, list[list[Result]]] = {variant.label: [] for variant in servers}
    broken: set[str] = set() if len(servers) > 1 else {PLAIN.label}
    order = (
        [(repeat, variant) for repeat in repeats for variant in servers]
        if _together(chapter, fleet)
        else [(repeat, variant) for variant in servers for repeat in repeats]
    )
    for repeat, variant in order:
        if PLAIN.label in broken or variant.label in broken:
            continue
        if part := _round(chapter, fleet.use(variant), variant.label, repeat):
            runs[variant.label].append(part)
        else:
            broken.add(variant.label)
    return {label: _merged(parts) for label, parts in runs.items() if len(parts) == len(repeats)}


def _round(chapter: Chapter, engine: Server | None, label: str, repeat: int) -> list[Result]:
    """Measure all points once on one server; nothing comes back where a request failed, and a check says why."""
    if repeat == 0 and not chapter.profile.speculation.warmup_prompts:
        # Its points are not warmed up one by one: one uncounted load for all of them.
        largest = max(points(chapter), key=lambda point: point.concurrency)
        if not _whole(chapter, engine, label, [largest], 0, "first"):
            return []
    return _whole(chapter, engine, label, points(chapter), repeat, f"r{repeat}")


def _whole(
    chapter: Chapter, engine: Server | None, label: str, wanted: Sequence[Point], repeat: int, folder: str
) -> list[Result]:
    # The last part of the folder's name goes into the seed, and the seed shall not know the server.
    part = loads.measure(chapter, engine, wanted, effort(chapter, repeat), f"{label}/{folder}", "spec.completed")
    verdict = findings.completed(part, failure.decisive(engine.log_text()) if engine and not engine.running else "")
    if not part or verdict.status == "pass":
        return part
    told = verdict.model_copy(update={"conditions": {"configuration": label}})
    chapter.record(told, artifacts=_files(part), model=chapter.profile.models.served, weights=gate.weights(chapter))
    return []


def points(chapter: Chapter) -> list[Point]:
    """Return the operating points of the profile: each workload at every concurrency."""
    wanted = chapter.profile.speculation
    return [
        Point(concurrency, 0, wanted.output_tokens, dataset=workloads.path(name))
        for name in wanted.workloads
        for concurrency in wanted.concurrency
    ]


def effort(chapter: Chapter, repeat: int) -> Effort:
    """Return the effort of one repeat; only the first one is warmed up."""
    wanted, limits = chapter.profile.speculation, chapter.profile.batching
    return Effort(
        repeats=1,
        prompts_per_slot=wanted.prompts_per_slot,
        warmup_prompts=wanted.warmup_prompts if repeat == 0 else 0,
        ttft_limit_ms=limits.ttft_limit_ms,
        tpot_limit_ms=limits.tpot_limit_ms,
        fewest=wanted.prompts,
        # Random weights have no end of their own; real text ends where the model ends it, and nothing is made up.
        natural_end=gate.weights(chapter) == "real",
    )


def verify(chapter: Chapter, results: Results) -> list[Check]:
    """Record whether every request was answered and whether the answers stayed the same."""
    if results:
        every = [result for measured in results.values() for result in measured]
        chapter.record(findings.completed(every), model=chapter.profile.models.served, weights=gate.weights(chapter))
    for label in _speculating(results):
        if gate.weights(chapter) == "random":
            title = "Greedy answers with speculation are those without"
            verdict = gate.no_weights("spec.same_text", title, "the same answers").model_copy(
                update={"conditions": {"configuration": label}}
            )
        else:
            plain = results[PLAIN.label]
            verdict = same_text.check(label, same_text.against(plain, results[label]), same_text.floor(plain))
        chapter.record(verdict, artifacts=_files(results[label]), model=chapter.profile.models.served)
    # What did not start with the first ones was started during the measurement, and is shown here.
    late = [check for check in chapter.checks("serving.start") if check.status == "fail"]
    return [*chapter.checks("spec."), *late]


def record(chapter: Chapter, fleet: Fleet, results: Results) -> list[Measurement]:
    """Record speeds, acceptance, speed-up, break-even and the cost of a step; return what the chapter shows of them."""
    for label, measured in results.items():
        loads.record(chapter, measured, family="spec", configuration=label)
    in_turn = _together(chapter, fleet)
    shown: list[Measurement] = []
    for label in _speculating(results):
        plain, own = results[PLAIN.label], results[label]
        for a, b in findings.pairs(plain, own):
            found = [
                *acceptance.measurements(b, configuration=label),
                findings.speedup_of(label, a, b, in_turn=in_turn),
            ]
            shown += _write(chapter, found, [a, b])
        derived = [*findings.break_evens(label, shown), *findings.costs(label, plain, own)]
        shown += _write(chapter, derived, [*plain, *own])
    return shown


def decide(chapter: Chapter, found: Sequence[Measurement]) -> Decision:
    """Decide which workload gets which setting, and from how many requests at a time it is off."""
    if not found:
        return Decision(
            name="spec.setting",
            choice="No speculation",
            reason="Nothing was compared: see the checks above for what could not run. Without evidence the plain "
            "server stays.",
            evidence=list(dict.fromkeys(check.name for check in chapter.checks() if check.status != "pass")),
        )
    return findings.decision(
        found,
        {each.name: each.tokens for each in _all(chapter)},
        chapter.profile.serving.max_num_seqs,
        random=gate.weights(chapter) == "random",
    )


def _all(chapter: Chapter) -> list[Configuration]:
    return configurations(gate.model(chapter), chapter.profile)


def _speculating(results: Results) -> list[str]:
    return [label for label in results if label != PLAIN.label] if PLAIN.label in results else []


def _together(chapter: Chapter, fleet: Fleet) -> bool:
    """Whether the plain server and every configuration may run at the same time."""
    return fleet.room > len(tried(chapter))


def _merged(parts: Sequence[Sequence[Result]]) -> list[Result]:
    """Join the repeats of each point, which were measured one by one."""
    return [
        Result(
            same[0].point,
            [run for result in same for run in result.runs],
            [file for result in same for file in result.files],
            same[0].command,
            [share for result in same for share in result.client_cpu],
        )
        for same in zip(*parts, strict=True)
    ]


def _write(chapter: Chapter, found: Sequence[Measurement], of: Sequence[Result]) -> list[Measurement]:
    return list(
        chapter.record(*found, artifacts=_files(of), model=chapter.profile.models.served, weights=gate.weights(chapter))
    )


def _files(results: Sequence[Result]) -> list[Path]:
    return [file for result in results for file in result.files]


def _no_synthetic() -> Check:
    return Check(
        name="spec.synthetic",
        title="The cost of speculation with random weights",
        status="skip",
        expected="vLLM accepts drafts by a set rate (rejection_sample_method: synthetic)",
        observed=f"not on a CPU: {CPU_HAS_NO_SYNTHETIC}",
        fix="measure it with real weights, or on a GPU",
        source=CPU_SOURCE,
    )


def _missing(each: Configuration, asked: bool) -> Check:
    return Check(
        name="spec.draft",
        title="The draft model is there",
        status="fail" if asked else "skip",
        expected=paths.short(each.folder) if each.folder else "",
        observed="not there; this configuration is not tried",
        fix=each.fetch,
        source=each.note,
        conditions={"configuration": each.name},
    )
