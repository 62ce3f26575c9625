"""Names of conditions: `input_tokens` stands in the page as "input tokens 512", and as a column's heading."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lib.core import paths
from lib.report.language.message import Message

_NAME = re.compile(r"[a-z][a-z0-9_ ]*")


def messages(root: Path = paths.ROOT) -> Iterator[Message]:
    """Yield each condition's name, alone and with its value."""
    for file in sorted((root / "lib").rglob("*.py")):
        for key in dict.fromkeys(_keys(ast.parse(file.read_text(encoding="utf-8")))):
            name, where = key.replace("_", " "), f"lib/{file.relative_to(root / 'lib').as_posix()}"
            yield Message(name, where)
            yield Message(f"{name} {{0}}", where)


def _keys(tree: ast.AST) -> Iterator[str]:
    takers = {
        node.name: {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.args.kwarg and _are_conditions(node.args.kwarg)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in takers:
            named = [keyword.arg for keyword in node.keywords if keyword.arg]
            yield from (name for name in named if name not in takers[ast.unparse(node.func)])
        for part in _conditions(node):
            for inner in ast.walk(part):
                yield from (key for key in _named(inner) if _NAME.fullmatch(key))


def _are_conditions(further: ast.arg) -> bool:
    return "conditions" in further.arg or (
        further.annotation is not None and "Scalar" in ast.unparse(further.annotation)
    )


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the keys that an expression gives: of a dictionary written out, or of one that is added to."""
    keys = node.keys if isinstance(node, ast.Dict) else [node.slice] if isinstance(node, ast.Subscript) else []
    yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def _conditions(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg and "conditions" in node.arg:
        yield node.value
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any("conditions" in ast.unparse(target).lower() for target in targets):
            yield node.value
    elif isinstance(node, ast.Dict) and None in node.keys:
        if any("conditions" in ast.unparse(node.values[at]) for at, key in enumerate(node.keys) if key is None):
            yield node
    elif isinstance(node, ast.FunctionDef) and "conditions" in node.name:
        yield node
