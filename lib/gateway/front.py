"""What one gateway holds, and how it reads a request: who asks, what, of whom."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from multidict import CIMultiDict

from lib.core.sections.gateway import Gateway
from lib.gateway import errors, keys, upstream
from lib.gateway.admission import Admission
from lib.gateway.errors import RefusalError
from lib.gateway.keys import ALL_ROLES, Key, Store
from lib.gateway.lanes import Lane, Scheduler, Swap
from lib.gateway.limits import Limits
from lib.gateway.memory import Chats, Memory
from lib.gateway.metrics import Metrics
from lib.gateway.roles import Roles, Route
from lib.gateway.switch import Restart, Way
from lib.gateway.upstream import Engine, Pool

LOOPBACK = frozenset(("127.0.0.1", "::1"))
LOCAL = Key("loopback", "this machine", "", (ALL_ROLES,), "")
CHAT = "/v1/chat/completions"
ON, OFF = "on", "off"
MIB = 1 << 20


@dataclass
class Asked:
    """A request that may be answered.

    Parameters
    ----------
    path : str
        As the engine knows it.
    raw : bytes
        The body as it came.
    body : mapping
        The same, read.
    headers : CIMultiDict
        Those that the engine sees.
    key, route
        Whose it is and where it goes.
    memory : bool
        Whether facts are put into it.
    keep : bool
        Whether the chat is remembered.
    chat : str
        The client's own name of the chat, or the empty string.
    """

    path: str
    raw: bytes
    body: Mapping[str, Any]
    headers: "CIMultiDict[str]"
    key: Key
    route: Route
    memory: bool = False
    keep: bool = False
    chat: str = ""
    begun: float = field(default_factory=time.monotonic)


class Front:
    """Everything that one gateway holds.

    Parameters
    ----------
    settings : Gateway
        The profile's section.
    engines : mapping of str to Engine
        Where each engine of the profile is reached.
    ways : mapping of str to Way
        How each makes room.
    memory : Memory, optional
        Facts and chats.
    """

    def __init__(
        self, settings: Gateway, engines: Mapping[str, Engine], ways: Mapping[str, Way], memory: Memory | None = None
    ) -> None:
        self.settings, self.engines, self.memory = settings, engines, memory
        self.roles = Roles(settings)
        self.store = Store(keys.place(settings.keys))
        self.limits = Limits()
        self.admission = Admission(keys.place(settings.holds))
        self.metrics = Metrics()
        lanes = [
            Lane(name, ways[name], card=told.card, gib=told.gib, running=told.running)
            for name, told in settings.engines.items()
        ]
        self.scheduler = Scheduler(settings, lanes, self._swapped)
        for lane in lanes:
            self.metrics.watch(lane)
        self.chats = Chats(memory, settings.chat_idle_s) if memory else None
        self.pool: Pool

    async def open(self) -> None:
        """Connect, and look which engines are on their cards."""
        self.pool = Pool(self.settings)
        await asyncio.gather(*(self.scheduler.look(name) for name in self.engines))
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""
        self._watching.cancel()
        await self.scheduler.close()
        if self.chats:
            await self.chats.close()
        await self.pool.close()

    async def failed(self, name: str, why: str, *, reached: bool = True) -> None:
        """Take an engine out of use until it says that it is well; one bad answer of a well engine is no reason."""
        if not reached or not await self.pool.healthy(self.engines[name]):
            self.scheduler.fail(name, why)

    def who(self, request: Request) -> Key:
        """Return whose request it is.

        Raises
        ------
        RefusalError
            No key, a wrong one, or too many requests of it.
        """
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if not presented and self.settings.open_on_loopback and local(request):
            return LOCAL
        key = self.store.check(presented.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            self.metrics.refused.inc()
            raise errors.no_key(bool(presented))
        if wait := self.limits.take(key.id, key.requests_per_minute, time.monotonic()):
            self.metrics.requests.labels("", key.id, "429").inc()
            raise errors.too_many(f"This key may send {key.requests_per_minute} requests a minute.", wait)
        return key

    async def asked(self, request: Request, path: str) -> Asked:
        """Return a request, read and allowed."""
        key = self.who(request)
        if hold := self.admission.held():
            raise errors.unavailable(hold.reason, hold.retry_after_s)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusalError(400, "Unsupported Media Type: Only 'application/json' is allowed")
        raw = await self._body(request)
        body = _object(raw)
        route = self.roles.resolve(body.get("model"), key)
        wish = request.headers.get("x-runbook-memory", "").lower()
        chats = path == CHAT and self.memory is not None and isinstance(body.get("messages"), list)
        return Asked(
            path=path,
            raw=raw,
            body=body,
            headers=upstream.passed_on(request.headers.raw),
            key=key,
            route=route,
            memory=chats and (route.memory or wish == ON) and wish != OFF,
            keep=chats and wish != OFF,
            chat=request.headers.get("x-runbook-chat", ""),
        )

    async def _body(self, request: Request) -> bytes:
        limit = int(self.settings.body_mib * MIB)
        told = request.headers.get("content-length", "")
        parts, size = [], int(told) if told.isdecimal() else 0
        if size <= limit:
            size = 0
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > limit:
                    break
        if size > limit:
            raise RefusalError(413, f"A request may have {self.settings.body_mib:g} MiB.")
        return b"".join(parts)

    async def _watch(self) -> None:
        """Ask engines that failed for their health, until they are well."""
        while True:
            await asyncio.sleep(self.settings.probe_s)
            for name, lane in self.scheduler.lanes.items():
                if not lane.fault:
                    continue
                ended = isinstance(lane.way, Restart) and not lane.way.server.running  # can be started again
                if ended or lane.state == "asleep" or await self.pool.healthy(self.engines[name]):
                    lane.fault = ""
                    await self.scheduler.look(name)
                else:
                    self.scheduler.fail(name, lane.fault, 2 * self.settings.probe_s)

    def _swapped(self, swap: Swap) -> None:
        self.metrics.swaps.labels(swap.came).inc()
        self.metrics.swap_seconds.labels(swap.came).observe(swap.seconds)


def local(request: Request) -> bool:
    """Tell whether a request comes from this machine itself, and not through a proxy on it."""
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return request.client is not None and request.client.host in LOOPBACK and not forwarded


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RefusalError(400, "The body is not a JSON object.")
    return body
