"""Engines that share a card: who gets it, who waits, and that a storm does not thrash."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from town import CHAT, Loop, MakeTown, Town, bearer, body, secret, until

from lib.core.sections.gateway import Gateway
from lib.gateway.lanes import Lane, Scheduler
from lib.gateway.queue import FairQueue, Ticket


def shared(make_town: MakeTown, *names: str, sleep_s: float = 0.02, **settings: object) -> Town:
    """Return a gateway whose engines take turns on one card; the first is awake."""
    names = names or ("a", "b")
    engines = {name: {"card": "card", "gib": 8.0, "switch": "sleep"} for name in names}
    times = {"hold_s": 0.4, "linger_s": 0.05, "probe_s": 0.2}
    return make_town(
        *names, sleep_s=sleep_s, asleep=names[1:], **{"cards": {"card": 10.0}, "engines": engines, **times, **settings}
    )


def at_once(town: Town, requests: list[dict[str, object]]) -> list[httpx.Response]:
    """Send requests at the same time and return the answers in their order."""
    answers: dict[int, httpx.Response] = {}

    def one(number: int, fields: dict[str, object]) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            answers[number] = client.post(f"{town.url}{CHAT}", json=body(**fields))  # type: ignore[arg-type]

    threads = [threading.Thread(target=one, args=item) for item in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [answers[number] for number in range(len(requests))]


def test_a_sleeping_engine_is_woken_and_the_other_put_to_sleep(make_town: MakeTown) -> None:
    town = shared(make_town)
    assert town.ask("a").status_code == 200
    answer = town.ask("b")
    assert answer.status_code == 200
    assert int(answer.headers["x-runbook-queue-ms"]) >= 40
    assert (town.fakes["a"].fake.sleeping, town.fakes["b"].fake.sleeping) == (True, False)
    assert town.counted("gateway_swaps_total", engine="b") == 1


def test_an_engine_that_fits_beside_the_other_is_only_woken(make_town: MakeTown) -> None:
    town = shared(make_town, cards={"card": 16.0})
    assert town.ask("b").status_code == 200
    assert (town.fakes["a"].fake.sleeping, town.fakes["b"].fake.sleeping) == (False, False)


def test_the_least_recently_used_makes_room(make_town: MakeTown) -> None:
    town = shared(make_town, "a", "b", "c", cards={"card": 16.0})
    for name in ("a", "b", "a", "c"):
        assert town.ask(name).status_code == 200
    assert {name: fake.fake.sleeping for name, fake in town.fakes.items()} == {"a": False, "b": True, "c": False}


def test_never_while_it_answers(make_town: MakeTown) -> None:
    town = shared(make_town, hold_s=0.0, linger_s=0.0)
    long = {"model": "a", "stream": True, "fake": {"tokens": 40, "each_s": 0.03}}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: at_once(town, [long])[0])
        until(lambda: town.fakes["a"].seen["running"])  # it answers before the other one is asked
        answers = [*at_once(town, [{"model": "b"}]), first.result()][::-1]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text.endswith("data: [DONE]\n\n")
    assert town.fakes["a"].seen["asleep"] == town.fakes["b"].seen["asleep"] == 0
    assert int(answers[1].headers["x-runbook-queue-ms"]) >= 300


def storm(town: Town, seconds: float) -> Counter[str]:
    """Let eight clients ask for two models in turn, as fast as they are answered."""
    served: Counter[str] = Counter()
    end = time.monotonic() + seconds

    def one(number: int) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while time.monotonic() < end:
                name = "ab"[number % 2]
                answer = client.post(f"{town.url}{CHAT}", json=body(name, fake={"first_s": 0.01}))
                served[name if answer.status_code == 200 else str(answer.status_code)] += 1
                number += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return served


def test_a_storm_does_not_thrash(make_town: MakeTown) -> None:
    seconds, hold = 3.0, 0.4
    town = shared(make_town, hold_s=hold, linger_s=0.2, sleep_s=0.05)
    served = storm(town, seconds)
    swaps = town.counted("gateway_swaps_total", engine="a") + town.counted("gateway_swaps_total", engine="b")
    assert set(served) == {"a", "b"}, "everybody is answered"
    assert 2 <= swaps <= seconds / 0.2, "a change at most every time that an engine has nothing more to do"
    assert min(served.values()) > 8
    assert all(fake.seen["asleep"] == 0 for fake in town.fakes.values()), "none was asked while it slept"


@pytest.mark.parametrize("clients", [1, 4])
def test_an_engine_in_demand_keeps_the_card_for_hold_s_and_then_gives_it(make_town: MakeTown, clients: int) -> None:
    """One client alone leaves the engine without requests for a moment after each answer, and that is no reprieve."""
    town = shared(make_town, hold_s=1.5, linger_s=0.5)
    town.ask("b")
    stop = threading.Event()

    def keep_busy() -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while not stop.is_set():
                client.post(f"{town.url}{CHAT}", json=body("b", fake={"first_s": 0.05}))

    threads = [threading.Thread(target=keep_busy) for _ in range(clients)]
    for thread in threads:
        thread.start()
    until(lambda: town.front.scheduler.lanes["b"].running == clients)
    begun = time.monotonic()
    try:
        assert town.ask("a").status_code == 200
        waited = time.monotonic() - begun
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert 0.3 < waited < 6.0, "not at once, and not starved"


def test_the_queue_has_a_bound(make_town: MakeTown) -> None:
    town = make_town(engines={"a": {"running": 1}}, queue=2)
    answers = at_once(town, [{"fake": {"first_s": 0.3}} for _ in range(6)])
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 3, 429: 3}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)


def test_the_wait_has_a_deadline(make_town: MakeTown) -> None:
    town = make_town(engines={"a": {"running": 1}}, queue_s=0.2)
    answers = at_once(town, [{"fake": {"first_s": 0.8}}, {"fake": {"first_s": 0.8}}])
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"]
    assert refused.elapsed.total_seconds() < 0.7


def test_who_asks_most_does_not_wait_least(make_town: MakeTown, tmp_path: "object", loop: Loop) -> None:
    async def order() -> list[str]:
        queue = FairQueue()
        for client in ("many", "many", "many", "few", "other", "few"):
            queue.add(Ticket(client, len(queue)))
        return [queue.pop().client for _ in range(len(queue))]

    assert loop.run(order()) == ["many", "few", "other", "many", "few", "many"]


def test_an_engine_that_does_not_wake_is_refused_and_tried_again(make_town: MakeTown) -> None:
    town = shared(make_town)
    town.fakes["b"].end()
    answer = town.ask("b")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert town.ask("a").status_code == 200, "the other one goes on"
    town.fakes["b"].start()
    until(lambda: town.ask("b").status_code == 200)


class Slow:
    """A way that takes its time to answer, told from outside."""

    name = "slow"

    def __init__(self, awake: bool) -> None:
        self.there = awake
        self.answered, self.asked = asyncio.Event(), asyncio.Event()

    async def awake(self) -> bool:
        there = self.there
        self.asked.set()
        await self.answered.wait()
        return there

    async def leave(self) -> None:
        self.there = False

    async def come(self) -> None:
        self.there = True


def test_a_look_that_a_change_overtook_is_worth_nothing(loop: Loop) -> None:
    async def state() -> tuple[str, str]:
        ways = {"a": Slow(awake=True), "b": Slow(awake=False)}
        lanes = [Lane(name, way, card="card", gib=8.0) for name, way in ways.items()]
        lanes[1].state = "asleep"
        scheduler = Scheduler(Gateway(cards={"card": 10.0}, linger_s=0, hold_s=0), lanes, lambda _: None)
        look = asyncio.create_task(scheduler.look("a"))
        await ways["a"].asked.wait()
        entering = asyncio.create_task(scheduler.enter("b", "client"))
        await asyncio.sleep(0)  # the change of the card begins, and `a` has said already that it is awake
        ways["a"].answered.set()
        await look
        await entering
        return lanes[0].state, lanes[1].state

    assert loop.run(state()) == ("asleep", "awake")


def test_what_never_fits_is_refused_at_once(make_town: MakeTown) -> None:
    town = make_town(
        "a",
        "b",
        asleep=("b",),
        cards={"card": 10.0},
        engines={
            "a": {"card": "card", "gib": 8.0, "switch": "always"},
            "b": {"card": "card", "gib": 8.0, "switch": "sleep"},
        },
    )
    answer = town.ask("b")
    assert answer.status_code == 503
    assert "does not fit" in answer.json()["error"]["message"]


class TestFailover:
    def roles(self) -> dict[str, object]:
        return {"a": {"engine": "a", "fallback": ["b"]}, "only": {"engine": "a"}}

    def test_another_engine_answers_and_says_so(self, make_town: MakeTown) -> None:
        town = make_town("a", "b", roles=self.roles(), probe_s=0.2)
        town.fakes["a"].end()
        for _ in range(2):
            answer = town.ask("a")
            assert answer.status_code == 200
            assert answer.json()["model"] == "m-b"
            assert answer.headers["x-runbook-engine"] == "b"
            assert answer.headers["x-runbook-failover"].startswith("a -> b: ")
        assert town.counted("gateway_failovers_total", role="a", engine="b") == 2
        assert town.ask("only").status_code == 503, "only where the profile allows it"
        town.fakes["a"].start()
        until(lambda: "x-runbook-failover" not in town.ask("a").headers)
        assert town.ask("only").status_code == 200

    @pytest.mark.parametrize("status", [502, 503])
    def test_an_engine_that_refuses_for_a_while(self, make_town: MakeTown, status: int) -> None:
        town = make_town("a", "b", roles=self.roles())
        assert town.ask("a", fake={"status": status}).headers["x-runbook-engine"] == "b"

    def test_a_wrong_request_is_not_tried_elsewhere(self, make_town: MakeTown) -> None:
        town = make_town("a", "b", roles=self.roles())
        assert town.ask("a", fake={"status": 400}).status_code == 400
        assert town.fakes["b"].seen["requests"] == 0

    def test_all_engines_gone(self, make_town: MakeTown) -> None:
        town = make_town("a", "b", roles=self.roles())
        town.fakes["a"].end()
        town.fakes["b"].end()
        answer = town.ask("a")
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert town.client.get(f"{town.url}/health").status_code == 503


def test_clients_take_turns_through_the_whole_gateway(make_town: MakeTown, tmp_path: "object") -> None:
    town = make_town(open_on_loopback=False, engines={"a": {"running": 1}})
    many, few = secret(tmp_path, "a")[1], secret(tmp_path, "a")[1]  # type: ignore[arg-type]
    order: list[str] = []

    def one(text: str, name: str) -> None:
        with httpx.Client(trust_env=False, timeout=20, headers=bearer(text)) as client:
            client.post(f"{town.url}{CHAT}", json=body(fake={"first_s": 0.4}))
            order.append(name)

    lane = town.front.scheduler.lanes["a"]
    threads = [threading.Thread(target=one, args=(many, "many")) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(lane.waiting) == 3)
    late = threading.Thread(target=one, args=(few, "few"))
    late.start()
    for thread in (*threads, late):
        thread.join(20)
    assert order.index("few") <= 2
