"""Profiling one request: the flags, every way in which it can fail, and once on the real engine."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rooflines import CPU_TRACE
from served import MODEL

from lib.core import paths
from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.engine.models import catalogue, fetch
from lib.engine.roofline import capture, losses, trace, work
from lib.engine.serve import client
from lib.engine.serve.client import Stream
from lib.engine.serve.server import Server

ENGINE: Any = SimpleNamespace(url="http://127.0.0.1:9", model=catalogue.get(MODEL))
ANSWER = Stream("text", 24, 0.1, 0.1 + 23 * 0.02, True, {"prompt_tokens": 38, "completion_tokens": 24}, "length", "")


class FakeHttp:
    """Answers the profiler's two routes, and writes what the worker writes."""

    def __init__(self, folder: Path, status: int = 200, names: tuple[str, ...] = ("rank0.1.pt.trace.json.gz",)) -> None:
        self.folder, self.status, self.names, self.asked = folder, status, names, list[str]()

    def post(self, url: str, timeout: float) -> httpx.Response:
        self.asked.append(url.rpartition("/")[2])
        if url.endswith("stop_profile"):
            for name in self.names:
                (self.folder / name).write_bytes(CPU_TRACE.read_bytes())
        return httpx.Response(self.status, json={"detail": "Not Found"})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHttp:
    fake = FakeHttp(tmp_path)
    monkeypatch.setattr(client, "http", lambda: fake)
    monkeypatch.setattr(client, "stream", lambda *_, **__: ANSWER)
    return fake


def test_flags_name_a_folder_that_travels() -> None:
    word, value = capture.flags(paths.RUNS / "x" / "trace")
    told = json.loads(value)
    assert word == "--profiler-config"
    assert told["torch_profiler_dir"] == "runbook/runs/x/trace"
    assert told["torch_profiler_with_stack"] is False


def test_one_request_is_profiled(served: FakeHttp, tmp_path: Path) -> None:
    seen = capture.run(ENGINE, tmp_path)
    assert served.asked == ["start_profile", "stop_profile"]
    assert seen.trace.name == "rank0.1.pt.trace.json.gz"
    assert seen.plain_ms == pytest.approx(20)
    assert seen.context == 38 + 12


def test_no_chat_format_is_needed(served: FakeHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def stream(_url: str, body: dict[str, Any], path: str = client.CHAT) -> Stream:
        asked.append((path, body))
        return ANSWER

    monkeypatch.setattr(client, "stream", stream)
    capture.run(ENGINE, tmp_path)
    assert {path for path, _ in asked} == {client.TEXT}, "gpt-oss answers a chat beside random weights with HTTP 500"
    assert all("prompt" in body and "messages" not in body for _, body in asked)


def test_an_older_trace_and_the_front_ends_are_passed_over(served: FakeHttp, tmp_path: Path) -> None:
    (tmp_path / "rank0.0.pt.trace.json.gz").write_bytes(b"old")
    served.names = ("async_llm.2.pt.trace.json.gz", "rank0.2.pt.trace.json.gz")
    assert capture.run(ENGINE, tmp_path).trace.name == "rank0.2.pt.trace.json.gz"


def test_an_engine_without_profiler_is_told(served: FakeHttp, tmp_path: Path) -> None:
    served.status = 404
    with pytest.raises(RunbookError, match="start_profile was refused: HTTP 404"):
        capture.run(ENGINE, tmp_path)


def test_a_missing_trace_is_told(served: FakeHttp, tmp_path: Path) -> None:
    served.names = ()
    with pytest.raises(RunbookError, match="wrote no trace"):
        capture.run(ENGINE, tmp_path)


def test_a_request_that_fails_still_stops_the_profiler(
    served: FakeHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([ANSWER, ANSWER, ANSWER, ANSWER._replace(error="HTTP 500: boom")])
    monkeypatch.setattr(client, "stream", lambda *_, **__: next(answers))
    with pytest.raises(RunbookError, match="boom"):
        capture.run(ENGINE, tmp_path)
    assert served.asked == ["start_profile", "stop_profile"]


def test_an_engine_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "stream", lambda *_, **__: ANSWER)
    with pytest.raises(RunbookError, match="start_profile broke off"):
        capture.run(ENGINE, tmp_path)


@pytest.mark.engine
def test_the_real_engine_is_profiled(tmp_path: Path) -> None:
    profile = profiles.load("embedded", {"serving.extra_args": list(capture.flags(tmp_path / "trace"))})
    with Server(profile, catalogue.get(MODEL), fetch.ensure(MODEL), tmp_path / "engine.log") as engine:
        seen = capture.run(engine, tmp_path / "trace", tokens=8)
    profiled = trace.read(seen.trace)
    assert profiled.source == "cpu"
    assert len(profiled.steps) >= 4
    found = losses.losses(profiled, work.decode(catalogue.get(MODEL), 1, seen.context), 25e9)
    check = losses.check(profiled, found)
    assert check.status == "pass", check.observed
    kinds = {loss.kind for loss in found}
    assert {"dense projections", "lm_head", "attention", "KV cache write", "norms", "sampling", "idle"} <= kinds
    assert sum(loss.time for loss in found) > seen.plain_ms / 3
