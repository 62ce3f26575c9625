"""The interface: what a server must say on the wire, and that each check fails when it does not."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from served import MODEL

from lib.core.evidence import Check
from lib.engine.models import catalogue
from lib.engine.serve import conformance
from lib.engine.serve.conformance import Stopped
from lib.engine.serve.process import Identity

Script = dict[str, Any]
Ask = Callable[..., Check]
PIECES = ["1", ", 2", ", 3"]


def chunk(text: str = "", finish: str | None = None, **more: Any) -> str:
    choices = [] if "usage" in more else [{"delta": {"content": text}, "finish_reason": finish}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n"


GOOD = [*map(chunk, PIECES), chunk(finish="length"), chunk(usage={"completion_tokens": 3}), "data: [DONE]\n\n"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Return a function that puts a check to a server which answers as the script says."""
    script: Script = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            streamed = asked.get("stream")
            message = script.get("message", {"content": "".join(PIECES)})
            reply = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}
            body = "".join(script.get("events", GOOD)) if streamed else json.dumps(script.get("reply", reply))
            self.send_response(script.get("status", 200))
            self.send_header(
                "content-type", script.get("type", "text/event-stream") if streamed else "application/json"
            )
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def put(check: Callable[[Any], Check], model: str = MODEL, **told: Any) -> Check:
            script.clear()
            script.update(told)
            url = f"http://127.0.0.1:{server.server_port}"
            return check(SimpleNamespace(url=url, model=catalogue.get(model)))

        yield put
        server.shutdown()


def test_a_stream_in_pieces_passes(ask: Ask) -> None:
    verdict = ask(conformance.streaming)
    assert verdict.status == "pass", verdict.observed
    assert "3 pieces" in verdict.observed
    assert "the same text as without streaming" in verdict.observed


def test_a_stream_of_plain_text_passes_too(ask: Ask) -> None:
    def plain(text: str, finish: str | None = None) -> str:
        return f"data: {json.dumps({'choices': [{'text': text, 'finish_reason': finish}]})}\n\n"

    events = [*map(plain, PIECES), plain("", "length"), *GOOD[4:]]
    verdict = ask(lambda server: conformance.streaming(server, chat=False), events=events)
    assert verdict.status == "pass", verdict.observed
    assert "3 pieces" in verdict.observed


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"events": [chunk("1, 2, 3", "stop"), *GOOD[4:]]}, "1 pieces: it came at once"),
        ({"events": GOOD[:-1]}, "no [DONE]"),
        ({"events": [*GOOD[:4], GOOD[-1]]}, "no usage"),
        ({"events": [*GOOD[:3], *GOOD[4:]]}, "no finish_reason"),
        ({"type": "application/json"}, "content type application/json"),
        ({"status": 500, "events": ['{"error": {"message": "broken"}}']}, "HTTP 500: broken"),
    ],
)
def test_a_stream_that_is_not_one_fails(ask: Ask, told: Script, reason: str) -> None:
    verdict = ask(conformance.streaming, **told)
    assert verdict.status == "fail"
    assert reason in verdict.observed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "Anna", "age": 34, "city": "Paris"}', ""),
        ("Sure! Anna is 34.", "not JSON"),
        ('{"name": "Anna", "age": 34}', "other fields"),
        ('{"name": "Anna", "age": 34, "city": "Paris", "job": ""}', "other fields"),
        ('{"name": "Anna", "age": "34", "city": "Paris"}', "wrong type"),
        ('{"name": "Anna", "age": true, "city": "Paris"}', "wrong type"),
        ('{"name": "Anna", "age": 34, "city": "Lisbon"}', "outside the enum"),
        ("[1]", "other fields"),
    ],
)
def test_json_follows_the_schema_or_not(ask: Ask, text: str, reason: str) -> None:
    verdict = ask(conformance.structured, message={"content": text})
    assert verdict.status == ("fail" if reason else "pass")
    assert reason in verdict.observed


def test_tools_are_checked_only_where_they_are_promised(ask: Ask) -> None:
    verdict = ask(conformance.tools)
    assert verdict.status == "skip"
    assert "SmolLM2" in verdict.observed


def called(name: str, arguments: str) -> Script:
    return {"content": None, "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (called("get_weather", '{"city": "Paris"}'), ""),
        (called("get_wether", '{"city": "Paris"}'), "called get_wether"),
        (called("get_weather", '{"city": "London"}'), "city 'London'"),
        (called("get_weather", "Paris"), "not a JSON object"),
        (called("get_weather", '["Paris"]'), "not a JSON object"),
        ({"content": "It is sunny."}, "no call"),
    ],
)
def test_a_tool_is_called_or_not(ask: Ask, message: Script, reason: str) -> None:
    verdict = ask(conformance.tools, "qwen3-coder-30b-a3b", message=message)
    assert verdict.status == ("fail" if reason else "pass")
    assert reason in verdict.observed


@pytest.mark.parametrize(
    ("extra", "missing", "status"),
    [(set(), set(), "pass"), ({"/sleep"}, set(), "fail"), (set(), {"/metrics"}, "fail")],
)
def test_routes(extra: set[str], missing: set[str], status: str) -> None:
    assert conformance.routes(sorted((conformance.CLIENTS_NEED | extra) - missing)).status == status


@pytest.mark.parametrize(
    ("stopped", "status"),
    [
        (Stopped(1.0, [], True), "pass"),
        (Stopped(1.0, [Identity(7, 7)], True), "fail"),
        (Stopped(1.0, [], False), "fail"),
        (Stopped(31.0, [], True), "fail"),
    ],
)
def test_stopping(stopped: Stopped, status: str) -> None:
    assert conformance.stopping(stopped, 8000, 30).status == status


@pytest.mark.parametrize(
    ("addresses", "status"),
    [
        ([("127.0.0.1", 8000), ("::1", 2)], "pass"),
        ([("127.0.0.1", 8000), ("0.0.0.0", 2)], "warn"),
        ([("127.0.0.1", 1), ("0.0.0.0", 8000)], "fail"),
        ([("0.0.0.0", 2)], "fail"),
        ([], "fail"),
    ],
)
def test_listening(addresses: list[tuple[str, int]], status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "_listening", lambda _: addresses)
    engine: Any = SimpleNamespace(port=8000, tree=lambda: [Identity(1, 1)])
    verdict = conformance.listening(engine)
    assert verdict.status == status
    assert ("0.0.0.0:2" in verdict.observed) is (("0.0.0.0", 2) in addresses)
