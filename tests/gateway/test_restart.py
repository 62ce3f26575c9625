"""Engines that the gateway ends and starts itself: who has the card, what a storm does, and a start that fails."""

import threading
import time
from collections.abc import Callable
from typing import Any

from town import MakeTown, StandIn, Town, until

from lib.core.errors import RunbookError
from lib.gateway import storm

START_S = 0.3


class Owned:
    """As much of an engine's server as restarting needs; its stand-in answers only while it is started."""

    def __init__(self, start_s: float = START_S) -> None:
        self.start_s, self.starts, self.fails = start_s, 0, False
        self.running = False
        self.fake: StandIn | None = None
        self.at_work: list[str] = []

    def start(self) -> None:
        self.at_work.append("start")
        time.sleep(self.start_s)
        if self.fails:
            raise RunbookError("it does not start", where="here")
        assert self.fake
        if not self.running:
            self.fake.start()
        self.starts, self.running = self.starts + 1, True

    def stop(self) -> None:
        self.at_work.append("stop")
        if self.fake and self.running:
            self.fake.end()
        self.running = False


def shared(make_town: MakeTown, first: Owned, second: Owned, **settings: Any) -> Town:
    """Return a gateway whose two engines take turns on one card; the first runs."""
    engines = {name: {"card": "card", "gib": 1.0, "switch": "restart"} for name in ("a", "b")}
    times = {"hold_s": 0.3, "linger_s": 0.05, "probe_s": 0.2, **settings}
    first.running = True
    town = make_town("a", "b", servers={"a": first, "b": second}, engines=engines, cards={"card": 1.5}, **times)
    first.fake, second.fake = town.fakes["a"], town.fakes["b"]
    second.fake.end()
    return town


def test_one_is_ended_and_the_other_started(make_town: MakeTown) -> None:
    a, b = Owned(), Owned()
    town = shared(make_town, a, b)
    assert town.ask("a").status_code == 200
    answer = town.ask("b")
    assert (answer.status_code, answer.json()["model"]) == (200, "m-b")
    assert int(answer.headers["x-runbook-queue-ms"]) >= 1000 * START_S
    assert (a.running, b.running) == (False, True)
    assert storm.changes(town.url)["b"].seconds >= START_S


def test_a_storm_is_answered_with_few_starts(make_town: MakeTown) -> None:
    a, b = Owned(), Owned()
    town = shared(make_town, a, b)
    answered = storm.storm(town.url, "", ["a", "b"], 24, 0.02, 20)
    assert [one.status for one in answered] == [200] * 24
    number = sum(told.number for told in storm.changes(town.url).values())
    assert 1 <= number == a.starts + b.starts <= 3, "each request wanted the other engine"
    late = [one.waited_s for one in answered if one.role == "b"]
    assert max(late) == late[0], "one start served all who came meanwhile"
    assert [a.running, b.running].count(True) == 1


def test_an_answer_is_finished_before_its_engine_is_ended(make_town: MakeTown) -> None:
    a, b = Owned(), Owned()
    town = shared(make_town, a, b, hold_s=0.0)
    texts: list[str] = []
    long = threading.Thread(
        target=lambda: texts.append(town.ask("a", stream=True, fake={"tokens": 30, "each_s": 0.03}).text)
    )
    long.start()
    until(lambda: town.fakes["a"].seen["running"])
    assert town.ask("b").status_code == 200
    long.join(20)
    assert texts[0].endswith("data: [DONE]\n\n")


def test_a_start_that_fails_is_refused_and_tried_again(make_town: MakeTown) -> None:
    a, b = Owned(), Owned()
    town = shared(make_town, a, b)
    b.fails = True
    answer = town.ask("b")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "does not start" in answer.json()["error"]["message"]
    assert until_answered(lambda: town.ask("a").status_code), "the card goes back to who can use it"
    b.fails = False
    assert until_answered(lambda: town.ask("b").status_code)


def test_one_that_died_is_started_again(make_town: MakeTown) -> None:
    a, b = Owned(), Owned()
    town = shared(make_town, a, b)
    town.fakes["a"].end()
    a.running = False  # as its process is gone
    assert town.ask("a").status_code == 503
    assert until_answered(lambda: town.ask("a").status_code)
    assert a.starts == 1


def until_answered(ask: Callable[[], int]) -> bool:
    until(lambda: ask() == 200)
    return True
