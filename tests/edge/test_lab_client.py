"""The OpenAI client of the lab: whatever breaks a stream is told, and ends no client."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from lib.edge import clients


def broken(failure: Exception) -> Any:
    """Return a client whose stream gives one piece and then breaks."""

    def pieces(**_: Any) -> Iterator[Any]:
        yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content="One"), finish_reason=None)])
        raise failure

    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=pieces)))


def test_a_line_cut_within_an_answer_is_told_as_an_error() -> None:
    way = clients.Way("http://127.0.0.1:1/v1", "key", "model")
    told = clients.stream(way, broken(ConnectionResetError("cut")), 8, "Say it.")
    assert (told["text"], told["error"], told["finish"]) == ("One", "ConnectionResetError: cut", "")
    assert len(told["times"]) == 1
