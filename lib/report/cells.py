"""An executed notebook as blocks of a page: prose, folded code, outputs, and the error that ended it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from markupsafe import Markup
from nbformat import v4

from lib.core.display import Figure as DisplayFigure
from lib.report.figures import Figure, figure
from lib.report.links import Links
from lib.report.markdown import Heading, Prose, highlight
from lib.report.sanitize import clean
from lib.report.text import Excerpt, excerpt, plain, portable

_PAPERMILL = frozenset({"papermill-error-cell-tag", "injected-parameters"})
_SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Html:
    """Prose or a rendered output; `place` is its id in the page, `cells` the notebook's cells that it was made from."""

    kind: ClassVar[str] = "html"
    html: Markup
    prose: bool = False
    place: str = ""
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """Source code, folded away; `seconds` where it took long enough to matter."""

    kind: ClassVar[str] = "code"
    html: Markup
    seconds: float = 0
    place: str = ""
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """Printed text; `stream` is stdout, stderr or result."""

    kind: ClassVar[str] = "text"
    excerpt: Excerpt
    stream: str
    place: str = ""


@dataclass(frozen=True)
class Error:
    """The exception that ended the chapter, its traceback trimmed, and the sections that were not reached."""

    kind: ClassVar[str] = "error"
    name: str
    message: str
    traceback: Excerpt
    unreached: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Unreached:
    """A chapter that was cut short: the sections that were not reached."""

    kind: ClassVar[str] = "unreached"
    sections: list[str]


Block = Html | Code | Text | Error | Unreached | Figure


class Numbers:
    """Counts figures and tables through the whole document."""

    def __init__(self) -> None:
        self._figures, self._tables = count(1), count(1)

    def figure(self) -> int:
        """Return the next figure's number."""
        return next(self._figures)

    def table(self) -> int:
        """Return the next table's number."""
        return next(self._tables)


def read(path: Path) -> Any | None:
    """Return a notebook, or None if it is not there or cannot be read: a run may have been cut while writing it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("nbformat") != 4:
            return None
        nbformat.validate(content)
        return v4.to_notebook_json(content)
    except (OSError, ValueError, nbformat.ValidationError):
        return None


def belongs_to_source(cell: Any) -> bool:
    """Tell whether a cell of an executed notebook stands in the chapter's own notebook too."""
    return _PAPERMILL.isdisjoint(cell.metadata.get("tags", []))


def blocks(
    notebook: Any, chapter: str, links: Links, numbers: Numbers, finished: bool
) -> tuple[list[Block], list[Heading]]:
    """Return a notebook's blocks and section headings.

    Parameters
    ----------
    finished : bool
        Whether every cell was executed; otherwise the page ends at the first one that was not.
    """
    page = _Page(Prose(chapter, links, numbers.table), links, numbers)
    return list(page.blocks(notebook.cells, finished)), page.prose.headings


class _Page:
    def __init__(self, prose: Prose, links: Links, numbers: Numbers) -> None:
        self.prose, self._links, self._numbers = prose, links, numbers
        self._silent: list[Any] = []  # code without output joins the next cell that shows something
        self._outputs_of = count(1)

    def blocks(self, cells: list[Any], finished: bool) -> Iterator[Block]:
        for index, cell in enumerate(cells):
            tags = cell.metadata.get("tags", [])
            if cell.cell_type == "markdown" and belongs_to_source(cell):
                yield from self._code()
                if html := self.prose.render(cell.source):
                    yield Html(html, prose=True, place=self._place(cell), cells=_ids([cell]))
            elif cell.cell_type == "code" and "parameters" not in tags:
                if not finished and cell.execution_count is None and cell.source.strip():
                    yield Unreached(_sections(cells[index:]))
                    return
                yield from self._cell(cell)
                if ended := self._error(cell, cells[index + 1 :]):
                    yield from self._code(_seconds(cell))
                    yield ended
                    return
        yield from self._code()

    def _cell(self, cell: Any) -> Iterator[Block]:
        self._silent.append(cell)
        shown = list(self._outputs(cell.outputs))
        if shown:
            yield from self._code(_seconds(cell))
            yield from shown

    def _code(self, seconds: float = 0) -> Iterator[Block]:
        told = [cell for cell in self._silent if cell.source.strip()]
        source = portable("\n\n".join(cell.source.strip("\n") for cell in told))
        self._silent = []
        if source:
            slow = seconds if seconds >= _SLOW_SECONDS else 0
            yield Code(highlight(source), slow, self._place(told[0]), _ids(told))

    def _outputs(self, outputs: list[Any]) -> Iterator[Block]:
        for output in _joined(outputs):
            if output["output_type"] == "stream":
                text = portable(plain(output["text"]))
                if text:
                    yield Text(excerpt(text), output["name"], self._next_output())
            elif output["output_type"] in ("display_data", "execute_result"):
                yield from self._rich(output["data"])

    def _rich(self, data: Mapping[str, Any]) -> Iterator[Block]:
        if DisplayFigure.MIME in data:
            yield figure(data[DisplayFigure.MIME], self._numbers.figure())
        elif "text/html" in data:
            markup = clean(portable(data["text/html"]), self._links, number_table=self._numbers.table)
            if markup.strip():
                yield Html(markup, place=self._next_output())
        elif "image/png" in data:
            text = escape(str(data.get("text/plain", "image")))
            image = f'<img src="data:image/png;base64,{data["image/png"]}" alt="{text}">'
            yield Html(clean(image), place=self._next_output())
        elif "text/markdown" in data:
            yield Html(self.prose.render(data["text/markdown"]), prose=True, place=self._next_output())
        elif "application/vnd.jupyter.widget-view+json" in data:
            return  # Controls for JupyterLab: a document has nothing to press.
        elif text := portable(plain(str(data.get("text/plain", "")))):
            yield Text(excerpt(text), "result", self._next_output())

    def _place(self, cell: Any) -> str:
        return f"cell-{self.prose.chapter}-{cell.id}" if cell.get("id") else ""

    def _next_output(self) -> str:
        return f"output-{self.prose.chapter}-{next(self._outputs_of)}"

    def _error(self, cell: Any, rest: list[Any]) -> Error | None:
        for output in cell.outputs:
            if output["output_type"] == "error":
                trace = portable(plain("\n".join(output.get("traceback", []))))
                message = portable(plain(str(output.get("evalue", ""))))
                return Error(str(output.get("ename", "Error")), message, excerpt(trace, 8, 18), _sections(rest))
        return None


def _joined(outputs: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Join pieces of the same stream that follow one another: a kernel sends them as they come."""
    pending: dict[str, Any] | None = None
    for output in outputs:
        same = pending and output["output_type"] == "stream" and output["name"] == pending["name"]
        if same and pending:
            pending["text"] += output["text"]
            continue
        if pending:
            yield pending
        pending = dict(output) if output["output_type"] == "stream" else None
        if not pending:
            yield output
    if pending:
        yield pending


def _sections(cells: list[Any]) -> list[str]:
    return [
        cell.source.splitlines()[0][3:].strip()
        for cell in cells
        if cell.cell_type == "markdown" and cell.source.startswith("## ")
    ]


def _ids(cells: list[Any]) -> tuple[str, ...]:
    return tuple(cell.id for cell in cells if cell.get("id"))


def _seconds(cell: Any) -> float:
    return float(cell.metadata.get("papermill", {}).get("duration") or 0)
