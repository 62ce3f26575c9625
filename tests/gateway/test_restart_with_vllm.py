"""Two real engines that take turns on one card by restart, as where there is no sleep mode."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.engine.serve.process import Identity, alive
from lib.gateway.process import Gateway
from lib.gateway.storm import Answered, changes, storm

pytestmark = [pytest.mark.engine, pytest.mark.alone]

MODELS = {"big": "smollm2-135m", "small": "smollm2-135m-int8"}
REQUESTS, EVERY_S, LIMIT_S = 24, 0.5, 300


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("restart")
    shares = {"card": "card", "gib": 1.0, "switch": "restart"}
    settings = {
        "gateway.engines": {name: {"model": model, **shares} for name, model in MODELS.items()},
        "gateway.roles": {name: {"engine": name} for name in MODELS},
        "gateway.cards": {"card": 1.5},
        "gateway.queue_s": LIMIT_S,
        "gateway.hold_s": 2.0,
        "gateway.open_on_loopback": True,
        "gateway.keys": str(folder / "keys.json"),
    }
    with Gateway("embedded", settings, folder / "gateway.log", LIMIT_S) as running:
        yield running


@pytest.fixture(scope="module")
def answered(gateway: Gateway) -> list[Answered]:
    return storm(gateway.url, "", list(MODELS), REQUESTS, EVERY_S, LIMIT_S)


def test_every_request_of_the_storm_is_answered(answered: list[Answered]) -> None:
    assert [one.status for one in answered] == [200] * REQUESTS


def test_the_storm_does_not_thrash(gateway: Gateway, answered: list[Answered]) -> None:
    assert len(answered) == REQUESTS
    counted = changes(gateway.url)
    assert 1 <= sum(told.number for told in counted.values()) <= 3, "each request wants the other model"
    assert all(told.seconds / told.number > 1 for told in counted.values()), "a real engine was started"


def test_the_first_change_is_waited_for_and_the_rest_is_not(answered: list[Answered]) -> None:
    assert answered[0].waited_s < 1, "it was there"
    assert answered[1].waited_s > 2, "it had to be started"
    late = [one.waited_s for one in answered if one.role == "small"]
    assert max(late) == late[0], "who came later waited less: one start served them all"


def test_one_engine_at_a_time_and_none_stays(gateway: Gateway, answered: list[Answered]) -> None:
    assert len(answered) == REQUESTS
    tree = gateway.tree()
    engines = {name for name in MODELS.values() if any(name in _words(process) for process in tree)}
    assert len(engines) == 1
    gateway.stop()
    end = time.monotonic() + 20
    while any(alive(process) for process in tree):
        assert time.monotonic() < end, "an engine outlived its gateway"
        time.sleep(0.1)


def _words(process: Identity) -> list[str]:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []
