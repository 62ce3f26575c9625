"""Jupyter notebooks: their cells, without outputs."""

import json
from typing import Any

from lib.memory.read import plain
from lib.memory.read.document import Builder, Document, Limits, Refused, Torn
from lib.memory.read.markdown import HEADING


def read(data: bytes, name: str, limits: Limits) -> Document:
    """Read a notebook; headings of its Markdown cells stand above the code that follows them."""
    text = plain.decode(data).text
    try:
        cells = json.loads(text)["cells"]
    except RecursionError:
        raise Refused("JSON nested too deep") from None
    except json.JSONDecodeError as error:
        raise Torn(f"not whole JSON: {error.msg}") from None
    except (KeyError, TypeError):
        raise Refused("no notebook: it has no cells") from None
    if not isinstance(cells, list):
        raise Refused("no notebook: its cells are no list")
    builder = Builder(limits)
    for cell in cells:
        kind, source = _cell(cell)
        if kind == "markdown":
            _prose(builder, source)
        else:
            builder.add(source)
    return builder.document(builder.title or name)


def _cell(cell: Any) -> tuple[str, str]:
    if not isinstance(cell, dict):
        raise Refused("no notebook: a cell is not an object")
    source = cell.get("source", "")
    joined = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return str(cell.get("cell_type", "")), joined


def _prose(builder: Builder, source: str) -> None:
    open_lines: list[str] = []
    for line in source.splitlines():
        if found := HEADING.match(line):
            builder.add("\n".join(open_lines))
            open_lines = []
            builder.heading(len(found[1]), found[2])
        else:
            open_lines.append(line)
    builder.add("\n".join(open_lines))
