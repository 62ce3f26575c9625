"""Chapter 09 over a small embedding server of words: what it records, and what its search box does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedding_server import Server

from lib.chapters import memory, memory_figures, memory_growth, memory_study, memory_trial
from lib.chapters.memory_servers import Servers
from lib.chapters.memory_study import Study
from lib.core.chapter import Chapter, open_chapter

RESULTS = memory_growth.RESULTS


@pytest.fixture
def chapter(server: Server, tmp_path: Path) -> Chapter:
    fields = {
        "memory.model": "words",
        "memory.endpoint": server.url,
        "memory.candidate.model": "words",
        "memory.candidate.dimension": 32,
        "memory.pages": 20,
        "memory.saves": 5,
        "memory.facts": 0,
    }
    return open_chapter("09", "embedded", "plan", str(tmp_path / "run"), fields)


@pytest.fixture
def study(chapter: Chapter, tmp_path: Path) -> Iterator[Study]:
    servers = Servers(chapter)
    servers.start()
    made = Study(chapter, servers)
    made.folder = tmp_path / "study"
    made.open()
    yield made
    made.close()


def statuses(chapter: Chapter) -> dict[str, str]:
    return {check.name: check.status for check in chapter.checks("memory.")}


def test_all_of_it(study: Study) -> None:
    chapter = study.chapter
    memory.ingest(study)
    memory_study.verify(study)
    memory.retrieval(study)
    assert len(memory.saves(study)) == 5
    memory_growth.size(study)
    memory_growth.checks(study)
    found = memory_trial.run(study)
    assert found is not None
    assert (found.old, found.new) == ("words/64", "words/32")
    memory_trial.switch(study)
    failed = {name for name, status in statuses(chapter).items() if status == "fail"}
    assert failed == set(), [check.observed for check in chapter.checks("memory.") if check.status == "fail"]
    assert {"memory.agreement", "memory.refusal", "memory.forgetting", "memory.visible", "memory.switch"} <= set(
        statuses(chapter)
    )
    sizes = [int(str(m.conditions["chunks"])) for m in chapter.measurements("memory.search_ms")]
    assert len(sizes) == 3
    assert sizes == sorted(set(sizes)), "each at another size"
    assert {str(m.conditions["method"]) for m in chapter.measurements("memory.ndcg_at_10")} == {
        "dense",
        "lexical",
        "fused",
    }
    assert memory.decide(study).choice.startswith("Search ")
    assert memory_trial.decide(study).choice.startswith(("Keep words/64", "Switch to words/32"))
    assert "words/32 against words/64" in memory_trial.figure(study).caption


def test_growth_shows_its_origin(study: Study) -> None:
    memory.ingest(study)
    told = memory_growth.reference("memory_growth")
    assert told["date"] in memory_growth.figure(study.chapter).caption
    table = memory_growth.table().markup
    assert told["machine"]["cpu"].partition("×")[0].strip() in table
    assert f"{told['points'][-1]['chunks']:,}" in table


def test_without_a_server_a_check_says_why(tmp_path: Path) -> None:
    chapter = open_chapter("09", "embedded", "plan", str(tmp_path / "run"), {"memory.model": ""})
    servers = Servers(chapter)
    servers.start()
    study = Study(chapter, servers)
    study.open()
    memory.ingest(study)
    assert memory.retrieval(study) == []
    assert memory.saves(study) == []
    assert memory_growth.size(study) == []
    assert memory_growth.checks(study) == []
    assert memory_trial.run(study) is None
    assert memory_trial.switch(study) == []
    assert memory.decide(study).choice == "Nothing is decided"
    assert memory_trial.decide(study).choice.startswith("Keep")
    assert statuses(chapter) == {"memory.model": "skip"}


def test_the_search_box_answers(study: Study) -> None:
    memory.ingest(study)
    study.chapter.headless = False
    box = memory_figures.box(study.chapter, study.memory, study.questions)
    field, button = box.children[0].children
    shown = box.children[1]
    question = study.questions[0]
    field.value = question.text
    assert question.path in shown.value
    field.value = ""
    assert shown.value == ""
    field.value = "<script>alert(1)</script>"
    button.click()
    assert "<script>" not in shown.value
    study.chapter.headless = True
    assert question.path in memory_figures.box(study.chapter, study.memory, study.questions).markup


def test_growth_that_was_measured_keeps_to_the_limits() -> None:
    told = json.loads((RESULTS / "memory_growth.json").read_text())
    sizes = [point["chunks"] for point in told["points"]]
    assert sizes[0] < 12_000
    assert sizes[-1] >= 30_000
    for point in told["points"]:
        assert point["questions"] >= 200
        assert point["search_ms_p95"] <= memory_growth.SEARCH_MS
        assert point["recall_at_10"] >= memory_growth.RECALL
