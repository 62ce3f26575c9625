"""Answers on their way: byte for byte, at the client's pace, and never whole when they are not."""

import json
import socket
import threading
import time

import httpx
import pytest
from town import CHAT, MakeTown, Town, body, until

STREAM = {"stream": True}


def ask_raw(town: Town, **fields: object) -> socket.socket:
    """Send a request over a socket of our own, for what no good client does."""
    host, _, port = town.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    data = json.dumps(body(**fields)).encode()  # type: ignore[arg-type]
    connection.sendall(
        b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (CHAT.encode(), len(data), data)
    )
    return connection


@pytest.mark.parametrize("fields", [{}, STREAM, {"stream": True, "stream_options": {"include_usage": True}}])
def test_an_answer_is_the_engines_own(make_town: MakeTown, fields: dict[str, object]) -> None:
    town = make_town()
    direct = town.client.post(f"{town.fakes['a'].url}{CHAT}", json=body("m-a", **fields))
    through = town.ask("m-a", **fields)
    assert through.content == direct.content
    assert through.status_code == direct.status_code
    added = set(through.headers.items()) - set(direct.headers.items())
    assert {name for name, _ in added} == {"x-runbook-engine"}
    assert set(direct.headers) <= set(through.headers)


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_an_engines_refusal_is_passed_on(make_town: MakeTown, status: int) -> None:
    town = make_town()
    wish = {"fake": {"status": status}}
    direct = town.client.post(f"{town.fakes['a'].url}{CHAT}", json=body("m-a", **wish))
    through = town.ask("m-a", **wish)
    assert (through.status_code, through.content) == (direct.status_code, direct.content)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses"])
def test_other_surfaces_reach_the_engine(make_town: MakeTown, path: str) -> None:
    town = make_town()
    answer = town.ask("a", path)
    assert answer.status_code == 200
    assert town.fakes["a"].seen["body"]["model"] == "m-a"


def test_the_body_passes_unread_where_the_name_is_the_engines(make_town: MakeTown) -> None:
    town = make_town()
    raw = b'{ "model":"m-a",  "messages":[{"role":"user","content":"\\u043f\\ud83d\\ude00"}], "n":1.0 }'
    answer = town.client.post(f"{town.url}{CHAT}", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert town.fakes["a"].seen["headers"]["content-length"] == str(len(raw))


def test_a_roles_name_becomes_the_models(make_town: MakeTown) -> None:
    town = make_town()
    assert town.ask("a", seed=3).json()["model"] == "m-a"
    assert town.fakes["a"].seen["body"] == body("m-a", seed=3)
    assert town.ask(None).json()["model"] == "m-a"


def test_the_engine_sees_neither_key_nor_our_own_headers(make_town: MakeTown) -> None:
    town = make_town(open_on_loopback=True)
    headers = {"x-runbook-chat": "c", "cookie": "a=b", "x-request-id": "r1", "connection": "close"}
    town.client.post(f"{town.url}{CHAT}", json=body(), headers=headers)
    seen = town.fakes["a"].seen["headers"]
    assert seen["x-request-id"] == "r1"
    assert not {"authorization", "x-runbook-chat", "cookie", "connection"} & set(seen)


def test_pieces_come_when_they_are_made(make_town: MakeTown) -> None:
    town = make_town()
    wish = {"stream": True, "fake": {"tokens": 4, "each_s": 0.15}}
    begun, times = time.monotonic(), []
    with town.client.stream("POST", f"{town.url}{CHAT}", json=body(**wish)) as answer:
        times = [time.monotonic() - begun for line in answer.iter_lines() if '"x"' in line]
    assert len(times) == 4
    assert times[0] < 0.15
    assert times[-1] - times[0] > 0.3


def test_a_client_that_leaves_ends_the_request_at_the_engine(make_town: MakeTown) -> None:
    town = make_town()
    connection = ask_raw(town, stream=True, fake={"tokens": 1000, "each_s": 0.02})
    assert connection.recv(1000)
    connection.close()
    until(lambda: town.fakes["a"].seen["left"] == 1)
    until(lambda: town.front.scheduler.lanes["a"].running == 0)
    assert town.counted("gateway_broken_answers_total", role="a", by="client") == 1


def test_a_client_that_leaves_before_the_first_byte_ends_it_too(make_town: MakeTown) -> None:
    town = make_town()
    connection = ask_raw(town, fake={"hang": True})
    until(lambda: town.fakes["a"].seen["running"] == 1)
    connection.close()
    until(lambda: town.fakes["a"].seen["left"] == 1)
    until(lambda: town.front.scheduler.lanes["a"].running == 0)


def test_a_client_that_leaves_the_queue_leaves_no_trace(make_town: MakeTown) -> None:
    town = make_town(engines={"a": {"running": 1}})
    lane = town.front.scheduler.lanes["a"]
    first = ask_raw(town, fake={"hang": True})
    until(lambda: lane.running == 1)
    second = ask_raw(town)
    until(lambda: len(lane.waiting) == 1)
    second.close()
    until(lambda: len(lane.waiting) == 0)
    first.close()
    until(lambda: lane.running == 0)
    assert town.ask().status_code == 200
    assert town.fakes["a"].seen["requests"] == 2


def test_a_stream_cut_by_its_engine_never_looks_whole(make_town: MakeTown) -> None:
    town = make_town()
    lines: list[str] = []
    with town.client.stream("POST", f"{town.url}{CHAT}", json=body(stream=True, fake={"die_after": 2})) as answer:
        pieces = answer.iter_lines()
        with pytest.raises(httpx.RemoteProtocolError):
            lines.extend(pieces)
    events = [line for line in lines if line.startswith("data: ")]
    assert json.loads(events[-1][6:])["error"]["code"] == "unavailable"
    assert "data: [DONE]" not in events
    assert town.counted("gateway_broken_answers_total", role="a", by="engine") == 1


def test_an_engine_that_closes_without_an_answer(make_town: MakeTown) -> None:
    town = make_town()
    answer = town.ask(fake={"die": True})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert town.ask().status_code == 200, "a well engine stays in use after one bad answer"


def test_an_engine_that_hangs_ends_in_a_504(make_town: MakeTown) -> None:
    town = make_town(silent_s=0.3)
    answer = town.ask(fake={"hang": True})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "timeout"


def test_an_engine_that_hangs_within_a_stream_cuts_it(make_town: MakeTown) -> None:
    town = make_town(silent_s=0.3)
    with pytest.raises(httpx.RemoteProtocolError):
        town.ask(stream=True, fake={"hang_after": 1})
    until(lambda: town.fakes["a"].seen["running"] == 0)


def test_a_slow_client_sets_the_pace_of_the_engine(make_town: MakeTown) -> None:
    """32 MiB of answer for a client that takes nothing: the gateway holds some, the engine waits with the rest."""
    town = make_town(client_s=60)
    connection = ask_raw(town, stream=True, fake={"tokens": 512, "size": 1 << 16})
    connection.recv(1000)
    time.sleep(0.5)
    assert town.fakes["a"].seen["running"] == 1, "the engine could write all of it"
    connection.close()
    until(lambda: town.fakes["a"].seen["running"] == 0)


def test_a_client_that_takes_nothing_is_dropped(make_town: MakeTown) -> None:
    town = make_town(client_s=0.3)
    connection = ask_raw(town, stream=True, fake={"tokens": 512, "size": 1 << 16})
    until(lambda: town.fakes["a"].seen["running"] == 1)
    until(lambda: town.fakes["a"].seen["running"] == 0)
    assert town.counted("gateway_broken_answers_total", role="a", by="client") == 1
    connection.close()


def test_many_streams_at_once(make_town: MakeTown) -> None:
    town = make_town()
    done: list[int] = []

    def one() -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            answer = client.post(f"{town.url}{CHAT}", json=body(stream=True, fake={"tokens": 20, "each_s": 0.01}))
            done.append(answer.text.count("data: "))

    threads = [threading.Thread(target=one) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [22] * 24
    assert town.fakes["a"].seen["most_running"] > 8


def test_usage_is_counted_where_it_is_told(make_town: MakeTown) -> None:
    town = make_town()
    town.ask(fake={"tokens": 11})
    town.ask(stream=True, stream_options={"include_usage": True}, fake={"tokens": 5})
    town.ask(stream=True, fake={"tokens": 3})
    until(lambda: town.counted("gateway_stream_events_total", role="a", key="loopback") == 8 + 5)
    assert town.counted("gateway_tokens_total", role="a", key="loopback", kind="completion") == 16
    assert town.counted("gateway_tokens_total", role="a", key="loopback", kind="prompt") == 14
    assert town.counted("gateway_requests_total", role="a", key="loopback", status="200") == 3
