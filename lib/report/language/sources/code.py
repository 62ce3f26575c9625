"""Texts that lib/ writes into evidence and figures, found in its syntax trees.

A text reaches the page when it is not for somebody else: docstrings, messages of exceptions, options of the command
line, patterns, commands and what is compared or looked up are left out. What is left must read as words.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lib.core import paths
from lib.report.language.english import is_command
from lib.report.language.message import CODE, Message, has_words
from lib.report.language.sources.foreign import CALL, PROGRAM, SILENT
from lib.report.language.sources.texts import computed, forms, is_text
from lib.report.language.tree import parse
from lib.report.language.units import units

# They put a number before a noun.
COUNTED = re.compile(r"(^|\.)plural$")
# Python's own errors, and the command line's: they are for programs and terminals, no check shows them.
_PYTHONS = re.compile(r"(?:Value|Type|Assertion|Key|Attribute|NotImplemented|Import|OS|Runtime|Timeout)Error|typer\..*")
# An error of ours that is made in one place and raised in another.
_OURS = re.compile(r"(?:^|\.)(?:Runbook|Refused|NoLab|Restic|Start)Error$")
# What they name is text for a reader, even a single word.
TOLD = frozenset(
    {"about", "alternatives", "asked", "caption", "choice", "expected", "fix", "heading", "hovertemplate", "label"}
    | {"legend_title", "method", "name", "note", "observed", "quantity", "reason", "risk", "text", "title", "undo"}
    | {"unit", "what", "why", "xaxis_title", "yaxis_title"}
)


def messages(root: Path = paths.ROOT) -> Iterator[Message]:
    """Yield the texts of lib/, file by file."""
    for file in sorted((root / "lib").rglob("*.py")):
        where = file.relative_to(root / "lib").as_posix()
        if not any(where == silent or where.startswith(f"{silent}/") for silent in SILENT):
            for text in of(ast.parse(file.read_text(encoding="utf-8"))):
                yield Message(text, f"lib/{where}")


def of(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of one syntax tree."""
    yield from _visit(tree, told=False)


def reads(text: str, told: bool = False) -> bool:
    """Tell whether a text is words for a reader; one that is told may be a single word."""
    if not has_words(text) or is_command(text):
        return False
    if PROGRAM.search(CODE.sub("`", text).strip()) and not (told and re.fullmatch(r"[a-z]+", text)):
        return False
    return told or " " in text.strip()


def _visit(node: ast.AST, told: bool) -> Iterator[str]:
    if is_text(node):
        yield from _texts(node, told)
        for inner in computed(node):
            yield from _visit(inner, told=False)
        return
    for child, named in _children(node, told):
        yield from _visit(child, named)


def _texts(node: ast.AST, told: bool) -> Iterator[str]:
    for form in forms(node):
        if "</" in form or "<br" in form:
            yield from (unit.message for unit in units(parse(form)) if reads(unit.message, told=True))
            continue
        yield from (line for line in form.split("\n") if reads(line, told))


def _children(node: ast.AST, told: bool) -> Iterator[tuple[ast.AST, bool]]:
    if isinstance(node, ast.Call):
        yield from _of_call(node, told)
    elif isinstance(node, ast.Subscript):
        yield node.value, told  # a table of words, and the one that is chosen
    elif isinstance(node, ast.Raise):
        yield from _raised(node)
    elif isinstance(node, ast.Compare | ast.Assert | ast.Import | ast.ImportFrom):
        return
    elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        # A decorator may tell what its function is about: a probe's title and what it expects.
        decorators = [] if isinstance(node, ast.Module) else node.decorator_list
        yield from ((child, False) for child in [*decorators, *_without_docstrings(node.body)])
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            heads = key is not None and (_heading(key) or _has_blanks(key))
            yield from [(key, True)] if key is not None and heads else []
            yield value, told or heads
    elif isinstance(node, ast.List | ast.Tuple | ast.Set | ast.IfExp | ast.BoolOp):
        heads = isinstance(node, ast.List) and all(map(_heading, node.elts))
        yield from ((child, told or heads) for child in ast.iter_child_nodes(node))
    else:
        yield from ((child, False) for child in ast.iter_child_nodes(node))


def _of_call(node: ast.Call, told: bool) -> Iterator[tuple[ast.AST, bool]]:
    if isinstance(node.func, ast.Attribute):
        yield node.func.value, told  # "…".join, "…".replace
    if _OURS.search(ast.unparse(node.func)):
        yield from _of_error(node)
    if CALL.search(ast.unparse(node.func)):
        return
    if COUNTED.search(ast.unparse(node.func)):
        yield from ((noun, True) for noun in _counted(node))
    yield from ((argument, False) for argument in node.args)
    yield from ((keyword.value, keyword.arg in TOLD) for keyword in node.keywords)


def _raised(node: ast.Raise) -> Iterator[tuple[ast.AST, bool]]:
    """Yield what an error says and how it is mended, for a failed check shows both; Python's own are for programs."""
    if isinstance(node.exc, ast.Call) and not _PYTHONS.fullmatch(ast.unparse(node.exc.func)):
        yield from _of_error(node.exc)


def _of_error(call: ast.Call) -> Iterator[tuple[ast.AST, bool]]:
    yield from ((argument, True) for argument in call.args)
    yield from ((word.value, True) for word in call.keywords if word.arg in ("what", "fix"))


def _counted(node: ast.Call) -> Iterator[ast.AST]:
    """Yield "{0} noun" and "{0} nouns" for each noun that is written out."""
    for argument in node.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield from (ast.Constant(f"{{0}} {argument.value}{ending}") for ending in ("", "s"))


def _heading(node: ast.AST) -> bool:
    """Tell whether a text heads a column: its cells, which are in the same dictionary, are text as well."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value[:1].isupper()


def _has_blanks(node: ast.AST) -> bool:
    """Tell whether a key of a dictionary is words: it names a fact, or a condition."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    """Leave out texts that stand alone: docstrings, also of attributes."""
    return [line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
