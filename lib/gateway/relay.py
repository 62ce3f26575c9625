"""One request on its way: through the queue to an engine, and the answer back, byte for byte.

What the client takes sets the pace: an answer that it does not take is not read from the engine either. A client that
leaves ends the request at the engine. An engine that dies within an answer ends it visibly: an error as the last event
of a stream, and a connection that is cut, never an answer that looks whole.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.gateway import errors, memory, sources, upstream
from lib.gateway.errors import RefusalError
from lib.gateway.front import Asked, Front
from lib.gateway.upstream import UpstreamError

# Of an answer's end so much is kept: its usage stands there.
TAIL = 2048
_USAGE = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d+)')
_OTHER_MAY = frozenset((502, 503))


class Relay(Response):
    """The answer to one request, as it comes from the engine."""

    def __init__(self, front: Front, asked: Asked) -> None:
        # Not Response.__init__: status and headers are the engine's and are not known yet.
        self.background = None
        self.front, self.asked = front, asked
        self.status_code = 0
        self._told: dict[str, str] = {}
        self._sources: list[dict[str, Any]] | None = None
        self._events = 0
        self._whole = False
        self._tail = b""
        self._kept: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves before."""
        work = asyncio.current_task()
        assert work is not None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            work.cancel()

        watching = asyncio.create_task(watch())
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            if not gone:
                raise
            work.uncancel()
            if self._whole:  # it left after the last byte, as clients do
                return
            self.status_code = self.status_code or 499
            self._broken("client")
        finally:
            watching.cancel()
            self._count()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._with_facts()
            name, answer = await self._first_engine(body)
        except RefusalError as refusal:
            self.status_code = refusal.status
            await refusal.response(self._told)(scope, receive, send)
            return
        try:
            await self._pass_back(answer, name, send)
        finally:
            answer.close()
            self.front.scheduler.leave(name)

    async def _with_facts(self) -> Mapping[str, Any]:
        """Return the request, with facts of the memory where they are wanted."""
        asked, store = self.asked, self.front.memory
        question = memory.question(asked.body.get("messages")) if asked.memory and store else ""
        if not question or store is None:
            return asked.body
        try:
            async with asyncio.timeout(memory.FACTS_S):
                facts = await store.context(question, tokens=self.front.settings.memory_tokens)
        except Exception as error:
            self._told["x-runbook-memory"] = f"failed: {type(error).__name__}"
            return asked.body
        self._told["x-runbook-memory"] = f"{len(facts.sources)} sources"
        self._sources = sources.told(facts.sources)
        self._told["x-runbook-sources"] = sources.header(self._sources)
        return {**asked.body, "messages": memory.with_facts(asked.body["messages"], facts.text)}

    async def _first_engine(self, body: Mapping[str, Any]) -> tuple[str, aiohttp.ClientResponse]:
        """Return the answer of the first engine that gives one; its place in the lane is taken."""
        names, refusal = self.asked.route.engines, None
        for name in names:
            try:
                return name, await self._ask(name, body, last=name == names[-1])
            except RefusalError as told:
                if told.status == HTTPStatus.GATEWAY_TIMEOUT:
                    raise  # the time is spent; another engine would spend it again
                refusal = refusal or told
        raise refusal or errors.unavailable("no engine for this role", self.front.settings.probe_s)

    async def _ask(self, name: str, body: Mapping[str, Any], *, last: bool) -> aiohttp.ClientResponse:
        """Wait for a place at one engine and return its answer; where there is none, the place is given back."""
        asked, front, patience = self.asked, self.front, self.front.settings.probe_s
        waited = await front.scheduler.enter(name, asked.key.id)
        front.metrics.queue.labels(asked.route.role).observe(waited)
        answer: aiohttp.ClientResponse | None = None
        try:
            came = await front.pool.post(front.engines[name], asked.path, self._bytes(body, name), asked.headers)
            if came.status in _OTHER_MAY and not last:
                came.close()
                raise errors.unavailable(f"{name} answered {came.status}", patience)
            answer = came
        except UpstreamError as error:
            await front.failed(name, str(error), reached=error.reached)
            told = str(error)
            raise (errors.no_answer(told) if error.silent else errors.unavailable(told, patience)) from error
        finally:
            if answer is None:
                front.scheduler.leave(name)
        self._name_engine(name, waited)
        return answer

    def _bytes(self, body: Mapping[str, Any], name: str) -> bytes:
        """Return the request as it came, unless the engine knows the model by another name or facts were added."""
        there = self.front.engines[name].model
        if body is self.asked.body and body.get("model") == there:
            return self.asked.raw
        return json.dumps({**body, "model": there}).encode()

    def _name_engine(self, name: str, waited: float) -> None:
        route = self.asked.route
        self._told["x-runbook-engine"] = name
        if waited:
            self._told["x-runbook-queue-ms"] = f"{1000 * waited:.0f}"
        if name != route.engines[0]:
            why = self.front.scheduler.down(route.engines[0]) or "busy"
            failover = f"{route.engines[0]} -> {name}: {why}"
            self._told["x-runbook-failover"] = failover.encode("ascii", "replace").decode()
            self.front.metrics.failovers.labels(route.role, name).inc()

    async def _pass_back(self, answer: aiohttp.ClientResponse, name: str, send: Send) -> None:
        self.status_code = answer.status
        ours = [(key.encode(), value.encode("latin-1", "replace")) for key, value in self._told.items()]
        headers = [*upstream.passed_back(answer.raw_headers), *ours]
        streamed = answer.content_type == "text/event-stream"
        insert = self._insert(answer, streamed=streamed)
        if insert:  # the answer gets longer than the engine said
            headers = [(name, value) for name, value in headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        try:
            await self._pump(answer, streamed, insert, send)
        except (aiohttp.ClientError, OSError) as error:
            await self._cut(name, error, streamed, send)
            return
        self._whole = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self.asked.keep and answer.status == 200 and self.front.chats:
            text = memory.answer_text(b"".join(self._kept), streamed=streamed)
            asked = self.asked
            self.front.chats.said(asked.key.name, asked.route.role, asked.chat, asked.body["messages"], text)

    def _insert(self, answer: aiohttp.ClientResponse, *, streamed: bool) -> sources.Insert | None:
        readable = answer.status == HTTPStatus.OK and "content-encoding" not in answer.headers
        return sources.Insert(self._sources, streamed=streamed) if readable and self._sources is not None else None

    async def _pump(
        self, answer: aiohttp.ClientResponse, streamed: bool, insert: sources.Insert | None, send: Send
    ) -> None:
        limit, keep = self.front.settings.client_s, self.asked.keep
        first = True
        async for chunk in answer.content.iter_any():
            if first:
                self.front.metrics.ttft.labels(self.asked.route.role).observe(time.monotonic() - self.asked.begun)
                first = False
            if streamed:
                self._events += chunk.count(b"data: ")
            self._tail = chunk if len(chunk) >= TAIL else (self._tail + chunk)[-TAIL:]
            if keep:
                self._kept.append(chunk)
            piece = insert.pass_on(chunk) if insert else chunk
            async with asyncio.timeout(limit):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if insert and (rest := insert.rest()):
            await send({"type": "http.response.body", "body": rest, "more_body": True})

    async def _cut(self, name: str, error: Exception, streamed: bool, send: Send) -> None:
        """End an answer that cannot be finished: say so where there is a way to, and leave it visibly incomplete."""
        silent = isinstance(error, aiohttp.SocketTimeoutError)
        if isinstance(error, TimeoutError) and not silent:
            self._broken("client")  # it takes nothing
            return
        self._broken("engine")
        if not silent:
            await self.front.failed(name, f"{name} ended within an answer")
        if streamed:
            told = errors.unavailable(f"{name} ended within this answer", self.front.settings.probe_s)
            event = b"\n\ndata: " + told.body + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})

    def _broken(self, by: str) -> None:
        self.front.metrics.broken.labels(self.asked.route.role, by).inc()

    def _count(self) -> None:
        metrics, role, key = self.front.metrics, self.asked.route.role, self.asked.key.id
        metrics.requests.labels(role, key, str(self.status_code)).inc()
        if self._events:
            metrics.events.labels(role, key).inc(self._events)
        # The last of each kind: with a running count of usage, earlier ones are parts of it.
        for kind, number in dict(_USAGE.findall(self._tail)).items():
            metrics.tokens.labels(role, key, kind.decode()).inc(int(number))
