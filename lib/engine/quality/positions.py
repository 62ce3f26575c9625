"""What a served model expects at each position of a text: its most likely next tokens with their probabilities."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from lib.core.errors import RunbookError
from lib.engine.serve import client

TIMEOUT_S = 600.0


class Position(NamedTuple):
    """One position of the text.

    Parameters
    ----------
    actual : int
        The token that stands there.
    logprob : float
        Logarithm of the probability that the model gave it.
    top : mapping of int to float
        The most likely tokens, `actual` among them, to the logarithms of their probabilities.
    """

    actual: int
    logprob: float
    top: Mapping[int, float]

    @property
    def first(self) -> int:
        """The most likely token."""
        return max(self.top, key=lambda token: self.top[token])


def ask(url: str, model: str, windows: Sequence[Sequence[int]], top: int) -> list[list[Position]]:
    """Return every window's positions as a served model sees them.

    Windows are asked one after another: in a batch together, the same window would be added up in another order.

    Parameters
    ----------
    url, model : str
        Base address, and the name of the served model.
    windows : sequence of sequence of int
        Token numbers.
    top : int
        How many of the most likely tokens are asked for; the server's `--max-logprobs` is the limit, 20 by default.

    Raises
    ------
    RunbookError
        The server refuses.
    """
    return [_one(url, model, window, top) for window in windows]


def _one(url: str, model: str, window: Sequence[int], top: int) -> list[Position]:
    body = {"model": model, "prompt": list(window), "max_tokens": 1, "temperature": 0, "prompt_logprobs": top}
    response = client.http().post(f"{url}/v1/completions", json=body, timeout=TIMEOUT_S)
    if response.status_code != httpx.codes.OK:
        raise RunbookError(
            f"prompt_logprobs: {client.refusal(response)}",
            where="/v1/completions",
            fix=f"quality.top is {top}; the server allows 20, or --max-logprobs in serving.extra_args",
        )
    return list(parse(window, response.json()["choices"][0]["prompt_logprobs"]))


def parse(window: Sequence[int], told: Sequence[Mapping[str, Mapping[str, Any]] | None]) -> Iterator[Position]:
    """Yield the positions of one window from the server's answer; the first token has no context and is left out."""
    for actual, entry in zip(window[1:], told[1:], strict=True):
        if not entry or str(actual) not in entry:
            raise RunbookError("the answer lacks the probability of a token of the text", where="/v1/completions")
        top = {int(token): float(item["logprob"]) for token, item in entry.items()}
        yield Position(actual, top[actual], top)


def save(windows: Sequence[Sequence[Position]], path: Path) -> Path:
    """Write what was told as JSON lines, one a position, probabilities to five digits."""
    rows = (
        json.dumps([number, p.actual, {token: round(value, 5) for token, value in p.top.items()}])
        for number, window in enumerate(windows)
        for p in window
    )
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def perplexity(logprobs: Sequence[float]) -> float:
    """Return the perplexity of a text: e to the mean negative logarithm of its tokens' probabilities."""
    return math.exp(-sum(logprobs) / len(logprobs))
