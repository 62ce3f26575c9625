"""Which HTTP client asks engines: processor time of a streamed answer through aiohttp and through httpx.

`python -m benchmarks.gateway.http_clients [FILE.json]`, half a minute, against the stand-in. Processor time hardly
notices what else the machine does. Figures go to `benchmarks/results/gateway_http_clients.json`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import uvloop

from benchmarks.gateway.stand_in import stand_in
from lib.core import paths
from lib.engine.bench import compare
from lib.engine.serve.client import CHAT

PAIRS = 10
REQUESTS = 300
AT_ONCE = 8
TOKENS = 32
RESULT = paths.ROOT / "benchmarks" / "results" / "gateway_http_clients.json"
BODY: dict[str, Any] = {"model": "m", "messages": [], "stream": True, "fake": {"tokens": TOKENS}}


async def _measure(url: str) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with aiohttp.ClientSession() as session, httpx.AsyncClient(trust_env=False, limits=limits) as client:

        async def by_aiohttp() -> None:
            async with session.post(url + CHAT, json=BODY) as answer:
                async for _ in answer.content.iter_any():
                    pass

        async def by_httpx() -> None:
            async with client.stream("POST", url + CHAT, json=BODY) as answer:
                async for _ in answer.aiter_raw():
                    pass

        await _spent(by_aiohttp)
        await _spent(by_httpx)
        pairs = [(await _spent(by_httpx), await _spent(by_aiohttp)) for _ in range(PAIRS)]
    found = compare.compare([a for a, _ in pairs], [b for _, b in pairs], lower_is_better=True)
    return {
        "requests": REQUESTS,
        "tokens": TOKENS,
        "httpx_ms": round(sum(first for first, _ in pairs) / PAIRS, 3),
        "aiohttp_ms": round(sum(second for _, second in pairs) / PAIRS, 3),
        "aiohttp_over_httpx": [round(value, 3) for value in (found.ratio, found.low, found.high)],
        "pairs": PAIRS,
    }


async def _spent(ask: Callable[[], Awaitable[None]]) -> float:
    """Return this process's processor time of one request, ms."""

    async def slot() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            await ask()

    begun = time.process_time()
    await asyncio.gather(*(slot() for _ in range(AT_ONCE)))
    return 1000 * (time.process_time() - begun) / (REQUESTS // AT_ONCE * AT_ONCE)


def main(file: Path) -> None:
    """Measure and write the figures."""
    with stand_in() as url:
        told = uvloop.run(_measure(url))
    file.write_text(json.dumps(told, indent=1) + "\n")
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT)
