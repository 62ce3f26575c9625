"""Chapter 10 with stand-ins for the engines: what is recorded when it works, and when it does not."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lib.chapters import agents, gateway, gateway_clients, gateway_load, gateway_swap
from lib.chapters.gateway import Station
from lib.core import display, paths
from lib.core import profile as profiles
from lib.core.chapter import Chapter, open_chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Measurement
from lib.engine.models import catalogue
from lib.engine.serve.process import Identity
from lib.engine.serve.server import _free_port
from lib.gateway.roles import Roles, started
from lib.gateway.storm import Answered, Changes

EMBED_TOO = {"gateway.engines.embed.in_chapter": True}


class Engine:
    """As much of a running server as the station asks for."""

    def __init__(self, url: str, model: str) -> None:
        self.url, self.model, self.folder = url, catalogue.get(model), Path()

    def tree(self) -> list[Identity]:
        return []


@pytest.fixture
def fake() -> Iterator[str]:
    port = _free_port("127.0.0.1")
    process = subprocess.Popen([sys.executable, "-m", "lib.gateway.fake_upstream", str(port)], cwd=paths.ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/health", trust_env=False)
                break
            except httpx.TransportError:
                continue
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return open_chapter("10", "embedded", "plan", str(tmp_path / "run"), {"agents.plans": 1, **EMBED_TOO})


@pytest.fixture
def station(chapter: Chapter, fake: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    made = Station(chapter)
    monkeypatch.setattr(made.fleet, "prepare", lambda _: None)
    monkeypatch.setattr(made.fleet, "use", lambda variant: Engine(fake, variant.model or "smollm2-135m"))
    made.start()
    yield made
    made.close()


def statuses(chapter: Chapter, prefix: str) -> dict[str, str]:
    return {check.name: check.status for check in chapter.checks(prefix)}


def test_a_station_that_works(station: Station) -> None:
    chapter = station.chapter
    gateway_clients.verify(station)
    gateway_clients.configure(station)
    station.close()
    found = statuses(chapter, "gateway.")
    assert {name: status for name, status in found.items() if status != "pass"} == {}
    assert {
        "gateway.start",
        "gateway.surface",
        "gateway.meaning",
        "gateway.unknown_model",
        "gateway.closed",
        "gateway.stop",
    } <= set(found)
    endpoints = {str(c.conditions["path"]): c.status for c in chapter.checks("gateway.endpoint")}
    assert endpoints == {
        "/v1/chat/completions": "pass",
        "/v1/completions": "pass",
        "/v1/embeddings": "pass",
        "/v1/models": "pass",
    }, [check.observed for check in chapter.checks("gateway.endpoint")]


def test_a_profile_without_an_embedding_model_says_so(
    tmp_path: Path, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"gateway.engines": {"main": {"model": "smollm2-135m"}}, "gateway.roles": {"planner": {"engine": "main"}}}
    made = Station(open_chapter("10", "embedded", "plan", str(tmp_path / "run"), given))
    monkeypatch.setattr(made.fleet, "prepare", lambda _: None)
    monkeypatch.setattr(made.fleet, "use", lambda _: Engine(fake, "smollm2-135m"))
    made.start()
    gateway_clients.verify(made)
    gateway_clients.configure(made)
    made.close()
    assert "gateway.meaning" not in statuses(made.chapter, "gateway.")
    asked = {str(c.conditions["path"]): c.status for c in made.chapter.checks("gateway.endpoint")}
    assert asked["/v1/embeddings"] == "skip"


def test_an_engine_that_the_short_run_leaves_out_is_told_and_its_role_skipped(tmp_path: Path) -> None:
    made = Station(open_chapter("10", "embedded", "plan", str(tmp_path / "run")))
    assert list(made.settings.engines) == ["main", "small"]
    assert list(made.settings.roles) == ["planner", "coder", "fast"]
    assert list(made.chapter.profile.gateway.roles) == ["planner", "coder", "fast", "embed"]
    assert "not started" in gateway.plan(made.chapter).markup
    made.close()


def test_the_thorough_run_starts_all_of_them() -> None:
    thorough = profiles.load("embedded", profiles.thorough("embedded")).gateway
    assert started(thorough) == thorough
    assert thorough.engines == {
        name: told.model_copy(update={"in_chapter": True})
        for name, told in profiles.load("embedded").gateway.engines.items()
    }
    assert thorough.storm > 0


def test_no_key_in_anything_that_a_run_leaves(station: Station) -> None:
    gateway_clients.verify(station)
    gateway_clients.configure(station)
    agents.run(station)
    station.close()
    left = "".join(path.read_text() for path in station.chapter.run.rglob("*") if path.is_file())
    assert station.key
    assert station.key not in left
    assert not re.search(r"rb_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", left)


def test_agents_that_cannot_do_it_fail_the_check_with_their_transcript(station: Station) -> None:
    chapter = station.chapter
    outcome = agents.run(station)
    assert outcome is not None
    (check,) = chapter.checks("agents.task")
    assert check.status == "fail"
    assert "1 plans were made" in check.observed
    assert [artifact.path for artifact in check.provenance.artifacts] == ["artifacts/10_gateway_and_agents/agents.json"]
    assert isinstance(agents.figure(outcome), display.Figure)
    assert agents.decide(chapter, outcome).choice == "Other roles are needed"


def test_without_engines_nothing_is_claimed(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Station(chapter)
    monkeypatch.setattr(station.fleet, "prepare", lambda _: None)
    monkeypatch.setattr(station.fleet, "use", lambda _: None)
    station.start()
    assert statuses(chapter, "gateway.") == {"gateway.start": "fail"}
    assert gateway_clients.verify(station) == chapter.checks("gateway.")
    assert gateway_load.overhead(station) == []
    assert agents.run(station) is None
    assert gateway_load.decide(chapter, []).choice == "Clients keep asking the engine itself"
    assert isinstance(gateway_load.figure([]), display.Html)
    station.close()


def measured(name: str, value: float, low: float, high: float) -> Measurement:
    return Measurement(name=name, value=value, unit="", interval=(low, high), n=3)


def test_both_costs_are_drawn_each_on_its_own_scale() -> None:
    found = [
        measured("gateway.ttft_overhead_ms", 1.2, -0.5, 2.9),
        measured("gateway.throughput_ratio", 0.99, 0.97, 1.01),
    ]
    drawn = gateway_load.figure(found)
    assert isinstance(drawn, display.Figure)


@pytest.mark.parametrize(
    ("value", "low", "high", "status"), [(1, -1, 3, "pass"), (3.5, 1, 6, "warn"), (9, 4, 14, "fail"), (3, 3, 3, "pass")]
)
def test_what_ttft_may_cost(value: float, low: float, high: float, status: str) -> None:
    assert gateway_load._within_ttft(measured("gateway.ttft_overhead_ms", value, low, high), 3).status == status


@pytest.mark.parametrize(
    ("value", "low", "high", "used", "status"),
    [
        (0.99, 0.9, 1.1, 1.0, "pass"),
        (0.95, 0.9, 1, 1.0, "warn"),
        (0.9, 0.85, 0.95, 1.89, "fail"),
        (0.9, 0.85, 0.95, 1.91, "warn"),  # the engine had all of both processors
        (0.98, 0.97, 0.99, 1.99, "pass"),
    ],
)
def test_what_must_remain_of_throughput(value: float, low: float, high: float, used: float, status: str) -> None:
    ratio = measured("gateway.throughput_ratio", value, low, high)
    check = gateway_load._within_ratio(ratio, 0.97, used, 2)
    assert (check.status, check.observed.endswith(f"; {used:.2f} of 2 processors in use")) == (status, True)


@pytest.mark.alone
def test_both_ways_are_loaded_in_turn_and_both_limits_judged(station: Station) -> None:
    chapter = station.chapter
    found = gateway_load.overhead(station)
    assert [check.observed for check in chapter.checks("gateway.load") if check.status == "fail"] == []
    by_name = {m.name: m for m in found}
    settings = chapter.profile.gateway
    assert by_name["gateway.ttft_overhead_ms"].n == settings.ttft_prompts
    assert by_name["gateway.throughput_ratio"].n == settings.pairs
    assert {m.conditions["part"] for m in found if m.name == "gateway.cpu_share"} == {"engine", "gateway", "client"}
    assert {"gateway.ttft", "gateway.throughput"} <= set(statuses(chapter, "gateway."))
    raw = json.loads((chapter.artifacts / "overhead.json").read_text())
    assert len(raw["first_ms"]) == settings.ttft_prompts
    assert isinstance(gateway_load.figure(found), display.Figure)


def test_a_role_that_names_no_engine_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    given: dict[str, Any] = {"gateway.roles": {"planner": {"engine": "nobody"}}}
    with pytest.raises(RunbookError, match=r"not among gateway\.engines"):
        gateway.plan(open_chapter("10", "embedded", "plan", str(tmp_path), given))


class TestStorm:
    def answered(self, status: int = 200) -> list[Answered]:
        return [Answered("ab"[n % 2], status, 3.0, 2.0) for n in range(24)]

    @pytest.mark.parametrize(
        ("status", "swaps", "left", "verdict"),
        [(200, 3, 0, "pass"), (200, 4, 0, "fail"), (200, 0, 0, "fail"), (503, 2, 0, "fail"), (200, 2, 1, "fail")],
    )
    def test_its_verdict(self, status: int, swaps: int, left: int, verdict: str) -> None:
        counted = {"b": Changes(swaps, 20.0)}
        assert gateway_swap._verdict(self.answered(status), counted, left).status == verdict

    def test_what_is_told(self, chapter: Chapter) -> None:
        counted = {"b": Changes(2, 50.0), "a": Changes(0, 0.0)}
        told = {m.name: m.value for m in gateway_swap._measurements(chapter, self.answered(), counted)}
        assert told == {"gateway.swap_seconds": 25.0, "gateway.storm_swaps": 2.0, "gateway.storm_wait_s": 2.0}

    def test_only_where_the_profile_asks(self, chapter: Chapter) -> None:
        assert chapter.profile.gateway.storm == 0
        assert gateway_swap.run(chapter) == []
        assert "--thorough" in gateway_swap.show([]).text

    def test_two_models_that_chat_are_taken(self, chapter: Chapter) -> None:
        pair = gateway_swap._pair(Roles(chapter.profile.gateway))
        assert pair == {"planner": "smollm2-135m", "coder": "smollm2-135m-int8"}

    def test_a_gateway_that_does_not_start_is_a_failed_check(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = open_chapter("10", "embedded", "plan", str(tmp_path), {"gateway.storm": 2})

        def refuse(_: object) -> None:
            raise RunbookError("no room", where="here")

        monkeypatch.setattr(gateway_swap.Gateway, "start", refuse)
        assert gateway_swap.run(opened) == []
        assert statuses(opened, "gateway.storm") == {"gateway.storm": "fail"}
