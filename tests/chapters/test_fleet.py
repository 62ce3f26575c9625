"""The fleet: nothing is handed out that the gate refused, as many run as may, none stays. With a stand-in engine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.chapters import fleet as fleets
from lib.chapters import gate
from lib.chapters import load as loads
from lib.chapters.fleet import Fleet
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check
from lib.engine.models import fetch
from lib.engine.serve import command
from lib.engine.serve.server import Server
from lib.engine.serve.variant import DEFAULTS, OWN, Variant

STAND_IN = Path(__file__).parents[1] / "engine" / "stand_in.py"
SMALL, BROKEN = Variant("small", {"max_num_seqs": 2}), Variant("broken", flags=("exit=2",))


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(fetch, "folder", lambda *_: folder)
    monkeypatch.setattr(command, "launcher", lambda *_: [sys.executable, str(STAND_IN)])
    monkeypatch.setattr(gate, "chosen_kernels", lambda *_: [])
    monkeypatch.setattr(gate, "answers", lambda *_: gate.Finding(Check(name="serving.smoke", status="pass")))
    return open_chapter("06", "embedded", "plan", str(tmp_path / "run"), {"serving.alive": 2})


@pytest.fixture
def fleet(chapter: Chapter) -> Iterator[Fleet]:
    made = Fleet(chapter)
    yield made
    made.stop_all()


def running(*engines: Server | None) -> list[bool]:
    return [bool(engine and engine.running) for engine in engines]


def test_a_server_stays_for_its_next_use(fleet: Fleet) -> None:
    first = fleet.use(OWN)
    assert first is not None
    assert fleet.use(OWN) is first
    assert fleet.starts == 1


def test_where_there_will_be_a_load_its_client_is_there_first(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(loads, "expect", lambda _: told.append("client"))
    monkeypatch.setattr(Server, "start", lambda _: told.append("engine"))
    Fleet(chapter, loaded=True).prepare([OWN, SMALL])
    assert told == ["client", "engine", "engine"]
    told.clear()
    Fleet(chapter).prepare([OWN])
    assert told == ["engine"]


def test_no_more_run_than_may_and_the_one_not_used_longest_goes(fleet: Fleet) -> None:
    own, defaults = fleet.use(OWN), fleet.use(DEFAULTS)
    fleet.use(OWN)
    small = fleet.use(SMALL)
    assert running(own, defaults, small) == [True, False, True]


def test_what_does_not_fit_is_started_when_it_is_used(fleet: Fleet) -> None:
    fleet.prepare([OWN, DEFAULTS, SMALL])
    assert fleet.starts == 2
    own = fleet.use(OWN)
    assert fleet.starts == 2
    assert running(own, fleet.use(SMALL)) == [True, True]


def test_a_wrong_flag_is_one_failed_check_with_the_engines_words(fleet: Fleet) -> None:
    assert fleet.use(BROKEN) is None
    assert fleet.use(BROKEN) is None
    failed = [check for check in fleet.chapter.checks() if check.status == "fail"]
    assert [(check.name, check.conditions) for check in failed] == [("serving.start", {"server": "broken"})]
    assert fleet.refusal(BROKEN) == failed[0]
    assert fleet.starts == 1, "what was refused is not tried again"
    assert running(fleet.use(OWN)) == [True], "the others still start"


def test_a_search_is_warned_not_failed(fleet: Fleet) -> None:
    assert fleet.use(BROKEN, searching=True) is None
    assert {check.status for check in fleet.chapter.checks()} == {"warn"}
    assert fleet.refusal(BROKEN) is not None


def test_a_server_that_answers_wrong_is_stopped_and_not_handed_out(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Server] = []

    def wrong(_chapter: Chapter, engine: Server, *_: object) -> gate.Finding:
        seen.append(engine)
        return gate.Finding(Check(name="serving.smoke", status="fail", observed="nonsense"))

    monkeypatch.setattr(gate, "answers", wrong)
    assert fleet.use(SMALL) is None
    assert running(*seen) == [False]
    assert fleet.refusal(SMALL) is not None


def test_a_model_that_does_not_chat_is_asked_no_questions(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("an embedding model was asked for an answer")

    monkeypatch.setattr(gate, "answers", asked)
    monkeypatch.setattr(gate, "chosen_kernels", asked)
    engine = fleet.use(Variant("embed", model="minilm-l6"))
    assert engine is not None
    assert engine.profile.serving.max_model_len == 256
    assert [(check.name, check.status) for check in fleet.chapter.checks()] == [("serving.start", "pass")]


def test_nothing_stays(fleet: Fleet) -> None:
    engines = [fleet.use(OWN), fleet.use(SMALL)]
    checks = fleet.stop_all()
    assert running(*engines) == [False, False]
    assert [check.status for check in checks] == ["pass", "pass"]
    assert fleet.stop_all() == checks, "stopping twice does no harm"


def test_memory_bounds_how_many_run(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 5 * 2**30

    monkeypatch.setattr(fleets.psutil, "virtual_memory", Memory)
    assert Fleet(chapter).room == 1
    Memory.available = 0
    assert Fleet(chapter).room == 1, "one is always tried"
    Memory.available = 2**40
    assert Fleet(chapter).room == 2, "the profile's bound holds"
