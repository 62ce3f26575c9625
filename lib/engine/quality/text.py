"""The evaluation text: one that nobody here wrote and that every machine has, chosen by hash."""

import hashlib
import platform
from typing import NamedTuple

import httpx

from lib.core.errors import RunbookError
from lib.engine.serve import client

# Long enough to give a position context, short enough that one batch holds a window.
WINDOW = 512
# A topic as short as this is a list of links.
SHORTEST_TOPIC = 600
# Characters that a token has at most on average: so much text is surely enough.
CHARACTERS_A_TOKEN = 8


class Text(NamedTuple):
    """Text of the Python documentation as it travels with Python itself, and where exactly it came from."""

    content: str
    topics: tuple[str, ...]
    sha256: str

    @property
    def origin(self) -> str:
        """What was read, so that another machine can tell whether it read the same."""
        return f"pydoc_data.topics of Python {platform.python_version()}, SHA-256 {self.sha256[:12]}"


def load(tokens: int) -> Text:
    """Return topics of Python's own documentation, in the order of their names' hashes, until there is enough.

    Parameters
    ----------
    tokens : int
        Tokens that the text must have at least.
    """
    from pydoc_data.topics import topics

    chosen: list[str] = []
    length = 0
    for name in sorted(topics, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if length >= tokens * CHARACTERS_A_TOKEN:
            break
        if len(topics[name]) >= SHORTEST_TOPIC:
            chosen.append(name)
            length += len(topics[name])
    content = "\n\n".join(topics[name].strip() for name in chosen)
    return Text(content, tuple(chosen), hashlib.sha256(content.encode()).hexdigest())


def windows(url: str, model: str, text: Text, tokens: int, width: int = WINDOW) -> list[list[int]]:
    """Return the text as token numbers, in whole windows; the server's own tokenizer splits it.

    Parameters
    ----------
    url, model : str
        Base address, and the name of the served model.
    text : Text
        The evaluation text.
    tokens : int
        How many tokens in all; rounded down to whole windows, one at least.
    width : int
        Tokens of a window. Its first token has no context and is not scored.

    Raises
    ------
    RunbookError
        The server does not tokenise.
    """
    body = {"model": model, "prompt": text.content, "add_special_tokens": False}
    response = client.http().post(f"{url}/tokenize", json=body)
    if response.status_code != httpx.codes.OK:
        raise RunbookError(f"the text could not be tokenised: {client.refusal(response)}", where="/tokenize")
    ids = response.json()["tokens"]
    count = max(1, min(tokens, len(ids)) // width)
    return [ids[start : start + width] for start in range(0, count * width, width)]
