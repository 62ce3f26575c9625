"""Chapter 09: the memory over a corpus that nobody here wrote, measured from the save to the answer."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lib.chapters import memory_growth as growth
from lib.chapters.memory_figures import box
from lib.chapters.memory_study import NOTES, Study
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections.memory import Candidate
from lib.memory.embed import BATCH
from lib.memory.evaluate import answers, metrics
from lib.memory.evaluate import saves as evaluated
from lib.memory.files import Place
from lib.memory.ingest import REQUESTS, Report
from lib.memory.retrieve import METHODS, Method
from lib.memory.service import Memory

# Files that are taken in first.
FIRST = 10


def plan(chapter: Chapter) -> display.Html:
    """Show what would be remembered, by which model, and where."""
    settings = chapter.profile.memory
    roots = ", ".join(f"{name} ({place})" for name, place in settings.roots.items()) or "none named yet: memory.roots"
    rows = {
        "Model": settings.model or "none",
        "Chunk": f"up to {settings.chunk_tokens} tokens, whole blocks below one heading",
        "Store": "Chroma, embedded" if not settings.chroma else f"Chroma at {settings.chroma}",
        "Reranker": settings.reranker or "none",
        "On trial": _on_trial(settings.candidate),
        "The owner's folders": roots,
        "Passed over": ", ".join(settings.ignore),
    }
    return display.table([{"": key, " ": value} for key, value in rows.items()])


def ingest(study: Study) -> Report | None:
    """Take the corpus in, and record how near that comes to what the embedding server can do at all."""
    memory, chapter = study.memory, study.chapter
    if memory is None or study.corpus is None:
        return None
    # The first files warm the server up, and are the first size at which a search is timed.
    folder = study.folder / "corpus"
    memory.take([Place(folder.name, folder, page.name) for page in study.corpus.pages[:FIRST]])
    growth.size(study)
    with chapter.engine_time("ingest"):
        before = memory.store.manifest.ids()
        report = memory.add(folder)
        kept = memory.store.manifest.chunks(memory.store.manifest.ids() - before)
        own = _rate(memory, [chunk.chunk.embedded for chunk in kept.values()])
    rate = report.embedded / report.seconds
    study.ratio = rate / own
    study.record(
        Measurement(
            name="memory.ingest_rate",
            title="Chunks read, cut, embedded and written",
            value=round(rate, 2),
            unit="chunks/s",
            n=report.embedded,
            method=f"one pass over the corpus, {REQUESTS} requests of {BATCH} at a time",
            conditions={"corpus": study.corpus.origin},
            baseline=round(own, 2),
        ),
    )
    return report


def retrieval(study: Study) -> list[Measurement]:
    """Measure what each method finds, how long a search takes, and what Chroma misses beside the exact index."""
    memory = study.memory
    if memory is None or study.corpus is None:
        return []
    questions, vectors = study.all_questions, study.vectors()
    for method in METHODS:
        if method != "reranked" or memory.retriever.reranker:
            ranked = metrics.rankings(memory.retriever, questions, vectors, method)
            study.values[method] = metrics.scores(questions, ranked)
            _scores(study, method)
    growth.size(study)
    return study.chapter.measurements("memory.")


def saves(study: Study) -> list[float]:
    """Save files one after the other while the watcher runs, and record how soon a search finds each."""
    memory, count = study.memory, study.chapter.profile.memory.saves
    if memory is None:
        return []
    with study.chapter.engine_time("saves"):
        seconds = list(evaluated.seconds(memory, study.folder / NOTES, count))
    value = float(np.percentile(seconds, 95))
    study.record(
        Measurement(
            name="memory.visible_seconds",
            title="From the save to a search that finds the file, p95",
            value=round(value, 3),
            unit="s",
            n=len(seconds),
            method="saves one after the other, searched for until found; 95th percentile",
            conditions={"median": round(statistics.median(seconds), 3), "slowest": round(max(seconds), 3)},
        ),
    )
    study.chapter.record(
        Check(
            name="memory.visible",
            title="A saved file is found at once",
            status="pass" if value <= evaluated.LIMIT_S else "fail",
            expected=f"p95 of at most {evaluated.LIMIT_S:g} s",
            observed=f"{value:.2f} s",
            fix="look at the embedding server's load: a save waits for one request to it",
        )
    )
    return seconds


def told(study: Study) -> list[answers.Asked]:
    """Ask the served model for facts that only the memory can know."""
    memory, chapter = study.memory, study.chapter
    if memory is None or not study.servers.chat_url or not chapter.profile.memory.facts:
        return []
    made = answers.facts(chapter.profile.memory.facts)
    answers.write(study.folder / "doors", made)
    memory.add(study.folder / "doors")
    model = chapter.profile.models.served
    try:
        with chapter.engine_time("answers"):
            asked = answers.ask(study.servers.chat_url, model, memory, made, chapter.profile.memory.context_tokens)
    except RunbookError as error:
        chapter.record(
            Check(name="memory.answers", status="fail", expected="answers", observed=error.what, fix=error.fix)
        )
        return []
    for way, right in (("without", [a.without for a in asked]), ("with", [a.with_memory for a in asked])):
        study.record(
            Measurement(
                name="memory.exact_answers",
                title="Facts answered exactly",
                value=sum(right) / len(right),
                unit="share",
                n=len(right),
                interval=answers.interval(sum(right), len(right)),
                method="the right number and no other in the answer, greedy; Wilson interval",
                conditions={"memory": way, "model": model},
            ),
        )
    return asked


def decide(study: Study) -> Decision:
    """Choose the method: the joined one, unless another is shown to find more."""
    values = study.values
    if not values:
        return Decision(
            name="memory.method",
            choice="Nothing is decided",
            reason="No embedding server ran, so nothing was measured.",
            evidence=[check.name for check in study.chapter.checks("memory.")],
        )
    means = {method: metrics.estimate(found["ndcg_at_10"]).mean for method, found in values.items()}
    chosen: Method = "reranked" if "reranked" in values else "fused"
    verdicts = {method: metrics.verdict(found, values[chosen]) for method, found in values.items() if method != chosen}
    for method, said in verdicts.items():
        chosen = method if said == "better" else chosen
    return Decision(
        name="memory.method",
        choice=f"Search {chosen}",
        reason=(
            f"nDCG@10 is {means[chosen]:.3f}. On the same questions no other method is shown to be better; "
            "joined, words that the model does not know (names, numbers, options) are found as well."
        ),
        evidence=["memory.ndcg_at_10", "memory.recall_at_10", "memory.search_ms"],
        alternatives=[f"{method}: {means[method]:.3f}, {said}" for method, said in verdicts.items()],
    )


def search_box(study: Study) -> object:
    """Return a search box over the memory, or, headless, what one question finds."""
    return box(study.chapter, study.memory, study.questions)


def _on_trial(candidate: Candidate) -> str:
    if not candidate.model:
        return "no other embedding model"
    cut = f", vectors cut at {candidate.dimension} numbers" if candidate.dimension else ""
    return f"{candidate.model}{cut}"


def _rate(memory: Memory, texts: Sequence[str]) -> float:
    if memory.embedder is None:
        return 0.0
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    begun = time.monotonic()
    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(memory.embedder.documents, batches))
    return len(texts) / (time.monotonic() - begun)


def _scores(study: Study, method: Method) -> None:
    origin = study.corpus.origin if study.corpus else ""
    for name, values in study.values[method].items():
        found = metrics.estimate(values)
        study.record(
            Measurement(
                name=f"memory.{name}" if name != "recall_at_10" else "memory.found_at_10",
                title={"ndcg_at_10": "nDCG@10", "recall_at_10": "Right file among ten", "mrr": "MRR"}[name],
                value=round(found.mean, 4),
                unit="",
                n=found.n,
                interval=(round(found.low, 4), round(found.high, 4)),
                method=metrics.METHOD,
                conditions={"method": method, "corpus": origin},
            ),
        )
