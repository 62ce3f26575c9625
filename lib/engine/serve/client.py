"""A small client of the OpenAI-compatible interface: one question, one stream, many questions at once."""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import httpx

TIMEOUT_S = 300.0
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


class Answer(NamedTuple):
    """What came back for one question; `error` is empty when it was answered."""

    text: str
    finish: str = ""
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""
    message: Mapping[str, Any] = {}


class Stream(NamedTuple):
    """What a streamed answer looked like on the wire; times in seconds from the request."""

    text: str
    events: int
    first_s: float
    last_s: float
    done: bool
    usage: Mapping[str, int]
    finish: str
    content_type: str
    error: str = ""


@cache
def http() -> httpx.Client:
    """Return this process's one connection pool. Proxies of the environment are not for the loopback."""
    return httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_connections=None))


def question(model: str, text: str, max_tokens: int, **more: Any) -> dict[str, Any]:
    """Return the body of a greedy chat request with one user message."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": max_tokens,
        **more,
    }


def chat(url: str, body: Mapping[str, Any], timeout: float = TIMEOUT_S) -> Answer:
    """Ask one question; a refusal or a broken connection becomes the answer's `error`."""
    begun = time.monotonic()
    try:
        response = http().post(f"{url}{CHAT}", json=body, timeout=timeout)
    except httpx.TransportError as error:
        return Answer("", seconds=time.monotonic() - begun, error=f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - begun
    if response.status_code != httpx.codes.OK:
        return Answer("", seconds=seconds, error=refusal(response))
    reply = response.json()
    choice = reply["choices"][0]
    return Answer(
        text=choice["message"].get("content") or "",
        finish=choice["finish_reason"] or "",
        tokens=reply["usage"]["completion_tokens"],
        seconds=seconds,
        message=choice["message"],
    )


def chat_all(url: str, bodies: Sequence[Mapping[str, Any]], concurrency: int) -> list[Answer]:
    """Ask several questions, so many at a time, and return the answers in the order of the questions."""
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        return list(pool.map(lambda body: chat(url, body), bodies))


def stream(url: str, body: Mapping[str, Any], timeout: float = TIMEOUT_S, path: str = CHAT) -> Stream:
    """Ask one question with `stream` and `include_usage` and return what came over the wire."""
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    begun = time.monotonic()
    text, events, first, last, done, finish = "", 0, 0.0, 0.0, False, ""
    usage: dict[str, int] = {}
    with http().stream("POST", f"{url}{path}", json=asked, timeout=timeout) as response:
        kind = response.headers.get("content-type", "")
        if response.status_code != httpx.codes.OK:
            response.read()
            return Stream("", 0, 0, 0, False, {}, "", kind, refusal(response))
        for line in response.iter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                done = True
                continue
            part = json.loads(line.removeprefix("data: "))
            usage = part.get("usage") or usage
            for choice in part["choices"]:
                delta = choice.get("delta", {})
                piece = delta.get("content") or delta.get("reasoning") or choice.get("text") or ""
                finish = choice["finish_reason"] or finish
                if piece:
                    events, last = events + 1, time.monotonic() - begun
                    first, text = first or last, text + piece
    return Stream(text, events, first, last, done, usage, finish, kind)


def refusal(response: httpx.Response) -> str:
    """Return why a request was refused: status and the server's own message."""
    try:
        told = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        told = response.text[:200]
    return f"HTTP {response.status_code}: {told}"
