"""A storm of requests and what the gateway counts of it, with stand-ins that sleep."""

import pytest
from town import MakeTown

from lib.core.errors import RunbookError
from lib.gateway import storm


def test_requests_come_alternately_and_changes_are_counted(make_town: MakeTown) -> None:
    engines = {name: {"card": "card", "gib": 8.0, "switch": "sleep"} for name in ("a", "b")}
    times = {"hold_s": 0.3, "linger_s": 0.05}
    town = make_town("a", "b", sleep_s=0.2, asleep=("b",), cards={"card": 10.0}, engines=engines, **times)
    answered = storm.storm(town.url, "", ["a", "b"], 12, 0.02, 20)
    assert [one.role for one in answered] == ["a", "b"] * 6
    assert {one.status for one in answered} == {200}
    assert answered[0].waited_s == 0
    assert answered[1].waited_s >= 0.3
    assert answered[1].seconds >= answered[1].waited_s
    counted = storm.changes(town.url)
    number = sum(told.number for told in counted.values())
    assert 1 <= number <= 3, "twelve alternating requests, and no more changes"
    assert number == town.fakes["a"].seen["woken"] + town.fakes["b"].seen["woken"]
    assert counted["b"].seconds / counted["b"].number >= 0.2


def test_nothing_was_changed(make_town: MakeTown) -> None:
    assert storm.changes(make_town().url) == {}


def test_a_gateway_that_is_gone_is_an_error() -> None:
    with pytest.raises(RunbookError, match="storm broke"):
        storm.storm("http://127.0.0.1:9", "", ["a", "b"], 2, 0.0, 5)
