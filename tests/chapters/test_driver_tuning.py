"""Chapters 02 and 03: what they plan, show and decide, on recorded machines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.chapters import driver, tuning
from lib.core import evidence, paths, profile
from lib.core.chapter import Chapter, open_chapter
from lib.host import driver as driver_checks
from lib.host import tuning as tuning_checks
from lib.host.probe import RecordedHost
from lib.host.recording import RecordingHost

HOSTS = Path(__file__).parents[1] / "hosts"
BOX = profile.load("rtx-pro-6000")
EMBEDDED = profile.load("embedded")


def host(name: str) -> RecordingHost:
    return RecordingHost(RecordedHost(HOSTS / name))


def chapter(number: str, run: Path, target: str = "rtx-pro-6000") -> Chapter:
    return open_chapter(number, target, "plan", str(run))


def test_the_right_driver_plans_nothing() -> None:
    seen = host("owner")
    assert driver.plan(seen, BOX, driver_checks.checks(seen, BOX)) == []


@pytest.mark.parametrize(
    ("name", "before", "undo"),
    [
        ("driver-560", "nvidia-driver-560", "sudo apt-get install nvidia-driver-560 && sudo reboot"),
        ("proprietary-module", "nvidia-driver-580", "sudo apt-get install nvidia-driver-580 && sudo reboot"),
        ("plain", "no NVIDIA driver", "sudo apt-get purge '*nvidia*-580*'"),
    ],
)
def test_a_wrong_driver_plans_one_package(name: str, before: str, undo: str) -> None:
    seen = host(name)
    (change,) = driver.plan(seen, BOX, driver_checks.checks(seen, BOX))
    assert (change.before, change.after, change.undo) == (before, "nvidia-driver-580-open", undo)
    assert change.source == "https://packages.ubuntu.com/noble/nvidia-driver-580-open"
    assert change.provenance.where == "recorded"


def test_the_decision_names_what_is_not_ready() -> None:
    seen = host("proprietary-module")
    found = driver_checks.checks(seen, BOX)
    decision = driver.decide(BOX, found)
    assert "Not ready: driver.loaded, driver.module" in decision.reason
    assert decision.evidence == [check.name for check in found]
    assert any("560" in other for other in decision.alternatives)
    assert "in place" in driver.decide(BOX, driver_checks.checks(host("owner"), BOX)).reason


def test_checks_are_recorded_with_what_the_tools_said_and_without_names(tmp_path: Path) -> None:
    opened, seen = chapter("02", tmp_path), host("owner")
    found = driver.checks(opened, seen)
    assert {check.name for check in [*driver.stack(found), *driver.computed(found)]} == {c.name for c in found}
    (raw,) = {artifact.path for check in found for artifact in check.provenance.artifacts}
    text = (tmp_path / raw).read_text()
    assert "$ modinfo -F license nvidia\nDual MIT/GPL" in text
    assert "NVIDIA RTX PRO 6000 Blackwell Workstation Edition" in text
    records = evidence.read(opened.records_file)
    assert [r for r in records if r.name == "run.engine_seconds"], "the products are the engine's time"
    assert driver.measure(opened, seen) == [], "a constructed machine has no rates"


def test_what_stays_and_what_changes_are_all_there_is(tmp_path: Path) -> None:
    opened, seen = chapter("03", tmp_path), host("owner")
    found, planned = tuning.checks(opened, seen), tuning.plan(seen, BOX)
    left = tuning.unchanged(found, planned)
    assert len(left) + len(planned) == len(found)
    shown = tuning.overview(found).text
    assert shown.count("\n") == len(found)
    assert "warn | Swappiness | 60 | at most 10" in shown


def test_the_commands_shown_are_shell() -> None:
    shown = tuning.commands(tuning_checks.plan(host("owner"), BOX))
    subprocess.run(["bash", "-n", "-c", shown.text], check=True)
    assert shown.text.count("# way back:\n# sudo ") == 4, "pasting the whole block takes nothing back"
    assert "&lt;&lt;" in shown.markup
    assert "nothing is planned" in tuning.commands([]).markup


def test_cited_figures_stay_cited_and_belong_to_no_host(tmp_path: Path) -> None:
    written = chapter("03", tmp_path).record(*tuning.cited())
    assert {m.provenance.where for m in written} == {"cited"}
    assert {m.provenance.host for m in written} == {""}
    assert {m.provenance.engine for m in written} == {""}
    assert {m.provenance.time.year for m in written} == {2026}
    assert [m.conditions["power_limit_w"] for m in tuning.hardest(written)] == [600, 550, 500, 450, 400, 350, 300]


def test_the_figure_marks_the_briefings_limit_and_the_planned_one() -> None:
    marks = [shape.x0 for shape in tuning.power_figure(BOX).figure.layout.shapes]
    assert marks == [300, 450]
    assert len(tuning.power_figure(EMBEDDED).figure.data) == 5
    assert "Cited" in tuning.power_figure(EMBEDDED).caption


def test_the_decision_on_power() -> None:
    decision = tuning.decide(BOX, tuning_checks.plan(host("owner"), BOX))
    assert decision.choice.startswith("450 W for RTX PRO 6000 Blackwell; changes planned: swappiness")
    assert "numactl" in decision.reason
    assert "Changes planned on this machine: none" in tuning.decide(EMBEDDED, []).choice


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("notebook", "name", "target"),
    [
        ("02_driver_and_cuda", "", "embedded"),
        ("02_driver_and_cuda", "driver-560", "rtx-pro-6000"),
        ("03_system_tuning", "", "embedded"),
        ("03_system_tuning", "owner", "rtx-pro-6000"),
    ],
)
def test_the_notebooks_run(notebook: str, name: str, target: str, tmp_path: Path) -> None:
    script = (
        "import sys, papermill; papermill.execute_notebook(sys.argv[1], sys.argv[2], "
        "{'profile': sys.argv[3], 'run': sys.argv[4]}, progress_bar=False, kernel_name='python3')"
    )
    source = paths.NOTEBOOKS / f"{notebook}.ipynb"
    arguments = [str(source), str(tmp_path / "out.ipynb"), target, str(tmp_path / "run")]
    environment = {"RUNBOOK_HOST": str(HOSTS / name)} if name else {}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, check=False, cwd=paths.ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    records = evidence.read(tmp_path / "run" / "chapters" / f"{notebook}.jsonl")
    assert {record.kind for record in records} >= {"check", "measurement", "decision"}
