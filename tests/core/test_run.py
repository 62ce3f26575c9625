"""Runs of small chapters through the real papermill: order, failure, reuse, resume, interruption."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lib.core import evidence, paths, profile, state
from lib.core.errors import Exit, RunbookError
from lib.core.run import Run

MakeChapter = Callable[..., Path]
PASS = 'chapter.record(Check(name="a.b", status="pass"))'
FAIL = 'chapter.record(Check(name="bad.check", status="fail", fix="mend it"))'


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[Exit, state.RunState]]:
    """Run the chapters in `tmp_path/notebooks` and return exit code and state."""

    def execute(**options: Any) -> tuple[Exit, state.RunState]:
        overrides = options.pop("overrides", None)
        chosen = profile.load("embedded", overrides)
        work = Run(
            chosen,
            overrides=overrides,
            runs=tmp_path / "runs",
            notebooks=tmp_path / "notebooks",
            quiet=True,
            **options,
        )
        code = work.execute()
        return code, state.read_state(tmp_path / "runs" / "latest")

    return execute


def statuses(result: state.RunState) -> dict[str, str]:
    return {chapter.id: chapter.status + (" (reused)" if chapter.reused else "") for chapter in result.chapters}


def test_green_run_writes_the_machine_interface(make_chapter: MakeChapter, run: Any, tmp_path: Path) -> None:
    make_chapter("01", PASS, 'chapter.record(Measurement(name="a.m", value=2, unit="s"))')
    code, _ = run()
    latest = tmp_path / "runs" / "latest"
    told = json.loads((latest / "run.json").read_text())
    assert code == Exit.GREEN
    assert {"schema", "id", "profile", "mode", "started", "seconds", "chapters", "checks"} <= set(told)
    assert {"id", "title", "status", "seconds", "reused", "error"} <= set(told["chapters"][0])
    assert told["checks"] == {"pass": 1, "warn": 0, "fail": 0, "skip": 0}
    assert (latest / "chapters" / "01_test.ipynb").exists()
    records = evidence.read(latest / "evidence.jsonl")
    assert [record.name for record in records] == ["a.b", "a.m"]
    assert {record.provenance.chapter for record in records} == {"01"}


def test_a_failed_chapter_stops_only_those_that_need_it(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", "raise ValueError('broken')")
    make_chapter("02", PASS, needs=["01"])
    make_chapter("03", PASS)
    make_chapter("99", PASS, last=True)
    code, result = run()
    assert code == Exit.FAILED
    assert statuses(result) == {"01": "failed", "02": "skipped", "03": "passed", "99": "passed"}
    assert "ValueError: broken" in result.chapters[0].error
    assert "needs 01" in result.chapters[1].error


def test_a_failed_check_fails_its_chapter_and_the_run(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", FAIL, PASS)
    code, result = run()
    assert code == Exit.FAILED
    assert result.chapters[0].error == "1 check failed: bad.check"
    assert result.checks == {"pass": 1, "warn": 0, "fail": 1, "skip": 0}


def test_unchanged_chapters_are_reused_with_their_evidence_and_files(
    make_chapter: MakeChapter, run: Any, tmp_path: Path
) -> None:
    make_chapter("01", 'chapter.record(Check(name="a.b", status="pass"), artifacts=[chapter.save("x.txt", "raw")])')
    make_chapter("02", PASS, needs=["01"])
    _, first = run()
    make_chapter("02", PASS, "1 + 1", needs=["01"])
    code, second = run()
    assert code == Exit.GREEN
    assert first.id != second.id or first.started != second.started
    assert statuses(second) == {"01": "passed (reused)", "02": "passed"}
    assert (tmp_path / "runs" / "latest" / "artifacts" / "01_test" / "x.txt").read_text() == "raw"
    assert second.checks["pass"] == 2


def test_a_change_upstream_executes_what_stands_on_it(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", PASS)
    make_chapter("02", PASS, needs=["01"])
    make_chapter("03", PASS)
    run()
    make_chapter("01", PASS, "'changed'")
    assert statuses(run()[1]) == {"01": "passed", "02": "passed", "03": "passed (reused)"}


def test_fresh_and_another_profile_reuse_nothing(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", PASS)
    run()
    assert statuses(run(fresh=True)[1]) == {"01": "passed"}
    assert statuses(run(overrides={"batching.repeats": 6})[1]) == {"01": "passed"}


def test_a_failed_chapter_is_never_reused(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", FAIL)
    run()
    assert statuses(run()[1]) == {"01": "failed"}


def test_the_engines_share_is_told_apart(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", "import time\nwith chapter.engine_time('start'): time.sleep(0.5)")
    result = run()[1]
    assert 0.5 <= result.engine_seconds < 1
    assert result.overhead_fraction == pytest.approx(1 - result.engine_seconds / result.seconds, abs=0.01)


def test_a_dead_kernel_is_a_failed_chapter(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    make_chapter("02", PASS)
    code, result = run()
    assert code == Exit.FAILED
    assert statuses(result) == {"01": "failed", "02": "passed"}
    assert "DeadKernelError" in result.chapters[0].error


def test_corrupt_evidence_ends_the_run_with_the_line(make_chapter: MakeChapter, run: Any) -> None:
    make_chapter("01", PASS, "chapter.records_file.open('a').write('{torn')")
    with pytest.raises(RunbookError, match="corrupt evidence") as caught:
        run()
    assert caught.value.where == "01_test.jsonl, line 2"


def test_a_damaged_earlier_run_does_not_hinder_the_next(make_chapter: MakeChapter, run: Any, tmp_path: Path) -> None:
    make_chapter("01", PASS)
    run()
    (tmp_path / "runs" / "latest" / "run.json").write_text("{")
    assert statuses(run()[1]) == {"01": "passed"}


def test_no_chapter_at_all_is_an_error(tmp_path: Path, run: Any) -> None:
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(RunbookError, match="no chapter to run"):
        run()


def test_an_unknown_run_names_the_nearest(make_chapter: MakeChapter, run: Any, tmp_path: Path) -> None:
    make_chapter("01", PASS)
    known = run()[1].id
    with pytest.raises(RunbookError) as caught:
        state.find(known[:-1], tmp_path / "runs")
    assert caught.value.nearest == known


SLOW = "import os, time\n(chapter.run / 'kernel').write_text(str(os.getpid()))\ntime.sleep(60)"


@pytest.fixture
def cut_short(make_chapter: MakeChapter, tmp_path: Path) -> Callable[[signal.Signals], subprocess.Popen[bytes]]:
    """Start a run in another process and send it a signal in mid-chapter."""

    def cut(number: signal.Signals) -> subprocess.Popen[bytes]:
        make_chapter("01", PASS)
        make_chapter("02", SLOW, needs=["01"])
        code = (
            "import sys; from pathlib import Path; from lib.core import profile; from lib.core.run import Run\n"
            f"base = Path({str(tmp_path)!r})\n"
            "sys.exit(Run(profile.load('embedded'), runs=base/'runs', notebooks=base/'notebooks').execute())"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=paths.ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (tmp_path / "runs" / "latest" / "kernel").exists():
            assert time.monotonic() < deadline, "the slow chapter never started"
            time.sleep(0.1)
        process.send_signal(number)
        process.wait(30)
        return process

    return cut


def gone(pid: int, seconds: float = 20) -> bool:
    """Wait until a process is dead; one that nobody reaped counts as dead."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_interrupted_run_keeps_its_state_and_exits_130(cut_short: Any, tmp_path: Path) -> None:
    process = cut_short(signal.SIGINT)
    result = state.read_state(tmp_path / "runs" / "latest")
    assert process.returncode == Exit.INTERRUPTED
    assert statuses(result) == {"01": "passed", "02": "interrupted"}
    assert not result.complete


def test_terminated_run_counts_as_interrupted(cut_short: Any) -> None:
    assert cut_short(signal.SIGTERM).returncode == Exit.INTERRUPTED


def test_killed_run_is_resumed_and_leaves_no_kernel(
    cut_short: Any, make_chapter: MakeChapter, run: Any, tmp_path: Path
) -> None:
    cut_short(signal.SIGKILL)
    before = state.read_state(tmp_path / "runs" / "latest")
    kernel = int((tmp_path / "runs" / "latest" / "kernel").read_text())
    assert gone(kernel), "a kernel outlived its run"
    assert statuses(before) == {"01": "passed", "02": "running"}
    make_chapter("02", PASS, needs=["01"])
    code, after = run()
    assert code == Exit.GREEN
    assert after.id == before.id, "the same run goes on"
    assert after.resumed == 1
    assert statuses(after) == {"01": "passed", "02": "passed"}
    assert after.checks["pass"] == 2
