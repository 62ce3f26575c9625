"""A storm: requests for several roles, alternately and faster than their engines can change."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lib.core.errors import RunbookError
from lib.engine.serve import client

WORD = "Name three colours."
TOKENS = 4


class Answered(NamedTuple):
    """One request of a storm: its role, HTTP status, seconds in all, and those that it waited for its engine."""

    role: str
    status: int
    seconds: float
    waited_s: float


class Changes(NamedTuple):
    """What a gateway counted: how often an engine came to its card, and what that took together, s."""

    number: int
    seconds: float


def storm(url: str, key: str, roles: Sequence[str], number: int, every_s: float, limit_s: float) -> list[Answered]:
    """Send so many requests, one every `every_s`, to the roles in turn, and return the answers in that order.

    Parameters
    ----------
    url, key : str
        The gateway's address without a path, and a key or the empty string.
    roles : sequence of str
        Asked in turn: each next request wants another engine.
    limit_s : float
        Longest wait for one answer.

    Raises
    ------
    RunbookError
        A connection broke, or an answer took longer than the limit: the gateway must do neither.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    begun = time.monotonic()

    def ask(place: int) -> Answered:
        time.sleep(max(0.0, begun + place * every_s - time.monotonic()))
        role, asked = roles[place % len(roles)], time.monotonic()
        try:
            answer = client.http().post(
                url + client.CHAT, json=client.question(role, WORD, TOKENS), headers=headers, timeout=limit_s
            )
        except httpx.TransportError as error:
            raise RunbookError(f"a request of the storm broke: {type(error).__name__}", where=url) from error
        waited = float(answer.headers.get("x-runbook-queue-ms", 0)) / 1000
        return Answered(role, answer.status_code, time.monotonic() - asked, waited)

    client.http()  # made now, before the threads make one each
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


def changes(url: str, key: str = "") -> dict[str, Changes]:
    """Return what a gateway counted so far, by the engine that came."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    text = client.http().get(f"{url}/metrics", headers=headers).raise_for_status().text
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        if family.name == "gateway_swap_seconds":
            for sample in family.samples:
                found.setdefault(sample.labels["engine"], {})[sample.name.rpartition("_")[2]] = sample.value
    return {engine: Changes(int(told["count"]), told["sum"]) for engine, told in found.items()}
