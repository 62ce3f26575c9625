"""A stand-in for an engine, for tests and for measuring the gateway alone: answers at once, slowly, halfway, or never.

`python -m lib.gateway.fake_upstream PORT [SLEEP_SECONDS]` speaks as much of vLLM's interface as the gateway uses, sleep
mode's routes included. What a request wants of it stands in its body under `fake`:

`tokens` events of the answer (else 4, or `max_tokens` with `ignore_eos`) · `first_s`, `each_s` waits before the first
and between all · `size` bytes of each · `status` answer this status · `hang` nothing is ever answered · `hang_after`,
`die_after` after so many events, nothing more comes, or the connection is cut · `die` cut before anything.

`GET /deaf?on=true`: /health still answers, completions are not. `GET /seen` tells what it saw: requests, those running,
those whose client left, those asked while asleep, and the last body and headers.
"""

import asyncio
import contextlib
import json
import math
import sys
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import uvloop

FOREVER_S = 3600.0
TOKENS = 4
WIDTH = 64
CHUNK = b"%x\r\n%s\r\n"


class Fake:
    """The stand-in's state.

    Parameters
    ----------
    sleep_s : float
        What going to sleep and waking take.
    """

    def __init__(self, sleep_s: float = 0.0) -> None:
        self.sleep_s = sleep_s
        self.sleeping = False
        self.healthy = True
        self.deaf = False
        self.connections: set[asyncio.StreamWriter] = set()
        self.seen: dict[str, Any] = {
            **dict.fromkeys(("requests", "running", "most_running", "left", "asleep", "slept", "woken"), 0),
            "body": None,
            "headers": {},
        }

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it closes."""
        self.connections.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._request(reader, writer):
                    pass
        finally:
            self.connections.discard(writer)
            writer.close()

    def cut(self) -> None:
        """Cut every connection, as the kernel does for an engine that was killed."""
        for writer in list(self.connections):
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "POST" and path.startswith("/v1/"):
            return await self._answer(path, raw, headers, reader, writer)
        status, told = await self._control(path, raw)
        _whole(writer, status, told)
        await writer.drain()
        return True

    async def _control(self, path: str, raw: bytes) -> tuple[int, object]:
        name, _, query = path.partition("?")
        if name == "/health":
            return (200 if self.healthy else 503), {}
        if name == "/seen":
            return 200, self.seen
        if name == "/is_sleeping":
            return 200, {"is_sleeping": self.sleeping}
        if name == "/unwell":
            self.healthy = query != "on=true"
            return 200, {}
        if name == "/deaf":
            self.deaf = query == "on=true"
            return 200, {}
        if name in ("/sleep", "/wake_up"):
            await asyncio.sleep(self.sleep_s)
            self.sleeping = name == "/sleep"
            self.seen["slept" if self.sleeping else "woken"] += 1
            return 200, {}
        if name in ("/collective_rpc", "/reset_prefix_cache"):
            return 200, {"got": raw.decode()}
        return 404, _error("Not Found", 404)

    async def _answer(
        self, path: str, raw: bytes, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            _whole(writer, 400, _error("not a JSON object", 400))
            return True
        wish = body.get("fake")
        wish = wish if isinstance(wish, dict) else {}
        self.seen |= {"requests": self.seen["requests"] + 1, "body": body, "headers": headers}
        self.seen["asleep"] += self.sleeping
        self.seen["running"] += 1
        self.seen["most_running"] = max(self.seen["most_running"], self.seen["running"])
        work = asyncio.ensure_future(self._speak(path, body, wish, writer))
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                leaving.cancel()
                await asyncio.wait((leaving,))
                return work.result()
            self.seen["left"] += 1
            return False
        finally:
            self.seen["running"] -= 1
            work.cancel()

    async def _speak(
        self, path: str, body: Mapping[str, Any], wish: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bool:
        if wish.get("die"):
            writer.transport.abort()
            return False
        await asyncio.sleep(FOREVER_S if wish.get("hang") or self.deaf else wish.get("first_s", 0))
        if (status := int(wish.get("status", 200))) != HTTPStatus.OK:
            _whole(writer, status, _error("as asked", status))
            return True
        wanted = body.get("max_tokens", TOKENS) if body.get("ignore_eos") else TOKENS
        tokens, size = int(wish.get("tokens", wanted)), int(wish.get("size", 1))
        usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
        if not body.get("stream"):
            await asyncio.sleep(tokens * wish.get("each_s", 0))
            _whole(writer, 200, _reply(path, body, "x" * (tokens * size), usage))
            await writer.drain()
            return True
        return await self._stream(body, wish, writer, tokens, size, usage)

    async def _stream(
        self,
        body: Mapping[str, Any],
        wish: dict[str, Any],
        writer: asyncio.StreamWriter,
        tokens: int,
        size: int,
        usage: Mapping[str, int],
    ) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\nserver: fake\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number in range(tokens):
            if number and wish.get("each_s"):
                await asyncio.sleep(wish["each_s"])
            if number == wish.get("die_after", -1):
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.transport.abort()
                return False
            if number == wish.get("hang_after", -1):
                await asyncio.sleep(FOREVER_S)
            piece = {"id": "fake", "object": "chat.completion.chunk", "created": 0, "model": body.get("model")}
            event = {**piece, "choices": [{"index": 0, "delta": {"content": "x" * size}, "finish_reason": None}]}
            _event(writer, json.dumps(event))
            await writer.drain()
        last = {"id": "fake", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        _event(writer, json.dumps(last))
        if (body.get("stream_options") or {}).get("include_usage"):
            _event(writer, json.dumps({"id": "fake", "choices": [], "usage": usage}))
        _event(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _event(writer: asyncio.StreamWriter, text: str) -> None:
    data = f"data: {text}\n\n".encode()
    writer.write(CHUNK % (len(data), data))


def _whole(writer: asyncio.StreamWriter, status: int, told: object) -> None:
    data = json.dumps(told).encode()
    writer.write(
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nserver: fake\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n".encode()
        + data
    )


def _reply(path: str, body: Mapping[str, Any], text: str, usage: Mapping[str, int]) -> dict[str, Any]:
    told = {"id": "fake", "created": 0, "model": body.get("model"), "usage": usage}
    if path.endswith("embeddings"):
        texts = body.get("input")
        vectors = [_vector(text) for text in (texts if isinstance(texts, list) else [texts])]
        data = [{"object": "embedding", "index": place, "embedding": v} for place, v in enumerate(vectors)]
        return {**told, "object": "list", "data": data}
    if path.endswith("rerank"):
        question, texts = _vector(body.get("query")), body.get("documents")
        near = [_cosine(question, _vector(text)) for text in (texts if isinstance(texts, list) else [texts])]
        order = sorted(range(len(near)), key=lambda place: -near[place])
        return {**told, "results": [{"index": place, "relevance_score": near[place]} for place in order]}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "text": text, "finish_reason": "stop"}
    return {**told, "object": "chat.completion", "choices": [choice]}


def _vector(text: object) -> list[float]:
    """Return which words stand in a text: the same ones are near each other, and that is all it knows."""
    vector = [0.0] * WIDTH
    for word in str(text).lower().split():
        vector[zlib.crc32(word.encode()) % WIDTH] += 1.0
    return vector


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / ((math.hypot(*a) * math.hypot(*b)) or 1.0)


def _error(message: str, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": HTTPStatus(code).phrase, "param": None, "code": code}}


async def serve(port: int, sleep_s: float = 0.0) -> asyncio.Server:
    """Open the stand-in on a port of this machine and return its server."""
    return await asyncio.start_server(Fake(sleep_s).client, "127.0.0.1", port, backlog=2048, limit=1 << 26)


async def _main(port: int, sleep_s: float) -> None:
    async with await serve(port, sleep_s) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
