"""Soak of the gateway: 500 idle streams, 10,000 requests, a swap storm.

`python -m benchmarks.gateway [FILE.json]`. All of it runs on this machine, against `lib.gateway.fake_upstream`, so what
is measured is the gateway alone. Figures go to `benchmarks/results/gateway_soak.json`. What a request costs is measured
by `benchmarks.gateway.overhead`.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import psutil

from benchmarks.gateway.stand_in import stand_in
from lib.core import paths
from lib.gateway.process import Gateway

CHAT = "/v1/chat/completions"
REQUESTS = 10_000
AT_ONCE = 32
IDLE = 500
STORM_S = 10.0
# What the process may hold more after all requests than after the first tenth of them.
GROWTH_MIB = 8.0
RESULT = paths.ROOT / "benchmarks" / "results" / "gateway_soak.json"


def main(file: Path) -> None:
    """Run everything and write the figures."""
    with tempfile.TemporaryDirectory() as folder, stand_in() as first, stand_in() as second:
        settings: dict[str, object] = {
            "gateway.engines": {
                "plain": {"model": "plain", "url": first},
                "a": {"model": "a", "url": first, "card": "card", "gib": 8, "switch": "sleep"},
                "b": {"model": "b", "url": second, "card": "card", "gib": 8, "switch": "sleep"},
            },
            "gateway.roles": {name: {"engine": name} for name in ("plain", "a", "b")},
            "gateway.cards": {"card": 16.0},
            "gateway.hold_s": 1.0,
            "gateway.open_on_loopback": True,
            "gateway.memory": False,
        }
        with Gateway("embedded", settings, Path(folder) / "gateway.log") as gateway:
            found = asyncio.run(_measure(gateway))
        httpx.post(f"{second}/sleep", params={"level": "1"}, trust_env=False)
        storm_settings = {**settings, "gateway.cards": {"card": 10.0}}
        with Gateway("embedded", storm_settings, Path(folder) / "storm.log") as gateway:
            found |= asyncio.run(_storm(gateway, (first, second)))
    file.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


async def _measure(gateway: Gateway) -> dict[str, Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return {
            "cpus": os.cpu_count(),
            # First: memory that the idle streams left free would hide what requests keep.
            **await _growth(session, gateway),
            **await _idle(session, gateway),
        }


async def _idle(session: aiohttp.ClientSession, gateway: Gateway) -> dict[str, Any]:
    """Hold streams open that say nothing for seconds, and ask beside them."""
    before = _memory(gateway)
    wish = {"tokens": 2, "each_s": 8.0}
    streams = [asyncio.create_task(_ask(session, gateway.url, stream=True, fake=wish)) for _ in range(IDLE)]
    await asyncio.sleep(3)
    held = _memory(gateway)
    beside = [await _first_byte(session, gateway.url) for _ in range(50)]
    whole = sum(answer.endswith(b"data: [DONE]\n\n") for answer in await asyncio.gather(*streams))
    return {
        "idle_streams": IDLE,
        "idle_streams_whole": whole,
        "idle_stream_kib": round((held - before) / 1024 / IDLE, 1),
        "ttft_beside_idle_ms": round(1000 * median(beside), 3),
    }


async def _growth(session: aiohttp.ClientSession, gateway: Gateway) -> dict[str, Any]:
    """Send many requests, whole and streamed, some of them left early, and watch the memory."""
    kinds: tuple[dict[str, Any], ...] = ({}, {"stream": True}, {"fake": {"status": 400}}, {"model": "nothing"})
    seen: list[float] = []
    waves = -(-REQUESTS // (10 * AT_ONCE))
    sent = 10 * waves * AT_ONCE
    begun = time.monotonic()
    for _ in range(10):
        for _ in range(waves):
            await asyncio.gather(*(_ask(session, gateway.url, **kinds[n % 4]) for n in range(AT_ONCE)))
        await asyncio.gather(*(_leave(session, gateway.url) for _ in range(8)))
        seen.append(_memory(gateway) / (1 << 20))
    grown = seen[-1] - seen[0]
    return {
        "requests": sent,
        "requests_per_s": round(sent / (time.monotonic() - begun)),
        "memory_mib": [round(value, 1) for value in seen],
        "memory_growth_mib": round(grown, 1),
        "memory_grows": grown > GROWTH_MIB,
    }


async def _storm(gateway: Gateway, engines: tuple[str, str]) -> dict[str, Any]:
    """Let sixteen clients ask for two models of one card in turn."""
    served, refused = 0, 0
    end = time.monotonic() + STORM_S

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal served, refused
        while time.monotonic() < end:
            body = {
                "model": "ab"[number % 2],
                "messages": [{"role": "user", "content": "x"}],
                "fake": {"first_s": 0.05},
            }
            async with session.post(f"{gateway.url}{CHAT}", json=body) as answer:
                served, refused = served + (answer.status == 200), refused + (answer.status != 200)
            number += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        before = [await _seen(session, url) for url in engines]
        await asyncio.gather(*(one(session, number) for number in range(16)))
        after = [await _seen(session, url) for url in engines]
    swaps = sum(b["woken"] - a["woken"] for a, b in zip(before, after, strict=True))
    asleep = sum(b["asleep"] - a["asleep"] for a, b in zip(before, after, strict=True))
    return {
        "storm_s": STORM_S,
        "storm_requests": served,
        "storm_refused": refused,
        "storm_swaps": swaps,
        "storm_asked_asleep": asleep,
    }


async def _ask(session: aiohttp.ClientSession, url: str, **fields: Any) -> bytes:
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}], **fields}
    async with session.post(f"{url}{CHAT}", json=body) as answer:
        return await answer.read()


async def _first_byte(session: aiohttp.ClientSession, url: str) -> float:
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}], "stream": True, "fake": {"tokens": 1}}
    begun = time.perf_counter()
    async with session.post(f"{url}{CHAT}", json=body) as answer:
        await answer.content.readany()
        seconds = time.perf_counter() - begun
        await answer.read()
    return seconds


async def _leave(session: aiohttp.ClientSession, url: str) -> None:
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with session.post(f"{url}{CHAT}", json={**body, "fake": {"tokens": 1000, "each_s": 0.05}}) as answer:
        await answer.content.readany()
        answer.close()


async def _seen(session: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with session.get(f"{url}/seen") as answer:
        seen: dict[str, int] = await answer.json()
        return seen


def _memory(gateway: Gateway) -> float:
    """Return the private memory of the gateway's processes, bytes."""
    return float(sum(psutil.Process(process.pid).memory_full_info().uss for process in gateway.tree()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT)
