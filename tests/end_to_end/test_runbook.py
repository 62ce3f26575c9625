"""The command line as a person uses it: the whole embedded run on a real engine, again unchanged, and cut short."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lib.core import evidence, notebook, paths, secrets
from lib.core import profile as profiles
from lib.core.evidence import AnyRecord, Check, Measurement
from lib.report.language import bilingual, choice
from lib.report.render import english

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(2400)]
CHAPTERS = len(notebook.sources())
COMMAND = [sys.executable, "-m", "lib", "run"]


def call(*arguments: str, runs: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments, "--runs", str(runs)]
    return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def others() -> set[int]:
    """Processes of earlier tests, such as the engine that they share."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.fixture(scope="module")
def green(runs: Path, others: set[int]) -> subprocess.CompletedProcess[str]:
    """The whole embedded run, once for all tests of this file."""
    return call(runs=runs)


def told(runs: Path) -> dict[str, Any]:
    return dict(json.loads((runs / "latest" / "run.json").read_text()))


def records(runs: Path) -> list[AnyRecord]:
    return evidence.read(runs / "latest" / "evidence.jsonl")


@pytest.mark.engine
class TestEmbedded:
    """One real run of all chapters; the tests stand in the order of a person's look at it."""

    def test_is_green(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        assert green.returncode == 0, green.stdout + green.stderr
        state = told(runs)
        assert [chapter["status"] for chapter in state["chapters"]] == ["passed"] * CHAPTERS
        assert state["checks"]["fail"] == 0
        assert state["checks"]["pass"] > 30

    def test_names_of_the_evidence_are_stable(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        measured = {record.name for record in records(runs) if isinstance(record, Measurement)}
        checked = {record.name for record in records(runs) if isinstance(record, Check)}
        wanted = {"serving.ready_seconds", "planner.kv_tokens"}
        wanted |= {f"batching.{name}" for name in ("output_throughput", "ttft_ms", "tpot_ms")}
        wanted |= {"roofline.bandwidth", "roofline.matmul", "roofline.fraction", "tuner.gain", "tuner.starts"}
        wanted |= {"spec.acceptance_length", "spec.speedup", "swap.cold_seconds", "swap.first_token_seconds"}
        wanted |= {"quality.kl", "quality.accuracy", "gateway.ttft_overhead_ms", "gateway.throughput_ratio"}
        wanted |= {f"memory.{name}" for name in ("visible_seconds", "recall_at_10", "ndcg_at_10", "search_ms")}
        assert wanted <= measured
        kernels = {f"serving.kernel.{name}" for name in ("attention", "kv_cache", "graphs")}
        assert {"serving.smoke", "tuner.judged", "upgrade.verdict", "agents.task", *kernels} <= checked
        for room in ("driver.", "hardware.", "tuning.", "monitoring.", "bastion.probe.", "claims."):
            assert any(name.startswith(room) for name in checked), room

    def test_every_fault_and_alert_was_seen_and_nothing_acknowledged_was_lost(
        self, green: subprocess.CompletedProcess[str], runs: Path
    ) -> None:
        held = [r for r in records(runs) if isinstance(r, Check) and r.name.startswith("drill.") and r.status == "pass"]
        assert len(held) >= 25
        measured = [r for r in records(runs) if isinstance(r, Measurement)]
        assert {r.value for r in measured if r.name == "drill.lost"} == {0.0}
        assert len({r.conditions["alert"] for r in measured if r.name == "alert.cleared_seconds"}) >= 20
        assert {"power.shutdown_margin_seconds", "backup.rto_seconds", "backup.rpo_seconds"} <= {
            r.name for r in measured
        }

    def test_operating_points_carry_their_conditions(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        points = [r for r in records(runs) if isinstance(r, Measurement) and r.name == "batching.output_throughput"]
        asked = profiles.load("embedded").batching.concurrency
        assert [point.conditions["concurrency"] for point in points] == asked
        for point in points:
            assert {"input_tokens", "output_tokens"} <= set(point.conditions)
            assert point.interval is not None
            assert point.interval[0] <= point.value <= point.interval[1]
            assert point.n >= 2
            assert point.provenance.artifacts, "no number without its raw file"

    def test_no_speed_is_told_of_a_server_that_the_gate_did_not_see(
        self, green: subprocess.CompletedProcess[str], runs: Path
    ) -> None:
        asked = [r for r in records(runs) if isinstance(r, Check) and r.name == "serving.smoke"]
        speeds = {r.provenance.chapter for r in records(runs) if r.name.endswith(("output_throughput", "spec.speedup"))}
        assert speeds <= {check.provenance.chapter for check in asked if check.status == "pass"}

    def test_the_planner_agrees_with_the_engine(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        values = {
            r.conditions["source"]: r.value
            for r in records(runs)
            if isinstance(r, Measurement) and r.name == "planner.kv_tokens"
        }
        assert values["predicted"] == pytest.approx(values["reported"], rel=0.05)

    def test_the_document_is_one_offline_file(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        document = runs / "latest" / "report.html"
        assert 100_000 < document.stat().st_size < 15_000_000, "what may be sent by mail; it holds two languages"
        text = document.read_text()
        for chapter in told(runs)["chapters"]:
            assert chapter["title"] in text

    def test_the_russian_edition_says_all_of_it(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        speech = choice.speech("ru")
        speech.missing.clear()
        bilingual.bilingual(english((runs / "latest").resolve()), speech, "ru", "ru")
        # Of some 6,000 texts; what only another machine's hardware or faults say may be new here, and is listed.
        assert len(speech.missing) <= 12, "\n".join(sorted(speech.missing))

    def test_no_secret_is_in_any_produced_file(self, green: subprocess.CompletedProcess[str], runs: Path) -> None:
        assert list(secrets.scan((runs / "latest").resolve())) == []

    def test_no_path_of_this_machine_is_in_the_document(
        self, green: subprocess.CompletedProcess[str], runs: Path
    ) -> None:
        text = (runs / "latest" / "report.html").read_text()
        assert str(paths.ROOT) + "/" not in text

    def test_nothing_is_left_running(self, green: subprocess.CompletedProcess[str], others: set[int]) -> None:
        alive = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        # A browser or engine that earlier tests keep may itself have started processes meanwhile.
        left = [p for p in alive if not others & {p.pid, *(parent.pid for parent in p.parents())}]
        assert [command_line(p) for p in left] == []

    def test_unchanged_it_is_reused_within_20_seconds(
        self, green: subprocess.CompletedProcess[str], runs: Path
    ) -> None:
        before = time.monotonic()
        again = call(runs=runs)
        assert again.returncode == 0
        assert time.monotonic() - before < 20
        assert all(chapter["reused"] for chapter in told(runs)["chapters"])


def test_another_machines_profile_names_every_mismatch(tmp_path: Path) -> None:
    # Without the chapters of drills: they look at no machine, and the embedded run has played them.
    asked = [source.id for source in notebook.sources() if source.id not in ("11", "12", "13", "14")]
    done = call("--profile", "rtx-pro-6000", "--mode", "plan", "--only", ",".join(asked), runs=tmp_path)
    assert done.returncode == 1, done.stderr
    state = told(tmp_path)
    failed = {r.name for r in records(tmp_path) if isinstance(r, Check) and r.status == "fail"}
    assert {"hardware.memory.total", "hardware.gpu.present", "driver.version", "serving.start"} <= failed
    assert [chapter["id"] for chapter in state["chapters"]] == asked
    text = (tmp_path / "latest" / "report.html").read_text()
    assert all(name in text for name in failed)


@pytest.mark.engine
def test_killed_in_mid_engine_it_leaves_no_orphan_and_resumes(tmp_path: Path) -> None:
    command = [*COMMAND, "--only", "05", "--runs", str(tmp_path)]
    process = subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.DEVNULL)
    family = wait_for_engine(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all_dead(family), "a process outlived the run"
    first = told(tmp_path)
    done = call("--only", "05", runs=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    after = told(tmp_path)
    assert after["id"] == first["id"]
    assert after["resumed"] == 1
    assert {chapter["status"] for chapter in after["chapters"]} == {"passed"}


def wait_for_engine(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until the run has started an engine, and return all its processes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        family = psutil.Process(process.pid).children(recursive=True)
        if any("api_server" in command_line(member) for member in family):
            time.sleep(8)
            return [*psutil.Process(process.pid).children(recursive=True)]
        time.sleep(0.5)
    raise AssertionError("no engine was started")


def command_line(process: psutil.Process) -> str:
    """Return the words that a process was started with; nothing, where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def all_dead(family: list[psutil.Process], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
            return True
        time.sleep(0.5)
    return False
