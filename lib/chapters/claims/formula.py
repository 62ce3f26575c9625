"""Expressions of the register: arithmetic and comparisons over named functions, read as a tree and never executed."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from lib.core.errors import RunbookError, nearest

CONSTANTS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "True": True, "False": False}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, holder: item in holder,
    ast.NotIn: lambda item, holder: item not in holder,
}


class MissingError(Exception):
    """A function has no value here: nothing was measured, nothing is installed. The reason is its text."""


class Formula:
    """One expression with the functions that it may call; `used` and `values` tell afterwards what was looked at."""

    def __init__(self, text: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.text = text
        self.functions = functions
        self.used: list[str] = []
        self.values: list[str] = []

    def holds(self) -> bool:
        """Return what the expression says.

        Raises
        ------
        RunbookError
            It is no expression, or names something that is not there.
        MissingError
            A part of it has no value here.
        """
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise self._wrong(f"no expression: {error.msg}") from error
        found = self._value(tree.body)
        if not isinstance(found, bool):
            raise self._wrong(f"a formula is true or false, this one is {found!r}")
        return found

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) if name in CONSTANTS:
                return CONSTANTS[name]
            case ast.List() | ast.Tuple():
                return [self._value(item) for item in node.elts]
            case ast.UnaryOp(op=ast.Not()):
                return not self._value(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return -self._value(node.operand)
            case ast.BoolOp():
                every = all if isinstance(node.op, ast.And) else any
                return every(self._value(item) for item in node.values)
            case ast.BinOp() if type(node.op) in _BINARY:
                return _BINARY[type(node.op)](self._value(node.left), self._value(node.right))
            case ast.Compare():
                return self._compare(node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.Name(id=name):
                raise self._wrong(f"unknown name '{name}'", nearest(name, [*CONSTANTS, *self.functions]))
        raise self._wrong(f"not allowed here: {ast.unparse(node)}")

    def _compare(self, node: ast.Compare) -> bool:
        left = self._value(node.left)
        for kind, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node)
            if type(kind) not in _COMPARE:
                raise self._wrong(f"not allowed here: {ast.unparse(node)}")
            if not _COMPARE[type(kind)](left, right):
                return False
            left = right
        return True

    def _call(self, node: ast.Call, name: str) -> Any:
        if name not in self.functions:
            raise self._wrong(f"unknown function '{name}'", nearest(name, self.functions))
        arguments = [self._value(item) for item in node.args]
        named = {item.arg: self._value(item.value) for item in node.keywords if item.arg}
        found = self.functions[name](*arguments, **named)
        self.used.append(name)
        self.values.append(f"{ast.unparse(node)} = {_short(found)}")
        return found

    def _wrong(self, message: str, near: str = "") -> RunbookError:
        return RunbookError(message, where=f"formula {self.text}", nearest=near, fix="correct it in runbook/claims.yml")


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ".".join(str(part) for part in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value:,.6g}"
    return str(value)
