"""The engines' side: one pool of connections, requests passed on, answers as they come.

aiohttp, not httpx: its parser is compiled, it stops reading from an engine while a client takes nothing, and a streamed
answer costs it a fifth of the processor time (`benchmarks.gateway.http_clients`).
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDict

from lib.core.sections.gateway import Gateway, GatewayEngine

CONNECT_S = 2.0
# vLLM closes an idle connection after 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE): ours must be forgotten before.
KEEP_S = 3.0
# RFC 9110, 7.6.1: these belong to one connection. Length and host are written anew; a key is for the gateway alone.
OF_ONE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te")
) | frozenset((b"trailer", b"transfer-encoding", b"upgrade"))
NOT_PASSED_ON = OF_ONE_CONNECTION | {b"host", b"content-length", b"authorization", b"cookie", b"expect"}
OURS = b"x-runbook-"
log = logging.getLogger(__name__)
Headers = list[tuple[bytes, bytes]]


class Engine(NamedTuple):
    """An engine as the gateway reaches it: name, address, the model's name there, its key or the empty string."""

    name: str
    url: str
    model: str
    key: str = ""


class UpstreamError(Exception):
    """An engine gave no answer: it was not `reached`, closed the connection, or (`silent`) said nothing in time."""

    def __init__(self, told: str, *, reached: bool = True, silent: bool = False) -> None:
        super().__init__(told)
        self.reached, self.silent = reached, silent


def engine(name: str, told: GatewayEngine, url: str = "") -> Engine:
    """Return an engine of a profile; its key is read from its file."""
    key = Path(told.key_file).read_text().strip() if told.key_file else ""
    return Engine(name, (url or told.url).rstrip("/"), told.model, key)


class Pool:
    """Connections to all engines.

    Parameters
    ----------
    settings : Gateway
        Times.
    """

    def __init__(self, settings: Gateway) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=settings.silent_s),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=1 << 16,
        )

    async def post(self, to: Engine, path: str, body: bytes, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Send a request and return its answer, whose body has still to be read.

        Raises
        ------
        UpstreamError
            Nothing was answered: not there, closed, or silent for too long.
        """
        if to.key:
            headers["Authorization"] = f"Bearer {to.key}"
        for attempt in (1, 2):
            try:
                return await self._session.post(f"{to.url}{path}", data=body, headers=headers, allow_redirects=False)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
                # An engine may close a kept connection at the moment it is used; then it never saw the request.
                if attempt == 2:
                    raise UpstreamError(f"{to.name} closed the connection without an answer") from error
            except aiohttp.SocketTimeoutError as error:
                raise UpstreamError(f"{to.name} said nothing for too long", silent=True) from error
            except (aiohttp.ClientError, OSError) as error:
                raise UpstreamError(f"{to.name} cannot be reached: {type(error).__name__}", reached=False) from error
        raise AssertionError("unreachable")

    async def healthy(self, to: Engine) -> bool:
        """Tell whether an engine says that it is well."""
        try:
            limit = aiohttp.ClientTimeout(total=CONNECT_S)
            async with self._session.get(f"{to.url}/health", timeout=limit) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> "CIMultiDict[str]":
    """Return the headers of a request that the engine may see."""
    return CIMultiDict(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name not in NOT_PASSED_ON and not name.startswith(OURS)
    )


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of an answer that the client sees, as the engine wrote them."""
    return [(low, value) for name, value in headers if (low := name.lower()) not in OF_ONE_CONNECTION]
