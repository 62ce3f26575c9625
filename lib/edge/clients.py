"""An unmodified OpenAI client in the lab, and what it sees: times of a stream, requests in a row, many at a time.

Run as a module inside a twin; the request comes on standard input, so that a key is on no command line.
"""

import contextlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import openai

# Fewer requests a second than the bastion allows one address.
PAUSE_S = 0.055


class Way(NamedTuple):
    """One way to the API."""

    base_url: str
    key: str
    model: str


def client(way: Way, timeout: float = 60) -> openai.OpenAI:
    """Return the publisher's client as it is: address and key, and whom to trust from SSL_CERT_FILE."""
    return openai.OpenAI(
        base_url=way.base_url,
        api_key=way.key or "none",
        timeout=openai.Timeout(timeout, connect=5),
        max_retries=0,
    )


def _told(failure: Exception) -> str:
    """Return what went wrong; the client's own message about a connection leaves out why."""
    why = f" ({failure.__cause__})" if failure.__cause__ else ""
    return f"{type(failure).__name__}: {failure}{why}"


def stream(way: Way, asked: openai.OpenAI, tokens: int, prompt: str) -> dict[str, Any]:
    """Stream one answer and return its text, when each piece came (s from the request), and how it ended."""
    begun, times, text = time.perf_counter(), [], ""
    finish, error = "", ""
    try:
        pieces = asked.chat.completions.create(
            model=way.model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=tokens,
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for piece in pieces:
            if piece.choices and (piece.choices[0].delta.content or piece.choices[0].finish_reason):
                times.append(time.perf_counter() - begun)
                text += piece.choices[0].delta.content or ""
                finish = piece.choices[0].finish_reason or finish
    except Exception as failure:  # a line cut within an answer reaches us unwrapped: whatever it is called, it is told
        error = _told(failure)
    return {
        "text": text,
        "times": times,
        "seconds": time.perf_counter() - begun,
        "finish": finish,
        "error": error[:300],
    }


def many(way: Way, tokens: int, concurrency: int, requests: int, prompt: str) -> dict[str, Any]:
    """Ask so many times, so many at a time, and return how long all took and how many pieces came."""
    asked = client(way)
    begun = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        done = list(pool.map(lambda n: stream(way, asked, tokens, f"{n}. {prompt}"), range(requests)))
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "pieces": sum(len(one["times"]) for one in done),
        "errors": [one["error"] for one in done if one["error"]],
    }


def trips(way: Way, number: int) -> list[float]:
    """Return the time of each of so many small requests on one connection, s."""
    asked = client(way)
    times = []
    for count in range(number + 5):
        time.sleep(PAUSE_S)
        begun = time.perf_counter()
        asked.models.list()
        if count >= 5:
            times.append(time.perf_counter() - begun)
    return times


def once(way: Way, timeout: float) -> str:
    """Ask once on a connection of its own and return the error; empty if it was answered."""
    try:
        with client(way, timeout) as asked:
            asked.models.list()
    except openai.OpenAIError as failure:
        return _told(failure)[:200]
    return ""


def main() -> None:
    """Serve requests, one JSON line each, until standard input ends."""
    for line in sys.stdin:
        told = json.loads(line)
        way = Way(**told["way"])
        result: object
        if told["do"] == "stream":
            asked = client(way, told.get("timeout", 60))
            # The connection is there before the clock starts, as with a client at work; if not, the stream tells why.
            with contextlib.suppress(openai.OpenAIError):
                asked.models.list()
            result = [stream(way, asked, told["tokens"], told["prompt"]) for _ in range(told["times"])]
        elif told["do"] == "many":
            result = many(way, told["tokens"], told["concurrency"], told["requests"], told["prompt"])
        elif told["do"] == "probe":
            result = once(way, told["timeout"])
        else:
            result = trips(way, told["times"])
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
