"""Texts of a Python expression: every form that it can take, with numbered places for what is computed."""

import ast
import re
from collections.abc import Iterator
from itertools import product

MOST_FORMS = 8
_NAMED = re.compile(r"\{[a-z0-9_]*(?:![rs])?(?::[^{}]*)?\}")
_MARK = "\x00{}\x00"


def is_text(node: ast.AST) -> bool:
    """Tell whether an expression is a text that is written out, in whole or in part."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_text(node.left) or is_text(node.right)
    if isinstance(node, ast.IfExp):
        return is_text(node.body) and is_text(node.orelse)
    return isinstance(node, ast.JoinedStr)


def forms(node: ast.AST) -> list[str]:
    """Return every form of a text: both branches of what depends on a condition, `{0}` … for what is computed."""
    return [_numbered(form) for form in _forms(node)]


def computed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the expressions inside a text that may hold texts of their own."""
    if isinstance(node, ast.JoinedStr):
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield from _inside(value.value)
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            yield from _inside(side)
    elif isinstance(node, ast.IfExp):
        yield node.test
        for side in (node.body, node.orelse):
            yield from computed(side)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    if _alternatives(node) or is_text(node):
        yield from computed(node)
    else:
        yield node


def _forms(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant):
        return [_NAMED.sub(_MARK, str(node.value))]
    if isinstance(node, ast.JoinedStr):
        pieces = [[str(v.value)] if isinstance(v, ast.Constant) else _value(v) for v in node.values]
    elif isinstance(node, ast.BinOp):
        pieces = [_side(node.left), _side(node.right)]
    elif isinstance(node, ast.IfExp):
        return [*_forms(node.body), *_forms(node.orelse)]
    else:
        return [_MARK]
    while len(list(product(*pieces))) > MOST_FORMS:
        longest = max(pieces, key=len)
        pieces[pieces.index(longest)] = [_MARK]
    return ["".join(parts) for parts in product(*pieces)]


def _value(node: ast.AST) -> list[str]:
    return _side(node.value) if isinstance(node, ast.FormattedValue) else [_MARK]


def _side(node: ast.AST) -> list[str]:
    return _forms(node) if is_text(node) else [_MARK]


def _alternatives(node: ast.AST) -> bool:
    return isinstance(node, ast.IfExp) and is_text(node)


def _numbered(form: str) -> str:
    count = iter(range(form.count(_MARK)))
    return re.sub(re.escape(_MARK), lambda _: f"{{{next(count)}}}", form)
