"""A task that agents are given: what is wanted, in parts, and cases that decide whether a part is done."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from lib.agents import expression
from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.sections.base import Section

FOLDER = paths.RUNBOOK / "tasks"


class Example(Section):
    """A solved part, shown to executors so that they know the form."""

    signature: str
    does: str
    expression: str


class Case(Section):
    """One call: its arguments, and the value that it must give."""

    given: list[Any]
    gives: Any


class Part(Section):
    """One function: its signature, what it does in words, and the cases that decide."""

    name: str = Field(pattern=r"^[a-z_]+$")
    signature: str = Field(pattern=r"^[a-z_]+\([a-z_, ]*\)$")
    does: str
    cases: list[Case] = Field(min_length=1)

    @property
    def arguments(self) -> list[str]:
        """Names of the arguments."""
        inside = self.signature.partition("(")[2].rstrip(")")
        return [name.strip() for name in inside.split(",") if name.strip()]


class Task(Section):
    """The content of a file of runbook/tasks."""

    title: str
    goal: str
    examples: list[Example] = Field(min_length=1)
    parts: list[Part] = Field(min_length=1)

    def part(self, name: str) -> Part:
        """Return a part by name."""
        return next(part for part in self.parts if part.name == name)


def load(name: str, folder: Path = FOLDER) -> Task:
    """Read a task.

    Raises
    ------
    RunbookError
        There is none of this name, or it is not a task.
    """
    path = folder / f"{name}.yml"
    if not path.is_file():
        there = sorted(file.stem for file in folder.glob("*.yml"))
        raise RunbookError(
            f"no task '{name}'", where="agents.task", nearest=nearest(name, there), fix=f"one of: {', '.join(there)}"
        )
    try:
        return Task.model_validate(YAML(typ="safe", pure=True).load(path))
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise RunbookError(f"task: {detail['msg']}", where=f"{paths.short(path)}, {place}") from error


def wrong(part: Part, written: str) -> str:
    """Return what is wrong with an expression for a part, or the empty string: its cases are really computed."""
    for case in part.cases:
        given, wanted = dict(zip(part.arguments, case.given, strict=True)), case.gives
        told = ", ".join(f"{name}={value!r}" for name, value in given.items())
        try:
            value = expression.evaluate(written, given)
        except expression.ExpressionError as error:
            return f"{written!r}: {error}"
        if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
            return f"{written!r} gives {value!r} for {told}, not {wanted!r}"
    return ""
