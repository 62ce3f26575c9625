"""What the way through the bastion costs: direct and through, in turn, so that what disturbs meets both."""

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Scalar
from lib.edge.clients import Way
from lib.edge.stage import CA_FILE, Stage
from lib.edge.trial import lab
from lib.lab.netns.space import ENVIRONMENT, Space

GAP_LIMIT_MS = 5.0
PROMPT = "Tell a story about a lighthouse, a storm and a ship."
RESAMPLES = 4000
# Tokens of an answer that is asked for because of its first one.
SHORT_TOKENS = 8


class Client:
    """An OpenAI client at work, on this machine or in a twin; asked one thing at a time."""

    def __init__(self, way: Way, space: Space | None = None, trusts: str = "") -> None:
        self.way = way
        prefix = space.prefix(processes=False) if space else []
        trust = {"SSL_CERT_FILE": trusts} if trusts else {}
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "lib.edge.clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **trust, "PYTHONPATH": str(paths.ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            start_new_session=True,
        )

    def ask(self, do: str, **more: object) -> Any:
        """Let it do something and return what it says."""
        self.begin(do, **more)
        return self.result()

    def begin(self, do: str, **more: object) -> None:
        """Let it begin; `result` waits."""
        if self._process.stdin is None:
            raise RunbookError("the client has ended")
        self._process.stdin.write(json.dumps({"do": do, "way": self.way._asdict(), **more}) + "\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """Return what it says when it is done."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RunbookError("the OpenAI client of the lab ended", where="lib.edge.clients")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pair(NamedTuple):
    """Two clients: at home beside the engine, and on the internet, through TLS and the tunnel."""

    direct: Client
    through: Client


@contextmanager
def pair(stage: Stage, key: str, model: str) -> Iterator[Pair]:
    """Start both clients, and end them afterwards.

    The engine is not in the twin: a door of the lab leads to it. Both go through that, so it is no part of the tax.
    """
    if stage.engine is None:
        raise RunbookError("no engine answers behind the bastion", where="bastion")
    direct = Client(Way(f"http://{stage.bastion.upstream}/v1", "", model), stage.home)
    through = Client(Way(f"https://{stage.bastion.hostname}/v1", key, model), stage.client, CA_FILE)
    try:
        yield Pair(direct, through)
    finally:
        direct.close()
        through.close()


class Streams(NamedTuple):
    """Streams of both ways, pairwise in time."""

    direct: list[dict[str, Any]]
    through: list[dict[str, Any]]


def in_turn(both: Pair, number: int) -> Streams:
    """Stream so many short answers on each way, one at a time: what the way adds to the first token."""
    found = Streams([], [])
    for count in range(number):
        asked = {"tokens": SHORT_TOKENS, "prompt": f"{count}. {PROMPT}", "times": 1}
        order = (both.direct, both.through) if count % 2 == 0 else (both.through, both.direct)
        told = {one: one.ask("stream", **asked)[0] for one in order}
        found.direct.append(told[both.direct])
        found.through.append(told[both.through])
    return _whole(found)


def at_once(both: Pair, number: int, tokens: int) -> Streams:
    """Stream so many answers on both ways at a time: the engine's steps are the same, what differs is the way."""
    found = Streams([], [])
    for count in range(number):
        asked = {"tokens": tokens, "prompt": f"{count}. {PROMPT}", "times": 1}
        for one in both:
            one.begin("stream", **asked)
        found.direct.extend(both.direct.result())
        found.through.extend(both.through.result())
    return _whole(found)


def _whole(found: Streams) -> Streams:
    broken = [one["error"] for one in (*found.direct, *found.through) if one["error"]]
    if broken:
        raise RunbookError(f"a stream of the tax broke: {broken[0]}", where="bastion")
    return found


def first(found: Streams, conditions: dict[str, Scalar]) -> Measurement:
    """Return what the way costs the first token, from streams in turn."""
    method = "median of paired differences, direct and through in turn; 95 % bootstrap over pairs"
    return _added("bastion.ttft_tax_ms", "Added to the first token", found, _first, conditions, method)


def each(found: Streams, conditions: dict[str, Scalar]) -> Measurement:
    """Return what the way costs each further token, from streams at once."""
    method = "median of paired differences, direct and through at once; 95 % bootstrap over pairs"
    return _added("bastion.tpot_tax_ms", "Added to each further token", found, _each, conditions, method)


def _added(
    name: str,
    title: str,
    found: Streams,
    what: Callable[[dict[str, Any]], float],
    conditions: dict[str, Scalar],
    method: str,
) -> Measurement:
    added = [what(t) - what(d) for d, t in zip(found.direct, found.through, strict=True)]
    return _ms(name, title, added, conditions, method, _median(found.direct, what))


def throughput(both: Pair, conditions: dict[str, Scalar], concurrency: int, tokens: int) -> Measurement:
    """Return what the way leaves of the throughput of many streams at a time."""
    rates: list[float] = []
    for _ in range(3):
        seconds = {}
        for name, one in (("direct", both.direct), ("through", both.through)):
            asked = {"tokens": tokens, "concurrency": concurrency, "requests": concurrency, "prompt": PROMPT}
            told = one.ask("many", **asked)
            if told["errors"]:
                raise RunbookError(f"the load of the tax broke: {told['errors'][0]}", where="bastion")
            seconds[name] = told["pieces"] / told["seconds"]
        rates.append(seconds["through"] / seconds["direct"])
    return Measurement(
        name="bastion.throughput_ratio",
        title="Throughput through the bastion, direct is 1",
        value=round(float(np.exp(np.mean(np.log(rates)))), 4),
        unit="",
        n=len(rates),
        interval=bootstrap(rates),
        method="streamed pieces a second, direct and through in turn; 95 % bootstrap over rounds",
        conditions={**conditions, "concurrency": concurrency},
        baseline=1.0,
        provenance=lab(),
    )


def gap(found: Streams, conditions: dict[str, Scalar]) -> tuple[Measurement, Check]:
    """Return how much longer the pauses between the pieces of a stream are: buffering would show here."""
    added = [_gap(t) - _gap(d) for d, t in zip(found.direct, found.through, strict=True)]
    method = "median pause of each stream, direct and through at once; 95 % bootstrap over pairs"
    base = _median(found.direct, _gap)
    told = _ms("bastion.stream_gap_ms", "Added to the pause between two pieces", added, conditions, method, base)
    verdict = Check(
        name="bastion.stream_gap",
        title="Streams are not buffered on the way",
        status=within(told.value, told.interval[0] if told.interval else told.value, GAP_LIMIT_MS),
        expected=f"at most {GAP_LIMIT_MS:g} ms more between two pieces",
        observed=f"{told.value:.2f} ms more, 95 % interval {_range(told)}",
        fix="proxy_buffering off in /etc/nginx/nginx.conf of VPS and home",
        conditions=conditions,
        provenance=lab(),
    )
    return told, verdict


def answered(found: Streams) -> Check:
    """Tell whether the unmodified client at the far end got the same text as the one beside the engine."""
    pairs = list(zip(found.direct, found.through, strict=True))
    same = sum(d["text"] == t["text"] for d, t in pairs)
    whole = sum(bool(t["text"]) and t["finish"] in ("stop", "length") for _, t in pairs)
    return Check(
        name="bastion.openai_client",
        title="An unmodified OpenAI client streams through TLS and the tunnel",
        status="pass" if whole == len(pairs) and same == len(pairs) else "fail",
        expected=f"{len(pairs)} answers, whole, and the same text as direct (greedy)",
        observed=f"{whole} whole, {same} the same",
        fix="bastion.probe.* and /var/log/nginx/error.log on both sides",
        provenance=lab(),
    )


def _first(told: dict[str, Any]) -> float:
    return float(told["times"][0])


def _each(told: dict[str, Any]) -> float:
    times = told["times"]
    return float((times[-1] - times[0]) / max(1, len(times) - 1))


def within(value: float, least: float, limit: float) -> Literal["pass", "warn", "fail"]:
    """Judge a value by its limit: it fails where even the low end of its interval is beyond; else noise may be why."""
    if value <= limit:
        return "pass"
    return "fail" if least > limit else "warn"


def _range(told: Measurement) -> str:
    low, high = told.interval or (told.value, told.value)
    return f"{low:.2f} to {high:.2f}"


def _gap(told: dict[str, Any]) -> float:
    return float(np.median(np.diff(told["times"]))) if len(told["times"]) > 1 else 0.0


def _median(listed: Sequence[dict[str, Any]], what: Callable[[dict[str, Any]], float]) -> float:
    return round(1000 * statistics.median(what(one) for one in listed), 3)


def _ms(
    name: str, title: str, seconds: Sequence[float], conditions: dict[str, Scalar], method: str, baseline: float
) -> Measurement:
    low, high = bootstrap(seconds, np.median)
    return Measurement(
        name=name,
        title=title,
        value=round(1000 * statistics.median(seconds), 3),
        unit="ms",
        n=len(seconds),
        interval=(round(1000 * low, 3), round(1000 * high, 3)),
        method=method,
        conditions=conditions,
        baseline=baseline,
        provenance=lab(),
    )


def bootstrap(values: Sequence[float], of: Any = np.mean) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic, in the unit of the values."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(of(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)
