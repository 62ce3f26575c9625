"""Chapter 09's growth: search at each size that its own memory passes through, beside the committed benchmark."""

import json
import statistics
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lib.chapters.memory_study import Study
from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Measurement
from lib.memory.evaluate import metrics
from lib.memory.service import Memory

RESULTS = paths.ROOT / "benchmarks" / "results"
SEARCH_MS = 50.0
RECALL = 0.99


def size(study: Study) -> list[Measurement]:
    """Record search time and Chroma's recall at the size that the memory has now."""
    memory = study.memory
    if memory is None:
        return []
    chunks = len(memory.store.manifest.ids())
    study.record(_search_ms(study, memory, chunks), _recall(study, memory, chunks))
    return study.chapter.measurements("memory.")[-2:]


def checks(study: Study) -> list[Check]:
    """Check the largest size of this run, and that the reference keeps to the limits at its largest size."""
    chapter = study.chapter
    measured = chapter.measurements("memory.search_ms")
    if not measured:
        return []
    largest, found = measured[-1], chapter.measurements("memory.recall_at_10")[-1]
    chapter.record(
        _limits("this run", int(str(largest.conditions["chunks"])), largest.value, found.value),
        *(
            _limits(_origin(told), point["chunks"], point["search_ms_p95"], point["recall_at_10"])
            for told in [reference("memory_growth")]
            for point in told["points"][-1:]
        ),
    )
    return chapter.checks("memory.search")


def figure(chapter: Chapter) -> display.Figure | display.Html:
    """Plot the time of a search by size: this run's sizes, and those of the benchmark with its origin."""
    told = reference("memory_growth")
    plot = go.Figure()
    mine = chapter.measurements("memory.search_ms")
    if mine:
        plot.add_scatter(
            x=[m.conditions["chunks"] for m in mine],
            y=[m.value for m in mine],
            mode="lines+markers",
            name=f"this run, {mine[0].provenance.model}, p95",
        )
    points = told["points"]
    for key, title in (("search_ms_p50", "median"), ("search_ms_p95", "p95")):
        plot.add_scatter(
            x=[point["chunks"] for point in points],
            y=[point[key] for point in points],
            mode="lines+markers",
            line={"dash": "dot"},
            name=f"benchmark, {title}",
        )
    plot.add_hline(y=SEARCH_MS, line_dash="dash", annotation_text="limit for p95")
    plot.update_xaxes(title="chunks", type="log")
    plot.update_yaxes(title="ms", rangemode="tozero")
    return display.figure(plot, f"Search without the embedding call, by size. Dotted: {_origin(told)}")


def table() -> display.Html:
    """Show what the committed benchmark measured at each size."""
    told = reference("memory_growth")
    rows = [
        {
            "What": f"search among {point['chunks']:,} chunks",
            "n": point["questions"],
            "Median": f"{point['search_ms_p50']:.1f} ms",
            "p95": f"{point['search_ms_p95']:.1f} ms",
            "Recall@10": f"{point['recall_at_10']:.4f}",
            "Origin": _origin(told),
        }
        for point in told["points"]
    ]
    return display.table(rows, "The committed benchmark of growth", numeric=("n", "Median", "p95", "Recall@10"))


def reference(name: str) -> dict[str, Any]:
    """Read a result of `benchmarks/`."""
    told: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return told


def _origin(told: dict[str, Any]) -> str:
    vectors = "vectors from the words of a text" if told["model"] == "words" else f"vectors of {told['model']}"
    return f"benchmark of {told['date']}, {told['machine']['cpu']}, {vectors}"


def _limits(where: str, chunks: int, milliseconds: float, recall: float) -> Check:
    kept = milliseconds <= SEARCH_MS and recall >= RECALL
    return Check(
        name="memory.search",
        title="Search is quick, and Chroma misses next to nothing",
        status="pass" if kept else "warn",
        expected=f"p95 of at most {SEARCH_MS:g} ms, recall@10 of at least {RECALL}",
        observed=f"{milliseconds:.1f} ms, {recall:.4f}",
        conditions={"chunks": chunks, "origin": where},
        fix="" if kept else "measure on a quiet machine; memory.hnsw.ef_search finds more when it is higher",
    )


def _search_ms(study: Study, memory: Memory, chunks: int) -> Measurement:
    pairs = zip(study.all_questions, study.vectors(), strict=True)
    taken = [memory.retriever.joined(question.text, vector, 10).seconds * 1000 for question, vector in pairs]
    return Measurement(
        name="memory.search_ms",
        title="Search without the embedding call, p95",
        value=round(float(np.percentile(taken, 95)), 3),
        unit="ms",
        n=len(taken),
        method="both rankings, joined, chunks read; 95th percentile over questions",
        conditions={"chunks": chunks, "median": round(statistics.median(taken), 3)},
    )


def _recall(study: Study, memory: Memory, chunks: int) -> Measurement:
    found = metrics.estimate(metrics.nearest_found(memory.store.dense, memory.store.exact(), study.vectors()))
    return Measurement(
        name="memory.recall_at_10",
        title="Of the ten nearest chunks, Chroma finds",
        value=round(found.mean, 4),
        unit="share",
        n=found.n,
        interval=(round(found.low, 4), round(found.high, 4)),
        method=f"against FAISS flat; {metrics.METHOD}",
        conditions={"chunks": chunks},
    )
