"""Computes an expression that a model wrote: arithmetic, comparisons, indexing and a few functions, and nothing else.

What a model writes is foreign code. It is read as a tree and walked by this module; Python never runs it.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

LONGEST = 200
DEEPEST = 20
LARGEST = 10**9
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "len": len, "max": max, "min": min, "round": round, "sorted": sorted, "sum": sum
}  # fmt: skip
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class ExpressionError(Exception):
    """It cannot be computed: what stands in it is not allowed, or it fails."""


def evaluate(written: str, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    written : str
        One Python expression.
    names : mapping of str to value
        The arguments.

    Raises
    ------
    ExpressionError
        Not an expression, not allowed, or it fails for these arguments.
    """
    if len(written) > LONGEST:
        raise ExpressionError("too long")
    try:
        tree = ast.parse(written.strip(), mode="eval")
        return _value(tree.body, names, 0)
    except ExpressionError:
        raise
    except SyntaxError as error:
        raise ExpressionError(f"no expression: {error.msg}") from error
    except Exception as error:
        raise ExpressionError(f"{type(error).__name__}: {error}") from error


def _value(node: ast.expr, names: Mapping[str, Any], depth: int) -> Any:
    if depth > DEEPEST:
        raise ExpressionError("nested too deeply")
    below = depth + 1
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names, below)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, names, below)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _small(BINARY[type(op)], _value(left, names, below), _value(right, names, below))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARED:
            return COMPARED[type(op)](_value(left, names, below), _value(right, names, below))
        case ast.Subscript(value=value, slice=index):
            return _value(value, names, below)[_value(index, names, below)]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(argument, names, below) for argument in arguments))
        case _:
            raise ExpressionError(f"not allowed here: {ast.unparse(node)[:60]}")


def _small(work: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Compute, unless an operand would make something huge of it: 'x' * 10**12 is an answer too."""
    numbers = [operand for operand in (left, right) if isinstance(operand, int | float)]
    if any(abs(number) > LARGEST for number in numbers):
        raise ExpressionError("a number is too large")
    if len(numbers) == 1 and numbers[0] > LONGEST:
        raise ExpressionError("a repetition is too long")
    return work(left, right)
