"""Render a run as one self-contained HTML file: no network, every number with its origin."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib.core import display, evidence, paths
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord, Status
from lib.core.state import ChapterState, RunState, read_state, replace
from lib.report import beside, beside_figure, cells, ledger, lists, published, raw, reference, summary, text
from lib.report.briefing import page as briefing_page
from lib.report.briefing.config_files import ConfigFile
from lib.report.claims import table
from lib.report.figures import Figure, library
from lib.report.language import bilingual, choice, kept
from lib.report.links import Links
from lib.report.markdown import Heading, Prose
from lib.report.review import page as review_page
from lib.report.review import store
from lib.report.review.annotation import visible

NAME = "report.html"
OTHER = "ru"


@dataclass(frozen=True)
class Chapter:
    """One chapter as the page shows it."""

    state: ChapterState
    blocks: list[cells.Block]
    headings: list[Heading]
    checks: dict[Status, int]
    readable: bool
    summary: Markup
    words: list[lists.Term]


def render(
    run: Path,
    out: Path | None = None,
    bundles: Path = reference.FOLDER,
    reviews: Path = store.FOLDER,
    language: str = "",
) -> Path:
    """Write the document of a run and return its path.

    Parameters
    ----------
    run : Path
        A run's folder; what is missing in it (a notebook, all evidence) is said in the document.
    out : Path, optional
        A file, or a folder for `report.html`; by default beside `run.json`, where links to raw files work.
    bundles : Path
        Folder of the reference bundles that are shown beside the run.
    reviews : Path
        Folder of the annotations that came back.
    language : str
        The language that the document opens in; it holds the other one too. By default what `REPORT_LANG` says.

    Raises
    ------
    RunbookError
        The folder holds no run, its `run.json` or evidence is damaged, or there is no such language.
    """
    first = choice.chosen(language)
    run = run.resolve()
    target = _target(run, out)
    speech = choice.speech(OTHER)
    with bilingual.uncollected():
        page = english(run, bundles, reviews, in_place=target.parent.resolve() == run)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, bilingual.bilingual(page, speech, OTHER, first).encode())
    kept.save(OTHER, speech.spoken)
    return target


def english(
    run: Path, bundles: Path = reference.FOLDER, reviews: Path = store.FOLDER, *, in_place: bool = False
) -> str:
    """Return the document of a run in English alone; `in_place` where links to raw files will work."""
    run = run.resolve()
    state = read_state(run)
    records = evidence.read(run / "evidence.jsonl")
    return _page(run, state, records, _beside(state, records, bundles), reviews, in_place=in_place)


def _target(run: Path, out: Path | None) -> Path:
    if out is None:
        return run / NAME
    return out if out.suffix == ".html" else out / NAME


def _page(
    run: Path, state: RunState, records: list[AnyRecord], others: beside.Beside, reviews: Path, in_place: bool
) -> str:
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
    plotly = library() if drawn else ""
    switch, script, annotator = _asset("language.js"), _asset("script.js"), _asset("annotator.js")
    decisions, claims = summary.decisions(records), table.collect(records)
    shown = review_page.Shown(
        [(chapter.state.id, chapter.state.title, chapter.blocks) for chapter in chapters],
        rows,
        [cited.decision for cited in decisions],
    )
    review = review_page.build(
        run,
        state,
        records,
        shown.places(),
        reviews,
        others={OTHER: lambda: shown.places(choice.speech(OTHER))},
    )
    return (
        _environment()
        .get_template("document.html")
        .render(
            state=state,
            verdict=summary.verdict(state, records),
            counts=evidence.count(records),
            chapters=chapters,
            decisions=decisions,
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
            claims=claims,
            briefing=briefing_page.build(state, records, claims),
            template_link=lambda name: _source_link(f"runbook/templates/{name}", review),
            glossary=lists.glossary(),
            figures=lists.figures(chapter.blocks for chapter in chapters),
            tables=lists.tables(chapter.blocks for chapter in chapters),
            policy=_policy(switch, script, annotator, plotly),
            review=review,
            style=Markup(_style("style.css") + _style("annotator.css")),  # noqa: S704  # our own files
            languages=choice.NAMES,
            language=Markup(switch),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # our own file
            annotator=Markup(annotator),  # noqa: S704  # our own file
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
    words = lists.used(blocks, lists.glossary())
    return Chapter(entry, blocks, headings, evidence.count(own), notebook is not None, gist, words)


def _source_link(path: str, review: review_page.Review) -> Markup:
    """Return a source's name, as a link where its text travels in the document."""
    found = next((file for file in review.files if file.path == path), None)
    name = Markup("<code>{}</code>").format(path.removeprefix("runbook/templates/"))
    return Markup('<a href="#{}">{}</a>').format(review.place(found), name) if found else name


def _file_place(file: ConfigFile) -> str:
    """Return the id of a file's line in the index of configuration files."""
    return f"file-{file.host}-{re.sub(r'[^a-z0-9]+', '-', file.path.lower()).strip('-')}"


def _policy(*scripts: str) -> str:
    """Return a Content-Security-Policy: nothing is loaded, and only these very scripts run."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts if script)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # Plotly sizes its drawings with inline styles; without a source to load from they can leak nothing.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _style(name: str) -> str:
    """Return a style sheet without what is meant for who edits it: comments, and spaces that separate nothing."""
    bare = re.sub(r"/\*.*?\*/", "", _asset(name), flags=re.DOTALL)
    return re.sub(r"\s*([{};])\s*|(?<=[\w-])(:) |(,) ", r"\1\2\3", bare)


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
        "visible": visible,
        "capitalize_first": text.capitalize_first,
        "prose": lambda value: Markup(display.prose(value)),  # noqa: S704  # display escapes it
        "source": lambda value: Markup(display.link(value)),  # noqa: S704  # display escapes it
    }
    environment.filters.update(filters)
    environment.globals.update(file_place=_file_place)
    environment.globals.update(words=display.WORDS, where=display.WHERE)
    environment.globals.update(claim_verdicts=table.VERDICTS, claim_ways=table.WAYS)
    environment.globals.update(
        settings=beside.settings, found=beside.found, quantity_title=beside.title, model_title=beside.model_title
    )
    return environment
