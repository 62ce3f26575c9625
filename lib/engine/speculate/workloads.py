"""The workloads: prompts of real text, one JSON line each, in `runbook/workloads`."""

import json
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError, nearest

FOLDER = paths.RUNBOOK / "workloads"
TITLES = {
    "code": "Edit a piece of code and give it back: the answer repeats most of the prompt",
    "chat": "Open questions: the answer repeats nothing that stands in the prompt",
    "repetition": "Tables, lists and forms: the answer repeats itself",
}


def names(folder: Path = FOLDER) -> list[str]:
    """Return the names of all workloads, sorted."""
    return sorted(path.stem for path in folder.glob("*.jsonl"))


def path(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of a workload, as vLLM's client reads it (`--dataset-name custom`).

    Raises
    ------
    RunbookError
        No such workload; the message names the nearest.
    """
    known = names(folder)
    if name not in known:
        raise RunbookError(
            f"unknown workload '{name}'",
            where="speculation.workloads",
            nearest=nearest(name, known),
            fix=f'one of: {", ".join(known)}; or add {paths.short(folder)}/{name}.jsonl, one {{"prompt": …}} a line',
        )
    return folder / f"{name}.jsonl"


def prompts(name: str, folder: Path = FOLDER) -> list[str]:
    """Return the prompts of a workload, in their order.

    Raises
    ------
    RunbookError
        No such workload, or a line that is no prompt; the message names file and line.
    """
    file = path(name, folder)
    found = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise RunbookError('not a prompt: {"prompt": "…"}', where=f"{paths.short(file)}, line {number}")
        found.append(prompt)
    return found
