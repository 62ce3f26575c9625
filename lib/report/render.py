"""Render a run as one self-contained HTML file: no network, every number with its origin."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from ruamel.yaml import YAML

from lib.core import display, evidence, paths
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord, Status
from lib.core.state import ChapterState, RunState, read_state, replace
from lib.report import beside, beside_figure, cells, ledger, published, raw, reference, summary, text
from lib.report.figures import Figure
from lib.report.links import Links
from lib.report.markdown import Heading, Prose

NAME = "report.html"


@dataclass(frozen=True)
class Chapter:
    """One chapter as the page shows it."""

    state: ChapterState
    blocks: list[cells.Block]
    headings: list[Heading]
    checks: dict[Status, int]
    readable: bool
    summary: Markup


def render(run: Path, out: Path | None = None, bundles: Path = reference.FOLDER) -> Path:
    """Write the document of a run and return its path.

    Parameters
    ----------
    run : Path
        A run's folder; what is missing in it (a notebook, all evidence) is said in the document.
    out : Path, optional
        A file, or a folder for `report.html`; by default beside `run.json`, where links to raw files work.
    bundles : Path
        Folder of the reference bundles that are shown beside the run.

    Raises
    ------
    RunbookError
        The folder holds no run, or its `run.json` or evidence is damaged.
    """
    run = run.resolve()
    state = read_state(run)
    records = evidence.read(run / "evidence.jsonl")
    target = _target(run, out)
    others = _beside(state, records, bundles)
    page = _page(run, state, records, others, in_place=target.parent.resolve() == run)
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, page.encode())
    return target


def _target(run: Path, out: Path | None) -> Path:
    if out is None:
        return run / NAME
    return out if out.suffix == ".html" else out / NAME


def _page(run: Path, state: RunState, records: list[AnyRecord], others: beside.Beside, in_place: bool) -> str:
    files = raw.collect(run, records)
    rows = ledger.rows(records, files)
    anchors = {id(row.record): row.anchor for row in rows}
    links = Links(
        chapters=[chapter.id for chapter in state.chapters],
        files={file.path: file.anchor for file in files},
        records={row.record.name: row.anchor for row in reversed(rows)},
    )
    numbers = cells.Numbers()
    chapters = [_chapter(run, entry, records, links, numbers) for entry in state.chapters]
    compared = beside_figure.throughput(others, numbers.figure())
    drawn = compared or any(isinstance(block, Figure) for chapter in chapters for block in chapter.blocks)
    plotly = get_plotlyjs() if drawn else ""
    script = _asset("script.js")
    return (
        _environment()
        .get_template("document.html")
        .render(
            state=state,
            verdict=summary.verdict(state, records),
            counts=evidence.count(records),
            chapters=chapters,
            decisions=summary.decisions(records),
            single=summary.single(records),
            points=summary.points(records),
            still_open=summary.still_open(records),
            planned=summary.planned(records),
            rows=rows,
            usual=ledger.usual(records),
            anchor_of=lambda record: anchors[id(record)],
            files=files,
            damaged=[file for file in files if file.integrity in ("changed", "missing")],
            in_place=in_place,
            beside=others,
            beside_figure=compared,
            links=links,
            glossary=YAML(typ="safe", pure=True).load(paths.REPORT_TEMPLATE / "glossary.yml"),
            policy=_policy(script, plotly),
            style=Markup(_asset("style.css")),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # our own file
            plotly=Markup(plotly),  # noqa: S704  # as the plotly package ships it
        )
    )


def _beside(state: RunState, records: list[AnyRecord], folder: Path) -> beside.Beside:
    """Read what is shown beside the run; what cannot be read is told in the document, which is written all the same."""
    bundles, problems = reference.load_all(folder)
    figures = None
    try:
        figures = published.load()
    except RunbookError as error:
        problems.append(error)
    return beside.compare(state, records, bundles, figures, problems)


def _chapter(run: Path, entry: ChapterState, records: list[AnyRecord], links: Links, numbers: cells.Numbers) -> Chapter:
    notebook = None
    if entry.status not in ("skipped", "pending"):
        notebook = cells.read(run / "chapters" / f"{entry.stem}.ipynb")
    blocks: list[cells.Block] = []
    headings: list[Heading] = []
    if notebook is not None:
        blocks, headings = cells.blocks(notebook, entry.id, links, numbers, finished=entry.status == "passed")
    own = [record for record in records if record.provenance.chapter == entry.id]
    gist = Prose(entry.id, links, numbers.table).render(entry.summary)
    return Chapter(entry, blocks, headings, evidence.count(own), notebook is not None, gist)


def _policy(*scripts: str) -> str:
    """Return a Content-Security-Policy: nothing is loaded, and only these very scripts run."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts if script)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # Plotly sizes its drawings with inline styles; without a source to load from they can leak nothing.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (paths.REPORT_TEMPLATE / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(paths.REPORT_TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": display.number,
        "duration": display.duration,
        "size": text.size,
        "source": lambda value: Markup(display.link(value)),  # noqa: S704  # display escapes it
    }
    environment.filters.update(filters)
    environment.globals.update(words=display.WORDS, where=display.WHERE)
    environment.globals.update(
        settings=beside.settings, found=beside.found, quantity_title=beside.title, model_title=beside.model_title
    )
    return environment
