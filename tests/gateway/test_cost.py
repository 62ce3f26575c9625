"""The load that tells what a gateway costs: both ways get the same, in turn, and a broken answer is an error."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from town import Loop, MakeTown, until

from lib.core.errors import RunbookError
from lib.gateway import cost
from lib.gateway.cost import Load, Way
from lib.gateway.fake_upstream import Fake

LOAD = Load(firsts=6, rounds=3, concurrency=4, each=2, input_words=5, tokens=8)


def test_both_ways_are_asked_as_often_and_every_pair_is_told(make_town: MakeTown) -> None:
    town = make_town()
    found = cost.measure(Way(town.fakes["a"].url, "m-a"), Way(town.url, "a"), LOAD)
    assert (len(found.first_ms), len(found.tokens_per_s)) == (6, 3)
    assert all(value > 0 for pair in (*found.first_ms, *found.tokens_per_s) for value in pair)
    one_way, warm_up = 1 + 6 + 3 * 4 * 2, 4 * 2
    assert town.fakes["a"].seen["requests"] == 2 * one_way + warm_up
    until(lambda: town.counted("gateway_requests_total", role="a", key="loopback", status="200") == one_way + warm_up)
    assert found.cpu["client"] > 0
    assert json.loads(cost.as_json(found))["first_ms"][0] == list(found.first_ms[0])


def test_no_pair_begins_after_the_longest_time(make_town: MakeTown) -> None:
    way = Way(make_town().fakes["a"].url, "m-a")
    found = cost.measure(way, way, LOAD._replace(firsts=1000, rounds=1000, longest_s=0.0))
    assert (len(found.first_ms), len(found.tokens_per_s)) == (cost.FEWEST, cost.FEWEST)


def test_what_the_gateway_adds_is_seen(make_town: MakeTown) -> None:
    """An engine that is 30 ms later on one way is found 30 ms later."""
    town = make_town("quick", "late")
    quick, late = (Way(town.fakes[name].url, name) for name in ("quick", "late"))
    slow = LOAD._replace(more={"fake": {"tokens": 8, "first_s": 0.03}})
    first = cost.measure(quick, late, LOAD._replace(rounds=0))
    assert abs(cost.added(first.first_ms).value) < 10
    both = [(a, b) for (a, _), (_, b) in zip(first.first_ms, cost.measure(late, late, slow).first_ms, strict=True)]
    found = cost.added(both)
    assert 25 < found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("wish", "told"),
    [({"tokens": 3}, "3 tokens instead of 8"), ({"status": 500}, "answered 500"), ({"die": True}, "broke")],
)
def test_an_answer_that_is_not_whole_is_an_error(make_town: MakeTown, wish: dict[str, object], told: str) -> None:
    fake = make_town().fakes["a"]
    with pytest.raises(RunbookError, match=told):
        cost.measure(Way(fake.url, "m-a"), Way(fake.url, "m-a"), LOAD._replace(more={"fake": wish}))


class Closing(Fake):
    """Closes a kept connection when it is used again, as an engine does whose patience ended a moment before."""

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._request(reader, writer)
        await reader.read(1)
        writer.close()


def test_a_kept_connection_that_closes_is_no_broken_request(loop: Loop) -> None:
    async def closed() -> None:
        server.close()
        await server.wait_closed()

    server = loop.run(asyncio.start_server(Closing().client, "127.0.0.1", 0))
    way = Way(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "m")
    try:
        found = cost.measure(way, way, LOAD)
    finally:
        loop.run(closed())
    assert (len(found.first_ms), len(found.tokens_per_s)) == (6, 3)


@given(st.lists(st.floats(1, 100), min_size=3, max_size=30), st.floats(-5, 5))
def test_what_is_always_the_same_later_has_an_interval_of_no_width(times: list[float], later: float) -> None:
    assert cost.added([(time, time + later) for time in times]) == pytest.approx((later, later, later), abs=1e-9)


def test_the_interval_gets_narrower_with_pairs() -> None:
    few = [(10.0 + n % 5, 11.0 + n % 7) for n in range(10)]
    found, more = cost.added(few), cost.added(few * 20)
    assert found.low < found.high
    assert more.high - more.low < found.high - found.low
