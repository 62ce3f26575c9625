"""Whether an engine works: a real completion, as a client asks for one. /health alone answers for the API server."""

from collections.abc import Callable

import httpx

from lib.engine.serve import client

Ask = Callable[[str, str, float], bool]


def completion(url: str, model: str, answer_s: float) -> bool:
    """Tell whether one token of an answer came back in time."""
    answer = client.chat(url, client.question(model, "Say yes.", 1), answer_s)
    return not answer.error


def embedding(url: str, model: str, answer_s: float) -> bool:
    """Tell whether a vector came back in time; for engines that only embed."""
    try:
        told = client.http().post(f"{url}/v1/embeddings", json={"model": model, "input": "yes"}, timeout=answer_s)
    except httpx.TransportError:
        return False
    return told.status_code == httpx.codes.OK


def health(url: str, _: str, answer_s: float) -> bool:
    """Tell whether /health answers. Not enough: the tests show an engine that does, and completes nothing."""
    try:
        return client.http().get(f"{url}/health", timeout=answer_s).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def of_task(task: str) -> Ask:
    """Return the question for a catalogue task."""
    return completion if task == "chat" else embedding
