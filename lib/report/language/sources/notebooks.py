"""The notebooks' prose: their Markdown, block by block, the captions in their code, and what metadata says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import nbformat

from lib.core import notebook, paths
from lib.report.cells import belongs_to_source
from lib.report.language.message import Message
from lib.report.language.sources import code
from lib.report.language.tree import parse
from lib.report.language.units import units
from lib.report.links import Links
from lib.report.markdown import Prose


def messages(folder: Path = paths.NOTEBOOKS) -> Iterator[Message]:
    """Yield what the notebooks say, chapter by chapter."""
    for file in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        where = f"notebooks/{file.name}"
        source = notebook.find(file.name[:2], folder)
        for text in (source.title, source.metadata.risk, source.metadata.changes, source.metadata.undo):
            yield Message(text, where)
        prose = Prose(file.name[:2], Links(), lambda: 1)
        for cell in nbformat.read(file, as_version=4).cells:
            if cell.cell_type == "markdown" and belongs_to_source(cell):
                for unit in units(parse(prose.render(cell.source))):
                    yield Message(unit.message, where)
            elif cell.cell_type == "code":
                yield from (Message(text, where) for text in code.of(ast.parse(cell.source)))
