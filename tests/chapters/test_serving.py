"""Chapters 05 and 06 where the engine does not start, answers wrong, or has no real weights; without any engine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib.chapters import gate, serving
from lib.chapters import load as loads
from lib.core import evidence
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check, Measurement
from lib.engine.bench.point import Effort, Point
from lib.engine.models import catalogue, planner
from lib.engine.serve import server
from lib.engine.serve.log import Readback

POINT, EFFORT = Point(1, 64, 32), Effort(2, 1, 1, 5000, 500)
NO_CARD = pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a card")


def chapter(run: Path, number: str = "05", profile: str = "embedded", **fields: object) -> Chapter:
    return open_chapter(number, profile, "plan", str(run), {key.replace("__", "."): v for key, v in fields.items()})


def engine(**told: Any) -> Any:
    """What a chapter sees of a running engine."""
    return SimpleNamespace(url="http://127.0.0.1:9", model=catalogue.get("smollm2-135m"), folder=Path("m"), **told)


def statuses(opened: Chapter) -> dict[str, str]:
    return {check.name: check.status for check in opened.checks()}


@NO_CARD
@pytest.mark.parametrize("number", ["05", "06"])
def test_a_gpu_profile_without_a_gpu_is_one_failed_check(tmp_path: Path, number: str) -> None:
    opened = chapter(tmp_path, number, "rtx-pro-6000")
    started = gate.start(opened)
    assert started is None
    for nothing in (serving.verify, gate.accuracy, serving.cache, serving.measurements, gate.stop):
        assert nothing(opened, started) == ()
    assert loads.measure(opened, started, [POINT], EFFORT) == []
    assert statuses(opened) == {"serving.start": "fail"}
    check = opened.checks()[0]
    assert "rtx-pro-6000 wants a CUDA GPU" in check.observed
    assert "--profile embedded" in check.fix
    assert "did not start" in repr(serving.readback(opened, started))


@NO_CARD
def test_the_decisions_of_a_failed_start_say_so(tmp_path: Path) -> None:
    opened = chapter(tmp_path, "05", "rtx-pro-6000")
    gate.start(opened)
    decision = serving.decide(opened)
    assert "is not served" in decision.choice
    assert decision.evidence == ["serving.start"]


def test_a_missing_model_names_the_command(tmp_path: Path) -> None:
    opened = chapter(tmp_path, models__store=str(tmp_path / "empty"))
    assert gate.start(opened) is None
    assert "python -m lib models fetch smollm2-135m" in opened.checks()[0].fix


def test_the_log_of_a_failed_start_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: server.Server) -> None:
        self.log.write_text("boom\n")
        raise server.StartError("boom", where="engine.log", fix="try again")

    monkeypatch.setattr(server.Server, "start", fail)
    opened = chapter(tmp_path)
    assert gate.start(opened) is None
    assert [a.path for a in opened.checks()[0].provenance.artifacts] == ["artifacts/05_serving/engine.log"]


def test_random_weights_have_no_answers_to_check(tmp_path: Path) -> None:
    opened = chapter(tmp_path, serving__load_format="dummy")
    (check,) = gate.accuracy(opened, engine())
    assert check.status == "skip"
    assert check.provenance.weights == "random"


def test_random_weights_are_not_asked_for_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    green = Check(name="serving.any", status="pass")
    monkeypatch.setattr(gate.kernels, "checks", lambda *_: [green])
    for name in ("listening", "routes", "streaming"):
        monkeypatch.setattr(serving.conformance, name, lambda *_, **__: green)
    opened = chapter(tmp_path, serving__load_format="dummy")
    running = engine(readback=Readback, libraries=list, routes=list, profile=opened.profile)
    found = {check.name: check.status for check in serving.verify(opened, running)}
    assert found["serving.structured_output"] == found["serving.tool_calls"] == "skip"


def test_a_load_that_fails_is_a_failed_check(tmp_path: Path) -> None:
    opened = chapter(tmp_path, "06")
    told = engine(profile=opened.profile)
    assert loads.measure(opened, told, [POINT], EFFORT) == []
    (check,) = opened.checks("batching.completed")
    assert check.status == "fail"
    assert "c1-i64-o32-warm-up failed" in check.observed
    assert any(a.path.endswith("client.log") for a in check.provenance.artifacts)


@pytest.mark.parametrize(("reported", "status"), [(46592, "pass"), (30000, "fail")])
def test_the_prediction_of_chapter_04_is_held_against_the_log(tmp_path: Path, reported: int, status: str) -> None:
    predicted = planner.prediction(catalogue.get("smollm2-135m"), 2**30, 2048, hardware="cpu")
    other = planner.prediction(catalogue.get("qwen3-32b"), 2**34, 2048, hardware="cuda")
    evidence.append(tmp_path / "chapters" / "04_models_and_memory.jsonl", [predicted, other])
    opened = chapter(tmp_path)
    (check,) = serving.cache(opened, engine(readback=lambda: Readback(kv_tokens=reported)))
    assert check.status == status
    (measured,) = opened.measurements("planner.kv_tokens")
    assert (measured.value, measured.baseline) == (reported, 46592)


def test_without_chapter_04_the_comparison_is_skipped(tmp_path: Path) -> None:
    (check,) = serving.cache(chapter(tmp_path), engine(readback=lambda: Readback(kv_tokens=1)))
    assert check.status == "skip"


def test_a_number_that_the_log_lacks_is_not_made_up(tmp_path: Path) -> None:
    told = engine(readback=lambda: Readback(weights_s=0.5), ready_seconds=20.0, command="vllm serve")
    found = serving.measurements(chapter(tmp_path), told)
    assert [m.name for m in found] == ["serving.ready_seconds", "serving.weights_seconds"]
    assert all(isinstance(m, Measurement) and m.method for m in found)


@pytest.mark.parametrize("profile", ["embedded", "rtx-pro-6000"])
def test_service_files_are_rendered_from_the_same_flags(tmp_path: Path, profile: str) -> None:
    opened = chapter(tmp_path, profile=profile)
    unit, environment, compose = serving.files(opened)
    assert f"--served-model-name {opened.profile.models.served}" in unit.after
    assert "--port 8000" in unit.after
    assert f"--model /srv/models/{opened.profile.models.served}" in unit.after
    assert "HF_HUB_OFFLINE=1" in environment.after
    assert opened.profile.serving.image in compose.after
    assert {change.status for change in (unit, environment, compose)} == {"planned"}


def test_a_configuration_is_decided_from_what_was_recorded(tmp_path: Path) -> None:
    opened = chapter(tmp_path)
    opened.record(Check(name="serving.start", status="pass"), Check(name="serving.smoke", status="pass"))
    decision = serving.decide(opened)
    assert decision.choice.startswith("SmolLM2-135M-Instruct, 2,048 tokens")
    assert decision.evidence == ["serving.start", "serving.smoke"]
