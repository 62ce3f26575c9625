"""What a planner writes: steps, each a part of the task for one executor; the engine lets it write nothing else."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from lib.agents.task import Part, Task

SHORT = 80


class Step(NamedTuple):
    """One part, and the role that carries it out; `hint` is the planner's advice."""

    part: str
    executor: str
    hint: str = ""


def schema(parts: Sequence[str], executors: Sequence[str], *, hints: bool) -> dict[str, Any]:
    """Return the JSON schema of a plan for these parts."""
    fields: dict[str, Any] = {"part": {"enum": list(parts)}, "executor": {"enum": list(executors)}}
    if hints:
        fields["hint"] = {"type": "string", "maxLength": SHORT}
    step = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    steps = {"type": "array", "items": step, "minItems": 1, "maxItems": len(parts)}
    return {"type": "object", "properties": {"steps": steps}, "required": ["steps"], "additionalProperties": False}


def question(task: Task, parts: Sequence[Part], executors: Sequence[str], failed: Sequence[str]) -> str:
    """Return what the planner is asked."""
    listed = "\n".join(f"- {part.name}: {part.signature} {part.does}" for part in parts)
    told = "\nThese attempts failed:\n" + "\n".join(f"- {line}" for line in failed) if failed else ""
    return (
        f"{task.goal}\nParts still to do:\n{listed}\nExecutors: {', '.join(executors)}.{told}\n"
        "Write a plan as JSON: one step for each part, with the part and its executor."
    )


def read(text: str, parts: Sequence[str], executors: Sequence[str]) -> list[Step]:
    """Return the steps of a plan: each part once, in the planner's order; parts that it forgot come last.

    Raises
    ------
    ValueError
        Not a plan. The engine's structured output prevents that, unless the answer was cut off.
    """
    steps: dict[str, Step] = {}
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("steps"), list):
        raise ValueError("no steps")
    for entry in content["steps"]:
        step = Step(str(entry["part"]), str(entry["executor"]), str(entry.get("hint", ""))[:SHORT])
        if step.part not in parts or step.executor not in executors:
            raise ValueError(f"step {step.part} for {step.executor}")
        steps.setdefault(step.part, step)
    forgotten = [Step(part, executors[0]) for part in parts if part not in steps]
    return [*steps.values(), *forgotten]
