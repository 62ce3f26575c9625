"""Chapter 04: what is planned for the owner's card, what is brought in which mode, what the checks catch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.chapters import fitting, models
from lib.core import profile
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Decision, Measurement
from lib.engine.models import catalogue, fetch
from lib.engine.models.manifest import Entry, Manifest

MakeChapter = Callable[..., Path]
OWNER = profile.load("rtx-pro-6000")


@pytest.fixture
def open_04(make_chapter: MakeChapter, tmp_path: Path) -> Callable[..., Chapter]:
    def opened(name: str = "embedded", mode: str = "plan", **overrides: Any) -> Chapter:
        values = {"models.store": str(tmp_path / "store"), **overrides}
        return open_chapter("04", name, mode, str(tmp_path / "run"), values, folder=make_chapter("04").parent)

    return opened


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that would have been fetched; nothing is."""
    names: list[str] = []
    monkeypatch.setattr(fetch, "ensure", lambda name, *_args, **_options: names.append(name))
    return names


def test_the_owners_wish_is_refused_with_what_is_missing_and_what_works_instead() -> None:
    decision = fitting.decide(models.fits(OWNER), OWNER)
    assert isinstance(decision, Decision)
    assert decision.choice == "gpt-oss-120b + qwen3-embedding-4b share the card"
    assert "gpt-oss-120b + qwen3-coder-30b-a3b needs 117.6 GiB of weights" in decision.reason
    assert "35.7 GiB more than" in decision.reason
    assert any(
        "qwen3-coder-30b-a3b-fp8 + gpt-oss-20b + qwen3-embedding-4b: fits" in way for way in decision.alternatives
    )


def test_fit_checks_of_the_owners_card() -> None:
    found = {check.name: check for check in fitting.checks(models.fits(OWNER), OWNER)}
    verdicts = {name.rsplit(".", 1)[1]: check.status for name, check in found.items()}
    assert verdicts == {
        "served": "pass",
        "combination_1": "warn",
        "combination_2": "pass",
        "combination_3": "warn",
        "combination_4": "pass",
        "sleep_memory": "pass",
    }
    assert "take turns" in found["models.fit.combination_3"].fix
    assert "max_model_len: 70832" in found["models.fit.combination_1"].fix


def test_a_served_model_that_does_not_fit_fails() -> None:
    small = profile.load("rtx-pro-6000", {"models.card_gib": 40.0})
    served = fitting.checks(models.fits(small), small)[0]
    assert (served.name, served.status) == ("models.fit.served", "fail")


def test_too_little_memory_for_sleepers_warns() -> None:
    little = profile.load("rtx-pro-6000", {"host.memory.minimum_gib": 64})
    check = fitting.checks(models.fits(little), little)[-1]
    assert (check.name, check.status) == ("models.sleep_memory", "warn")


def test_plan_fetches_no_repository_and_says_how_long_each_way_takes(
    open_04: Callable[..., Chapter], fetched: list[str], tmp_path: Path
) -> None:
    changes = models.bring(open_04("rtx-pro-6000"))
    assert fetched == []
    assert {change.status for change in changes} == {"planned"}
    first = changes[0]
    place = tmp_path / "store"
    assert first.command == f"python -m lib models fetch qwen3-coder-30b-a3b --store {place}"
    assert "4.5 h at 30 Mbit/s" in first.reason
    assert f"models import qwen3-coder-30b-a3b FOLDER --store {place}" in first.reason


def test_apply_fetches_them(open_04: Callable[..., Chapter], fetched: list[str]) -> None:
    changes = models.bring(open_04("rtx-pro-6000", "apply"))
    assert fetched == ["qwen3-coder-30b-a3b", "gpt-oss-120b", "qwen3-embedding-8b"]
    assert {change.status for change in changes} == {"applied"}


def test_packages_are_brought_in_every_mode(open_04: Callable[..., Chapter], fetched: list[str]) -> None:
    models.bring(open_04())
    derived = [f"smollm2-135m-{method}" for method in ("front", "int8", "int4")]
    assert fetched == ["smollm2-135m", "minilm-l6", *derived]


@pytest.mark.parametrize(("dtype", "tokens"), [("bfloat16", 46_592), ("float32", 23_296)])
def test_the_prediction_is_recorded_for_chapter_05(dtype: str, tokens: int, open_04: Callable[..., Chapter]) -> None:
    chapter = open_04(**{"serving.dtype": dtype})
    fitting.measurements(chapter, models.fits(chapter.profile))
    (predicted,) = chapter.measurements("planner.kv_tokens")
    assert (predicted.value, predicted.conditions["source"]) == (tokens, "predicted")
    assert not chapter.measurements("planner.load")


def test_load_times_follow_from_the_disk_that_chapter_01_measured(
    open_04: Callable[..., Chapter], tmp_path: Path
) -> None:
    measured = Measurement(name="hardware.disk_read", value=2000, unit="MB/s")
    chapter = open_04("rtx-pro-6000")
    earlier = tmp_path / "run/chapters/01_hardware_audit.jsonl"
    earlier.parent.mkdir(parents=True, exist_ok=True)
    earlier.write_text(measured.model_dump_json(by_alias=True) + "\n")
    fitting.measurements(chapter, models.fits(chapter.profile))
    load = {item.conditions["model"]: item.value for item in chapter.measurements("planner.load")}
    assert load["gpt-oss-120b"] == pytest.approx(32.6, abs=0.05)
    assert "2,000 MB/s" in repr(models.times_table(chapter)) or "2,000 MB/s" in models.times_table(chapter).markup


def put(place: Path, config: dict[str, object], size: int) -> None:
    """Put a folder with a manifest into the store: what a wrong catalogue would be held against."""
    folder = place / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\0" * size)
    entries = {
        path.name: Entry(size=path.stat().st_size, sha256="0" * 64, mtime_ns=path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }
    manifest = Manifest(model="smollm2-135m", origin={"package": "p"}, verified=True, files=entries)
    (folder / "runbook.json").write_text(manifest.model_dump_json())


def test_damage_a_foreign_config_and_a_wrong_size_are_caught(open_04: Callable[..., Chapter], tmp_path: Path) -> None:
    chapter = open_04()
    put(tmp_path / "store", {"num_hidden_layers": 29, "hidden_size": 576}, 1000)
    found = {check.name: check for check in models.verify(chapter)}
    assert found["models.checksum.smollm2_135m"].status == "fail"
    assert found["models.config.smollm2_135m"].status == "fail"
    assert "num_hidden_layers is 29" in found["models.config.smollm2_135m"].observed
    assert found["models.size.smollm2_135m"].status == "warn"
    assert found["models.checksum.minilm_l6"].status == "skip"


def test_an_unpinned_revision_is_told(open_04: Callable[..., Chapter]) -> None:
    check = models.verify(open_04("rtx-pro-6000"))[-1]
    assert (check.name, check.status) == ("models.revisions", "warn")
    assert "gpt-oss-120b" in check.observed


def test_the_figure_has_a_bar_a_set_and_its_limits() -> None:
    found = models.fits(OWNER)
    figure = models.fit_figure(found, OWNER).figure
    assert all(len(trace.y) == len(found) for trace in figure.data)
    assert [shape.x0 for shape in figure.layout.shapes] == pytest.approx([95.6 * 0.92, 95.6])


def test_every_model_is_shown_once() -> None:
    names = [model.name for model in models.mentioned(OWNER)]
    assert len(names) == len(set(names)) == 6
    assert all(name in catalogue.load() for name in names)
