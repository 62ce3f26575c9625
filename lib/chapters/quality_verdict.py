"""Chapter 08: what the quality figures add up to: a table, a figure, the original file, and a decision."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lib.chapters.quality import Interview
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement
from lib.engine.models import catalogue, fetch, sizes
from lib.engine.quality import divergence, findings, intervals, original
from lib.engine.quality.findings import Told
from lib.engine.quality.original import Finding

# A variant may replace the reference when its perplexity is at most this much higher, interval included, and it
# answers no fewer questions than chance explains.
LOSS = 1.02
CHANCE = 0.05
FLOOR = 1e-7  # nothing below it can be drawn on a logarithmic axis
ORIGINAL_WINDOW = 256
ORIGINAL_WINDOWS = 2
ORIGINAL_TITLE = "The served weights are those of the 4-bit file"
SMALL = 10**9  # parameters
LIMITS = (
    "A model of 135M parameters cannot show what a large one loses: long reasoning, code, rare languages. It shows "
    "that the method works, and how large the effect of each format is here. The owner's models are compared with "
    "the same cells on his card. These weights were 4-bit once already: what was lost from the publisher's bfloat16 to "
    "them cannot be seen here."
)
LARGE = "These questions do not show what long reasoning or a rare language loses: ask the owner's own questions too."
THE_FILE = "the 4-bit file"


def table(interview: Interview) -> display.Html:
    """Show each variant in one row: what it loses, what it saves, how fast it is."""
    chapter = interview.chapter
    if not interview.told:
        return display.Html("<p>No variant was asked: see the checks above.</p>", "no variant was asked")
    rows = [_row(chapter, told) for told in interview.told]
    return display.table(rows, "Sense, memory and speed; 95 % intervals", numeric=tuple(rows[0])[1:])


def figure(interview: Interview) -> display.Figure | display.Html:
    """Draw, for each variant, at which share of the positions its divergence from the reference exceeds a value."""
    reference = interview.reference
    others = [told for told in interview.told if told is not reference]
    if reference is None or not others:
        return display.Html("<p>Nothing was compared.</p>", "nothing was compared")
    plot = go.Figure()
    passes = [(f"{reference.model}, asked again", divergence.flat(reference.again))]
    for name, seen in [(told.model, told.positions) for told in others] + passes:
        pairs = zip(reference.positions, seen, strict=False)  # fewer were asked again
        values = np.sort([max(divergence.kl(a, b), FLOOR) for a, b in pairs])[::-1]
        share = np.arange(1, values.size + 1) / values.size * 100
        plot.add_scatter(x=values, y=share, mode="lines", name=name)
    plot.update_layout(yaxis_title="per cent of positions above", height=380)
    plot.update_xaxes(type="log", title="KL divergence, nats (at least)")
    return display.figure(plot, "How far next-token distributions are from the reference's, position by position")


def compare_original(interview: Interview) -> list[Check]:
    """Hold the served reference against the 4-bit file that it was made from, where the profile wants that."""
    chapter, quality = interview.chapter, interview.quality
    name = (quality.models or [chapter.profile.models.served])[0]
    if not quality.original:
        chapter.record(_not_asked(name))
        return chapter.checks("quality.original")
    try:
        file = original.fetched(catalogue.get(name), print)
        # The windows that the server was asked are cut shorter: two whole models in float32 work through them.
        windows = [window[:ORIGINAL_WINDOW] for window in interview.windows[:ORIGINAL_WINDOWS]]
        found = original.compare(file, fetch.folder(name, chapter.profile.models.store), windows)
    except RunbookError as error:
        chapter.record(_no_original(name, error))
        return chapter.checks("quality.original")
    saved = chapter.save("original.json", found.model_dump_json(indent=1))
    chapter.record(_original(name, found), *_original_measured(name, found), artifacts=[saved], model=name)
    return chapter.checks("quality.original")


def decide(interview: Interview) -> Decision:
    """Choose the smallest variant that the evidence supports, and say what the evidence cannot show."""
    chapter, reference = interview.chapter, interview.reference
    present = {record.name for record in chapter.records}
    cited = [n for n in ("quality.kl", "quality.perplexity_ratio", "quality.accuracy", "quality.self") if n in present]
    broken = [check for check in chapter.checks("quality.self") if check.status == "fail"]
    others = [told for told in interview.told if told is not reference]
    if reference is None or not others or broken:
        why = "The reference does not agree with itself." if broken else "No two variants were asked on this machine."
        return Decision(name="quality.variant", choice="Nothing is decided", reason=why, evidence=cited)
    verdicts = {told.model: _objections(chapter, told, reference) for told in others}
    good = [told for told in others if not verdicts[told.model]]
    best = min([*good, reference], key=lambda told: _value(chapter, "quality.weight_bytes", told.model))
    asked = len(reference.graded)
    told = "; ".join(f"{name}: {why or 'no loss beyond the limits'}" for name, why in verdicts.items())
    rest = [told.model for told in interview.told if told is not best]
    return Decision(
        name="quality.variant",
        choice=f"{catalogue.get(best.model).title} ({catalogue.get(best.model).format})",
        reason=(
            f"Limits: perplexity at most {LOSS - 1:.0%} above the reference, its whole interval, and no fewer right "
            f"answers than chance explains (p ≥ {CHANCE:g}). {told}. {asked} questions show only large differences: "
            f"half of them right, the interval is ± {_half_width(asked):.0%}. {limits(chapter)}"
        ),
        evidence=cited,
        alternatives=[f"{name}: {_price(chapter, name)}" for name in rest],
    )


def limits(chapter: Chapter) -> str:
    """Return what the evidence cannot show, for a model of this size."""
    names = chapter.profile.quality.models
    small = bool(names) and sizes.parameters(catalogue.get(names[0]).architecture) < SMALL
    return LIMITS if small else LARGE


def _objections(chapter: Chapter, told: Told, reference: Told) -> str:
    ratio = _found(chapter, "quality.perplexity_ratio", told.model)
    high = ratio.interval[1] if ratio and ratio.interval else float("inf")
    said = []
    if high > LOSS:
        said.append(f"perplexity × {ratio.value:.3f}, up to {high:.3f}" if ratio else "perplexity not known")
    worse = sum(not g.reason for g in told.graded) < sum(not g.reason for g in reference.graded)
    if worse and findings.chance(told, reference) < CHANCE:
        said.append(f"fewer right answers (p = {findings.chance(told, reference):.2g})")
    return ", ".join(said)


def _price(chapter: Chapter, name: str) -> str:
    kl = _found(chapter, "quality.kl", name)
    size = _value(chapter, "quality.weight_bytes", name) / 1e6
    return f"{size:.0f} MB" + (f", KL at least {display.number(kl.value)} nats" if kl else "")


def _row(chapter: Chapter, told: Told) -> dict[str, str]:
    speeds = {m.conditions.get("concurrency"): m for m in _all(chapter, "quality.output_throughput", told.model)}
    return {
        "Variant": told.model,
        "Perplexity": _shown(_found(chapter, "quality.perplexity", told.model)),
        "Relative": _shown(_found(chapter, "quality.perplexity_ratio", told.model)) or "1",
        "KL, nats, at least": _shown(_found(chapter, "quality.kl", told.model)) or "–",
        "Same first choice": _shown(_found(chapter, "quality.top1_agreement", told.model)) or "–",
        "Right answers": _shown(_found(chapter, "quality.accuracy", told.model)),
        "Weights, MB": f"{_value(chapter, 'quality.weight_bytes', told.model) / 1e6:.0f}",
        "Memory, MB": f"{_value(chapter, 'quality.memory_bytes', told.model) / 1e6:.0f}",
        **{f"tok/s at {at}": _shown(m) for at, m in speeds.items()},
    }


def _shown(found: Measurement | None) -> str:
    if found is None:
        return ""
    low, high = found.interval or (found.value, found.value)
    return f"{display.number(found.value)} ({display.number(low)} … {display.number(high)})"


def _all(chapter: Chapter, name: str, model: str) -> list[Measurement]:
    named = [m for m in chapter.measurements(name) if m.name == name]
    there = [m for m in named if m.conditions.get("reference") != THE_FILE]
    return [m for m in there if model in (m.conditions.get("model"), m.conditions.get("variant"))]


def _found(chapter: Chapter, name: str, model: str) -> Measurement | None:
    return next(iter(_all(chapter, name, model)), None)


def _value(chapter: Chapter, name: str, model: str) -> float:
    found = _found(chapter, name, model)
    return found.value if found else 0.0


def _half_width(asked: int) -> float:
    low, high = intervals.wilson(asked // 2, asked)
    return (high - low) / 2


def _original(name: str, found: Finding) -> Check:
    whole = found.largest_error <= original.HALF_STEP
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(found.kinds.items()))
    return Check(
        name="quality.original",
        title=ORIGINAL_TITLE,
        status="pass" if whole else "fail",
        expected=f"no weight off by more than the rounding to bfloat16, {original.HALF_STEP:.2%} of itself",
        observed=f"at most {found.largest_error:.2%}, all together {found.relative_error:.3%}; the file holds {kinds}",
        fix=f"the conversion is wrong: python -m lib models fetch {name} makes it again",
        source="gguf package, dequantised to float32",
        conditions={"model": name},
    )


def _original_measured(name: str, found: Finding) -> Sequence[Measurement]:
    low, high = intervals.block_bootstrap(found.kl)
    exact = "exact, over the whole vocabulary, both in float32 with transformers"
    return [
        Measurement(
            name="quality.weight_error",
            title="Weights against the 4-bit file, relative error",
            value=round(found.relative_error, 6),
            unit="share",
            n=found.tensors,
            method="Frobenius norm of the difference over that of the file's weights, all tensors",
            conditions={"model": name, "reference": THE_FILE},
        ),
        Measurement(
            name="quality.kl",
            title="KL divergence of the served weights from the 4-bit file",
            value=round(float(np.mean(found.kl)), 7),
            unit="nats",
            n=len(found.kl),
            interval=(round(low, 7), round(high, 7)),
            method=f"{exact}; same first choice at {found.agreement:.1%}; {intervals.METHOD}",
            conditions={"model": name, "reference": THE_FILE},
        ),
    ]


def _not_asked(name: str) -> Check:
    return Check(
        name="quality.original",
        title=ORIGINAL_TITLE,
        status="skip",
        expected="every weight within the rounding to bfloat16, and the divergence that follows",
        observed="takes minutes and fetches the file once more; the profile does not ask for it",
        fix="ask for it: python -m lib run --only 08 --set quality.original=true",
        conditions={"model": name},
    )


def _no_original(name: str, error: RunbookError) -> Check:
    return Check(
        name="quality.original",
        title=ORIGINAL_TITLE,
        status="fail",
        expected="the 4-bit file, read and compared",
        observed=error.what,
        fix=error.fix or "read where it failed in the line above",
        conditions={"model": name},
    )
