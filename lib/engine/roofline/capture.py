"""Profile one request on a running engine with torch's profiler, as vLLM offers it."""

import json
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import httpx

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.serve import client
from lib.engine.serve.client import Stream
from lib.engine.serve.server import Server

QUESTION = "Tell me a long story about a bridge, a river and the people who crossed it."
TOKENS = 24
STOP_S = 600  # the worker writes the trace before it answers
FILES = ("*.pt.trace.json.gz", "*.pt.trace.json")


class Profiled(NamedTuple):
    """One request under the profiler, and as it was without; times in ms a token."""

    trace: Path
    prompt_tokens: int
    tokens: int
    plain_ms: float
    profiled_ms: float

    @property
    def context(self) -> float:
        """Tokens that a decode step of this request attends to, on average."""
        return self.prompt_tokens + self.tokens / 2


def flags(folder: Path) -> tuple[str, ...]:
    """Return the flags of an engine that can be profiled: kernels alone, without Python's stacks.

    The folder is written relative to the repository, where the engine runs: such a line travels.
    """
    config = {
        "profiler": "torch",
        "torch_profiler_dir": paths.short(folder),
        "torch_profiler_with_stack": False,
        "ignore_frontend": True,
    }
    return "--profiler-config", json.dumps(config)


def run(engine: Server, folder: Path, tokens: int = TOKENS) -> Profiled:
    """Ask the same question warmed up, timed and profiled.

    Raises
    ------
    RunbookError
        The engine has no profiler, did not answer, or wrote no trace.
    """
    before = {path for pattern in FILES for path in folder.glob(pattern)}
    _ask(engine, tokens)
    plain = fmean(_per_token(_ask(engine, tokens)) for _ in range(2))
    _post(engine, "start_profile")
    try:
        answer = _ask(engine, tokens)
    finally:
        _post(engine, "stop_profile")
    made = sorted(path for pattern in FILES for path in folder.glob(pattern) if path not in before)
    # The front end writes a trace of its own in some versions; the worker's names its rank.
    traces = [path for path in made if "rank" in path.name] or made
    if not traces:
        raise RunbookError(
            "the engine wrote no trace", where=paths.short(folder), fix="read the engine's log: who may write there?"
        )
    usage = answer.usage
    return Profiled(traces[0], usage["prompt_tokens"], usage["completion_tokens"], plain, _per_token(answer))


def _ask(engine: Server, tokens: int) -> Stream:
    # A text to go on with, not a chat: random weights stand beside another model's tokenizer, without a chat format.
    body = {"model": engine.model.name, "prompt": QUESTION, "temperature": 0, "max_tokens": tokens, "ignore_eos": True}
    answer = client.stream(engine.url, body, path=client.TEXT)
    if answer.error or answer.events < 2:
        raise RunbookError(f"the request failed: {answer.error or 'no text came back'}", where=engine.url)
    return answer


def _per_token(answer: Stream) -> float:
    return 1000 * (answer.last_s - answer.first_s) / (answer.usage["completion_tokens"] - 1)


def _post(engine: Server, action: str) -> None:
    try:
        response = client.http().post(f"{engine.url}/{action}", timeout=STOP_S)
    except httpx.TransportError as error:
        raise RunbookError(f"/{action} broke off: {type(error).__name__}", where=engine.url) from error
    if response.status_code != httpx.codes.OK:
        raise RunbookError(
            f"/{action} was refused: {client.refusal(response)}",
            where=engine.url,
            fix="start the engine with --profiler-config",
        )
