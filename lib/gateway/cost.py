"""What a gateway costs: the same requests to an engine itself and through the gateway, in pairs, in turn.

What disturbs a machine lasts longer than one request, so it meets both halves of a pair alike. The client counts events
and parses only an answer's end: on a machine where client, gateway and engine share the processors, each of them slows
the others, and what they used is told beside the result.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import psutil
import uvloop

from lib.core.errors import RunbookError
from lib.engine.serve.client import CHAT
from lib.engine.serve.process import Identity

FIRST_TOKENS = 1
FEWEST = 2
RESAMPLES = 10_000
# An engine closes what is idle for 5 s; a new connection would count as its slowness.
KEEP_S = 3.0
_TOLD = re.compile(rb'"completion_tokens"\s*:\s*(\d+)')
_WORDS = (
    *("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child"),
    *("world", "school", "state", "family", "group", "hand", "part", "place", "case", "week"),
)
Trees = Mapping[str, Callable[[], Sequence[Identity]]]


class Way(NamedTuple):
    """One way to an engine: address without a path, the model's name there, and a key or the empty string."""

    url: str
    model: str
    key: str = ""


class Load(NamedTuple):
    """What is sent on each way.

    Parameters
    ----------
    firsts : int
        Requests one at a time, for the first token.
    rounds : int
        Loads of `concurrency` requests at a time, `each` of them in a row.
    input_words, tokens : int
        Length of a prompt and of an answer.
    longest_s : float, optional
        No pair begins after so long, of first tokens and of rounds each; two of each there are at least.
    more : mapping, optional
        Further fields of a request.
    """

    firsts: int
    rounds: int
    concurrency: int
    each: int
    input_words: int
    tokens: int
    longest_s: float = float("inf")
    more: Mapping[str, Any] = {}


class Found(NamedTuple):
    """What was measured, pair by pair: of the engine itself, then through the gateway.

    Parameters
    ----------
    first_ms : list of pairs
        Request to first byte of the answer.
    tokens_per_s : list of pairs
        Of all requests of a round together.
    cpu : mapping
        Share of one processor that each process tree used while the gateway was loaded.
    """

    first_ms: list[tuple[float, float]]
    tokens_per_s: list[tuple[float, float]]
    cpu: dict[str, float]


class Added(NamedTuple):
    """Difference of two medians with its 95 % interval."""

    value: float
    low: float
    high: float


def measure(direct: Way, through: Way, load: Load, trees: Trees | None = None) -> Found:
    """Load both ways in turn.

    Parameters
    ----------
    direct, through : Way
        The engine itself, and the gateway.
    load : Load
        How much.
    trees : mapping of str to callable, optional
        Whose processor time is told, beside the client's own.

    Raises
    ------
    RunbookError
        A request was not answered in full.
    """

    def work() -> Found:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measure(direct, through, load, trees or {}))

    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop already
        return thread.submit(work).result()


def added(pairs: Sequence[tuple[float, float]], seed: int = 1) -> Added:
    """Return how much later the second of each pair is: difference of medians, 95 % bootstrap over pairs."""
    values = np.asarray(pairs, dtype=float)
    chosen = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    medians = np.median(values[chosen], axis=1)
    low, high = np.percentile(medians[:, 1] - medians[:, 0], [2.5, 97.5])
    middle = np.median(values, axis=0)
    return Added(float(middle[1] - middle[0]), float(low), float(high))


async def _measure(direct: Way, through: Way, load: Load, trees: Trees) -> Found:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = _Client(session, load)
        for way in (direct, through):  # uncounted: connections are made, code is loaded
            await client.first(way)
        await client.round(through)  # uncounted too: it warms the engine for both
        firsts = await _pairs(load.firsts, load.longest_s, direct, through, client.first)
        spent = dict.fromkeys((*trees, "client"), 0.0)
        wall = 0.0

        async def watched(way: Way) -> float:
            nonlocal wall
            before, begun = _spent(trees), time.monotonic()
            rate = await client.round(way)
            if way is through:
                wall += time.monotonic() - begun
                for name, seconds in _spent(trees).items():
                    spent[name] += seconds - before[name]
            return rate

        rates = await _pairs(load.rounds, load.longest_s, direct, through, watched)
    return Found(firsts, rates, {name: round(seconds / wall, 3) for name, seconds in spent.items()} if wall else {})


async def _pairs(
    number: int, longest_s: float, direct: Way, through: Way, ask: Callable[[Way], Awaitable[float]]
) -> list[tuple[float, float]]:
    """Ask both ways, every second time the other way round."""
    found: list[tuple[float, float]] = []
    end = time.monotonic() + longest_s
    while len(found) < number and (len(found) < FEWEST or time.monotonic() < end):
        if len(found) % 2:
            second = await ask(through)
            found.append((await ask(direct), second))
        else:
            found.append((await ask(direct), await ask(through)))
    return found


class _Client:
    """Sends requests; no two have the same prompt, or an engine would remember."""

    def __init__(self, session: aiohttp.ClientSession, load: Load) -> None:
        self.session, self.load = session, load
        self._numbers = itertools.count()

    async def first(self, way: Way) -> float:
        """Return how long the first byte of a short answer took, ms."""
        begun = time.perf_counter()
        _, first = await self._ask(way, FIRST_TOKENS)
        return 1000 * (first - begun)

    async def round(self, way: Way) -> float:
        """Return the tokens a second of many requests at a time."""

        async def slot() -> None:
            for _ in range(self.load.each):
                tokens, _ = await self._ask(way, self.load.tokens)
                if tokens != self.load.tokens:
                    raise RunbookError(f"an answer has {tokens} tokens instead of {self.load.tokens}", where=way.url)

        begun = time.perf_counter()
        await asyncio.gather(*(slot() for _ in range(self.load.concurrency)))
        return self.load.concurrency * self.load.each * self.load.tokens / (time.perf_counter() - begun)

    async def _ask(self, way: Way, tokens: int) -> tuple[int, float]:
        """Return the tokens of an answer as the engine counts them, and when its first byte came."""
        for further in range(self.load.concurrency, -1, -1):
            first, tail = 0.0, b""
            try:
                async with self._post(way, tokens) as answer:
                    async for chunk in answer.content.iter_any():
                        first = first or time.perf_counter()
                        tail = (tail + chunk)[-1024:]
                    status = answer.status
                break
            except aiohttp.ServerDisconnectedError as error:
                # A kept connection may be closed at the moment it is used, and then nobody saw the request. There are
                # as many of them as requests at a time.
                if first or not further:
                    raise _broken(way, error) from error
            except (aiohttp.ClientError, OSError) as error:
                raise _broken(way, error) from error
        told = _TOLD.findall(tail)
        if status != 200 or not told:
            raise RunbookError(
                f"a request was answered {status}: {tail[-200:].decode(errors='replace')}", where=way.url
            )
        return int(told[-1]), first

    def _post(self, way: Way, tokens: int) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"authorization": f"Bearer {way.key}"} if way.key else {}
        return self.session.post(way.url + CHAT, json=self._body(way, tokens), headers=headers)

    def _body(self, way: Way, tokens: int) -> dict[str, Any]:
        number = next(self._numbers)
        words = [str(number), *(_WORDS[(number + place) % len(_WORDS)] for place in range(self.load.input_words))]
        return {
            "model": way.model,
            "messages": [{"role": "user", "content": " ".join(words)}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.load.more,
        }


def _broken(way: Way, error: Exception) -> RunbookError:
    return RunbookError(f"a request broke: {type(error).__name__}: {error}", where=way.url)


def _spent(trees: Trees) -> dict[str, float]:
    """Return the processor seconds of each tree so far, and of this process."""
    return {**{name: sum(map(_seconds, tree())) for name, tree in trees.items()}, "client": time.process_time()}


def _seconds(process: Identity) -> float:
    try:
        times = psutil.Process(process.pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def as_json(found: Found) -> str:
    """Return everything as a raw file."""
    return json.dumps(found._asdict(), indent=1)
