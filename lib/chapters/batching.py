"""Chapter 06: what batching gives, as plots and as a decision."""

from collections.abc import Sequence

from lib.chapters import batching_figures as figures
from lib.chapters import gate
from lib.chapters import load as loads
from lib.chapters.fleet import Fleet
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections import Batching
from lib.engine.bench import point as points
from lib.engine.bench import results as verdicts
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.serve.server import Server
from lib.engine.serve.variant import Variant

# Where the prompt is what varies, so many tokens of answer are enough to show TPOT.
SHORT_OUTPUT = 16
# Shared beginnings: the first requests fill the cache, the further ones find it filled.
PREFIX_CONCURRENCY = 2
PREFIX_PROMPTS = 3


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
        for point in points.points(load)
    ]
    return display.table(rows, "Operating points", numeric=list(rows[0]))


def measure(chapter: Chapter, engine: Server | None) -> list[Result]:
    """Measure every operating point of the profile; a client that fails becomes a failed check."""
    load = chapter.profile.batching
    return loads.measure(chapter, engine, points.points(load), Effort.of(load))


def record(chapter: Chapter, results: Sequence[Result]) -> list[Measurement]:
    """Record the measurements of every point, and from which concurrency on more gave no more output."""
    found = loads.record(chapter, results)
    full = figures.saturation(found)
    if full is not None:
        saturated = Measurement(
            name="batching.saturation_concurrency",
            title="Saturated from",
            value=full,
            unit="requests at a time",
            method=f"smallest point that reaches {figures.SATURATED:.0%} of the best, or whose interval holds the best",
            conditions=figures.usual(found),
        )
        chapter.record(saturated, model=chapter.profile.models.served, weights=gate.weights(chapter))
    return found


def contexts(chapter: Chapter, engine: Server | None) -> list[Measurement]:
    """Measure one request alone with prompts of rising length, as far as the profile's context reaches."""
    load, limit = chapter.profile.batching, chapter.profile.serving.max_model_len
    lengths = [length for length in load.contexts if length + SHORT_OUTPUT <= limit]
    wanted = [Point(1, length, SHORT_OUTPUT) for length in lengths]
    return loads.record(chapter, loads.measure(chapter, engine, wanted, _further(load), "context"), "batching.context")


def prefixes(chapter: Chapter, engine: Server | None) -> list[Measurement]:
    """Measure prompts that share their beginning against prompts of the same length that share nothing."""
    load = chapter.profile.batching
    if engine is None or not load.prefix_tokens:
        return []
    length = load.prefix_tokens + load.input_tokens
    effort = _further(load)._replace(prompts_per_slot=PREFIX_PROMPTS)
    found: list[Measurement] = []
    for shared in (0, load.prefix_tokens):
        before = engine.counters()
        wanted = [Point(PREFIX_CONCURRENCY, length, SHORT_OUTPUT, shared)]
        found += loads.record(
            chapter, loads.measure(chapter, engine, wanted, effort, f"prefix-{shared}"), "batching.prefix"
        )
        after = engine.counters()
        asked = after["vllm:prefix_cache_queries_total"] - before["vllm:prefix_cache_queries_total"]
        hits = after["vllm:prefix_cache_hits_total"] - before["vllm:prefix_cache_hits_total"]
        rate = Measurement(
            name="batching.prefix.hit_rate",
            title="Prompt tokens answered by the prefix cache",
            value=round(hits / asked, 4) if asked else 0.0,
            unit="",
            n=int(asked),
            method="vllm:prefix_cache_hits over vllm:prefix_cache_queries, warm-up included",
            conditions=wanted[0].conditions,
        )
        found += chapter.record(rate, model=engine.model.name, weights=gate.weights(chapter))
    return found


def kv_types(chapter: Chapter, fleet: Fleet) -> list[Measurement]:
    """Measure the profile's largest load with other number formats in the KV cache, each on a server of its own."""
    load = chapter.profile.batching
    found: list[Measurement] = []
    for kind in load.kv_cache_dtypes:
        variant = Variant(f"kv-{kind}", {"kv_cache_dtype": kind})
        wanted = [Point(max(load.concurrency), load.input_tokens, load.output_tokens)]
        results = loads.measure(
            chapter, fleet.use(variant, searching=True), wanted, _further(load), f"load-{variant.label}"
        )
        found += loads.record(chapter, results, "batching.kv", kv_cache_dtype=kind)
        fleet.stop(variant)
    return found


def verify(chapter: Chapter, results: Sequence[Result]) -> list[Check]:
    """Record whether every request was answered in full, and where the limits hold; show what was recorded."""
    if results:
        effort = Effort.of(chapter.profile.batching)
        chapter.record(*verdicts.checks(results, effort), model=chapter.profile.models.served)
    return chapter.checks("batching.")


def decide(
    results: Sequence[Result], found: Sequence[Measurement], load: Batching, recorded: Sequence[str] = ()
) -> Decision:
    """Choose the concurrency with the most output among those that hold the limits; a tie goes to the smaller one."""
    cited = ["batching.output_throughput", "batching.ttft_ms", "batching.tpot_ms", "batching.limits"]
    throughput = {
        m.conditions["concurrency"]: m
        for m in figures.series(found, "batching.output_throughput", figures.usual(found))
    }
    holding = [throughput[r.point.concurrency] for r in results if verdicts.within_limits(r, Effort.of(load))]
    if not results:
        return Decision(
            name="batching.concurrency",
            choice="Nothing is decided",
            reason="Nothing was measured: no speed is reported for an engine that does not start or answers wrong.",
            evidence=[name for name in ("serving.start", "serving.smoke", "batching.completed") if name in recorded],
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
    chosen = next(m for m in holding if figures.upper(m) >= best.value)
    gain = chosen.value / figures.series(found, "batching.output_throughput", figures.usual(found))[0].value
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


def _further(load: Batching) -> Effort:
    return Effort.of(load)._replace(repeats=load.further_repeats)
