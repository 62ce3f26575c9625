"""The evaluation text is the same every time, long enough, and cut into whole windows."""

import json

import httpx
import pytest

from lib.core.errors import RunbookError
from lib.engine.quality import positions, text
from lib.engine.serve import client


def serve(monkeypatch: pytest.MonkeyPatch, reply: httpx.Response) -> list[object]:
    asked: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return reply

    http = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(client, "http", lambda: http)
    return asked


def test_the_text_is_the_same_every_time_and_long_enough() -> None:
    first, again = text.load(2048), text.load(2048)
    assert first == again
    assert len(first.content) >= 2048 * text.CHARACTERS_A_TOKEN
    assert len(text.load(16384).content) >= 16384 * text.CHARACTERS_A_TOKEN
    assert first.sha256[:12] in first.origin
    assert "Python 3." in first.origin


def test_windows_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, httpx.Response(200, json={"tokens": list(range(1000))}))
    found = text.windows("http://s", "m", text.load(64), 600, width=256)
    assert [len(window) for window in found] == [256, 256]
    assert found[1][0] == 256


def test_a_server_that_does_not_tokenise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, httpx.Response(404, json={"error": {"message": "no such route"}}))
    with pytest.raises(RunbookError, match="HTTP 404: no such route"):
        text.windows("http://s", "m", text.load(64), 64)


def test_positions_leave_out_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [None, {"7": {"logprob": -0.5}, "9": {"logprob": -1.5}}, {"3": {"logprob": -0.1}, "8": {"logprob": -4.0}}]
    asked = serve(monkeypatch, httpx.Response(200, json={"choices": [{"prompt_logprobs": told}]}))
    (window,) = positions.ask("http://s", "m", [[5, 9, 8]], top=2)
    assert [(p.actual, p.logprob, p.first) for p in window] == [(9, -1.5, 7), (8, -4.0, 3)]
    assert asked == [
        {"model": "m", "prompt": [5, 9, 8], "max_tokens": 1, "temperature": 0, "prompt_logprobs": 2},
    ]


def test_too_many_probabilities_name_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, httpx.Response(400, json={"error": {"message": "more than 20 logprobs"}}))
    with pytest.raises(RunbookError, match="more than 20") as caught:
        positions.ask("http://s", "m", [[1, 2]], top=50)
    assert "--max-logprobs" in caught.value.fix


def test_an_answer_without_the_token_of_the_text_is_refused() -> None:
    with pytest.raises(RunbookError, match="lacks the probability"):
        list(positions.parse([1, 2], [None, {"3": {"logprob": -1.0}}]))
