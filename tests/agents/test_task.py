"""Tasks, and the evaluator that decides on what a model wrote without ever running it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.agents import expression, task
from lib.agents.expression import ExpressionError
from lib.core.errors import RunbookError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a + b", 7),
        ("a * b - 1", 9),
        ("-a", -2),
        ("a / 4", 0.5),
        ("b // a", 2),
        ("b % a", 1),
        ("a == b", False),
        ("not a > b", True),
        ("max(items)", 9),
        ("sorted(items)[0]", 1),
        ("len(items) + sum(items)", 16),
        ("items[-1]", 3),
        ("'x' + 'y'", "xy"),
        ("True", True),
    ],
)
def test_values(written: str, value: object) -> None:
    assert expression.evaluate(written, {"a": 2, "b": 5, "items": [1, 9, 3]}) == value


@pytest.mark.parametrize(
    "written",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "().__class__",
        "[x for x in items]",
        "lambda: 1",
        "a if b else a",
        "exec('1')",
        "max(items, key=len)",
        "f'{a}'",
        "unknown",
        "2 ** 10000",
        "a = 1",
        "import os",
        "",
        "'x' * 1000000",
        "items * 100000 * 100000",
        "1000000000 * 1000000000 * 2",
        "a / 0",
        "items[99]",
        "(" * 50 + "1" + ")" * 50 + "+" + "+".join("1" for _ in range(90)),
        "9" * 300,
    ],
)
def test_what_is_refused(written: str) -> None:
    with pytest.raises(ExpressionError):
        expression.evaluate(written, {"a": 2, "b": 5, "items": [1, 9, 3]})


@given(written=st.text(max_size=60))
def test_any_text_has_a_value_or_is_refused(written: str) -> None:
    try:
        expression.evaluate(written, {"a": 1})
    except ExpressionError:
        return


def test_the_tasks_of_the_runbook_can_be_done() -> None:
    found = task.load("functions")
    right = {"product": "a * b", "double": "2 * x", "largest": "sorted(items)[-1]"}
    assert {part.name: task.wrong(part, right[part.name]) for part in found.parts} == dict.fromkeys(right, "")


@pytest.mark.parametrize(
    ("part", "written", "told"),
    [
        ("product", "a - b", "gives -1 for a=2, b=3, not 6"),
        ("product", "product of a and b", "no expression"),
        ("double", "x + 4", "gives 1 for x=-3, not -6"),
        ("largest", "items[0] == 3", "gives True"),
    ],
)
def test_what_is_wrong_is_told(part: str, written: str, told: str) -> None:
    assert told in task.wrong(task.load("functions").part(part), written)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(RunbookError) as caught:
        task.load("function")
    assert caught.value.nearest == "functions"


@pytest.mark.parametrize("text", ["title: x", "[]", "title: x\ngoal: y\nexamples: []\nparts: []"])
def test_what_is_no_task(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.yml").write_text(text)
    with pytest.raises(RunbookError, match="task: "):
        task.load("broken", tmp_path)
