"""The run as a Workflow Run RO-Crate.

The profiles' requirements (Process, Workflow and Provenance Run Crate 0.5, Workflow RO-Crate 1.0, RO-Crate 1.1) are
held here as they are written, entity by entity: there is no schema of theirs that works without a network.
"""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report.seal.sealed_run import build

from lib.core import evidence
from lib.core.profile import parse_override
from lib.core.state import ChapterState, read_state
from lib.report.seal import close, crate
from lib.report.seal import crate_terms as terms

Graph = dict[str, dict[str, Any]]
ADDRESSES = ("http://", "https://")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = build(tmp_path / "run")
    (made / "artifacts/06/with space & ümlaut.txt").write_text("x")
    executed = {
        "metadata": {"papermill": {"start_time": "2026-11-24T19:31:00+00:00", "end_time": "2026-11-24T19:31:20+00:00"}}
    }
    (made / "chapters/06.ipynb").write_text(json.dumps(executed))
    return made


@pytest.fixture
def graph(run: Path) -> Graph:
    return graph_of(run)


def graph_of(run: Path) -> Graph:
    close.close(run)
    told = json.loads((run / crate.NAME).read_text())
    assert told["@context"] == terms.CONTEXT
    assert len({entity["@id"] for entity in told["@graph"]}) == len(told["@graph"]), "an entity is told of once"
    return {entity["@id"]: entity for entity in told["@graph"]}


def links(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else [link for item in value.values() for link in links(item)]
    return [link for item in value for link in links(item)] if isinstance(value, list) else []


def of_type(graph: Graph, kind: str) -> list[dict[str, Any]]:
    return [entity for entity in graph.values() if kind in entity["@type"]]


def test_the_descriptor_and_the_root_are_as_ro_crate_wants_them(graph: Graph) -> None:
    descriptor, root = graph[crate.NAME], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert root["@type"] == "Dataset"
    assert root["datePublished"] == "2026-11-24T19:31:30Z", "when the run ended"
    for key in ("name", "description", "license"):
        assert root[key]
    for profile in root["conformsTo"]:
        assert graph[profile["@id"]]["@type"] == "CreativeWork"
        assert graph[profile["@id"]]["version"] == profile["@id"].rpartition("/")[2]


def test_every_link_leads_somewhere(graph: Graph) -> None:
    outside = {link for entity in graph.values() for link in links(entity)} - graph.keys()
    assert outside == {terms.CRATE, "http://schema.org/CompletedActionStatus"}


def test_every_file_is_listed_with_its_size_and_digest_and_no_other(run: Path, graph: Graph) -> None:
    files = {
        str(path.relative_to(run)): path
        for path in run.rglob("*")
        if path.is_file() and path.parent.name != "seal" and path.name != crate.NAME
    }
    assert crate.listed((run / crate.NAME).read_bytes()) == {n: evidence.sha256(p) for n, p in files.items()}
    listed = of_type(graph, "File")
    assert {entity["@id"] for entity in listed} == {part["@id"] for part in graph["./"]["hasPart"]}
    for entity in listed:
        path = files[entity.get("name", "") if entity["@id"] != crate.WORKFLOW else crate.WORKFLOW]
        assert entity["contentSize"] == str(path.stat().st_size)
        assert entity["encodingFormat"], entity["@id"]
    assert "artifacts/06/with%20space%20%26%20%C3%BCmlaut.txt" in graph


def test_the_workflow_is_one_and_knows_its_tools_steps_and_inputs(graph: Graph) -> None:
    workflow = graph[graph["./"]["mainEntity"]["@id"]]
    assert workflow["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    assert graph[workflow["programmingLanguage"]["@id"]]["@type"] == "ComputerLanguage"
    assert [graph[part["@id"]]["@type"] for part in workflow["hasPart"]] == ["SoftwareSourceCode"]
    (step,) = [graph[step["@id"]] for step in workflow["step"]]
    assert (step["@type"], step["position"]) == ("HowToStep", 1)
    assert step["workExample"] == workflow["hasPart"][0]
    parameters = [graph[parameter["@id"]] for parameter in workflow["input"]]
    assert [parameter["name"] for parameter in parameters] == ["--profile", "--mode", "--only", "--set"]
    assert all(parameter["additionalType"] == "Text" for parameter in parameters)


def test_the_actions_say_what_was_done_when_and_how_it_ended(graph: Graph) -> None:
    whole, chapter = graph["#run"], graph["#chapter-06"]
    assert {action["@id"] for action in of_type(graph, "CreateAction")} == {"#run", "#chapter-06"}
    assert whole["instrument"] == {"@id": crate.WORKFLOW}
    assert {graph[value["@id"]]["value"] for value in whole["object"]} == {"embedded", "plan", "06", "5"}
    assert {"@id": "report.html"} in whole["result"]
    assert (whole["startTime"], whole["endTime"]) == ("2026-11-24T19:30:48Z", "2026-11-24T19:31:30Z")
    assert chapter["instrument"] == {"@id": "#notebook-06"}
    assert (chapter["startTime"], chapter["endTime"]) == ("2026-11-24T19:31:00Z", "2026-11-24T19:31:20Z")
    assert {"@id": "artifacts/06/load.json"} in chapter["result"]
    assert {"@id": "chapters/06.ipynb"} in chapter["result"]
    for action in (whole, chapter):
        assert action["actionStatus"] == {"@id": "http://schema.org/CompletedActionStatus"}
        assert "error" not in action
        assert graph[action["agent"]["@id"]]["@type"] == "Person"
    mentioned = {mention["@id"] for mention in graph["./"]["mentions"]}
    assert {"#run", "#chapter-06", "#runbook-run"} <= mentioned
    (control,) = of_type(graph, "ControlAction")
    assert control["instrument"] == {"@id": "#step-06"}
    assert control["object"] == {"@id": "#chapter-06"}
    (organize,) = of_type(graph, "OrganizeAction")
    assert organize["result"] == {"@id": "#run"}
    assert organize["object"] == [{"@id": control["@id"]}]


def test_a_failed_run_says_so_and_a_chapter_that_did_not_run_has_no_action(run: Path) -> None:
    state = read_state(run)
    failed = state.chapters[0].model_copy(update={"status": "failed", "error": "ValueError: no"})
    skipped = ChapterState(id="07", title="Speculation", status="skipped", stem="07")
    (run / "run.json").write_text(
        state.model_copy(update={"chapters": [failed, skipped]}).model_dump_json(by_alias=True)
    )
    graph = graph_of(run)
    assert graph["#chapter-06"]["actionStatus"] == {"@id": "http://schema.org/FailedActionStatus"}
    assert graph["#chapter-06"]["error"] == "ValueError: no"
    assert graph["#run"]["error"] == "06 failed, 07 skipped"
    assert "#chapter-07" not in graph
    assert "#step-07" in graph, "it was planned"


def test_a_notebook_that_tells_no_times_leaves_them_out(run: Path) -> None:
    (run / "chapters/06.ipynb").write_text("{")
    assert "startTime" not in graph_of(run)["#chapter-06"]


def test_the_workflow_file_runs_the_same_chapters_with_the_same_settings(run: Path) -> None:
    state = read_state(run).model_copy(update={"overrides": {"serving.extra_args": ["--x", "it's"], "a.b": "c d"}})
    script = run / "again.sh"
    script.write_text(crate.workflow(state).replace("exec python", "printf '%s\\n'"))
    said = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:9] == ["-m", "lib", "run", "--profile", "embedded", "--mode", "plan", "--only", "06"]
    assert [parse_override(word) for word in said[10::2]] == list(state.overrides.items())
    assert shlex.split(crate.workflow(state).splitlines()[-1])[0] == "exec"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"@graph": 1}', b'{"@graph": [{"@type": "File", "@id": "x"}]}', b'{"@graph": [1]}']
)
def test_what_is_no_crate_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match="no crate"):
        crate.listed(content)


def test_a_file_that_is_listed_twice_is_no_crate() -> None:
    entity = {"@type": "File", "@id": "x", "sha256": "0"}
    with pytest.raises(ValueError, match="listed twice"):
        crate.listed(json.dumps({"@graph": [entity, entity]}).encode())
