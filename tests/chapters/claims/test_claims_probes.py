"""Probes: each tells what it saw, where, and keeps what it cannot see apart from what is false."""

import json
import sys
from pathlib import Path

import pytest

from lib.chapters.claims import ask, register
from lib.chapters.claims.known import Known
from lib.chapters.claims.probes import Seen, look
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord, Check, Measurement


@pytest.fixture(scope="module")
def engine() -> Known:
    found = Known()
    assert found.engine, "the environment has an engine"
    return found


def point(
    concurrency: int, value: float, half: float | None = None, name: str = "batching.output_throughput"
) -> Measurement:
    interval = None if half is None else (value - half, value + half)
    return Measurement(name=name, value=value, unit="tok/s", interval=interval, conditions={"concurrency": concurrency})


def seen(probe: register.Section, *records: AnyRecord) -> Seen:
    return look(probe, Known(records=records))


def test_a_flag_of_the_engines_own_parser(engine: Known) -> None:
    assert look(register.Flag(flag="--max-num-seqs"), engine).holds
    assert look(register.Flag(flag="--max-batch-size"), engine).holds is False
    assert "no flag --max-batch-size" in look(register.Flag(flag="--max-batch-size"), engine).told
    assert look(register.Flag(flag="--kv-cache-dtype", choices=["fp8"]), engine).holds
    lacking = look(register.Flag(flag="--kv-cache-dtype", choices=["fp8", "fp7"]), engine)
    assert lacking.holds is False
    assert "without the choice `fp7`" in lacking.told
    assert look(register.Flag(flag="--gpu-memory-utilization", default="0.92"), engine).holds
    assert look(register.Flag(flag="--gpu-memory-utilization", default="0.9"), engine).holds is False


def test_a_beginning_that_one_flag_has_is_that_flag_as_for_argparse() -> None:
    options = {name: ask.Option("", []) for name in ("--max-num-seqs", "--max-model-len")}
    engine = ask.Engine("vllm 0", options, [], Path())
    assert engine.option("--max-num")
    assert engine.option("--max") is None


def test_variables_and_words_of_the_engine(engine: Known) -> None:
    assert look(register.Variable(variable="VLLM_CPU_KVCACHE_SPACE"), engine).holds
    assert look(register.Variable(variable="VLLM_ATTENTION_BACKEND"), engine).holds is False
    assert look(register.Words(source="SpecDecoding metrics"), engine).holds
    assert look(register.Words(source="Speculative decoding enabled"), engine).holds is False
    assert look(register.Words(source="SpecDecoding metrics", file="envs.py"), engine).holds is False
    assert look(register.Words(source="SpecDecoding metrics", file="gone.py"), engine).holds is False


def test_without_an_engine_nothing_is_said_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "installed", lambda: None)
    for probe in (register.Flag(flag="--x-y"), register.Variable(variable="X"), register.Words(source="text")):
        assert look(probe, Known()) == Seen(None, "no engine is installed here", ())
        assert look(register.Not(no=probe), Known()).holds is None
    assert look(register.Formula(formula="'fp8' in choices('--kv-cache-dtype')"), Known()).holds is None


def test_the_engine_is_asked_once_and_again_when_its_answer_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def answer(kept: Path) -> dict[str, object]:
        asked.append(kept)
        told = {"options": {"--one": {"default": "1", "choices": []}}, "variables": ["X"]}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(told))
        return told

    monkeypatch.setattr(ask, "_asked", answer)
    for _ in range(2):
        found = ask.installed(tmp_path)
        assert found
        assert found.option("--one") == ask.Option("1", [])
    assert len(asked) == 1
    asked[0].write_text('{"options": ')
    assert ask.installed(tmp_path)
    assert len(asked) == 2


def test_an_engine_that_cannot_be_asked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho ImportError: no libnuma >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(RunbookError, match="cannot be asked: ImportError: no libnuma"):
        ask.installed(tmp_path / "cache")


def test_packages_and_files() -> None:
    assert seen(register.Package(package="pydantic")).holds
    assert seen(register.Package(package="vllm-gguf-plugin")).holds is False
    unit = "runbook/templates/systemd/vllm.service.j2"
    found = seen(register.File(file=unit, line="^Restart=on-failure"))
    assert (found.holds, found.told, found.origins) == (True, f"{unit} has `Restart=on-failure`", ("deployed files",))
    assert seen(register.File(file=unit, line="^WatchdogSec=")).holds is False
    with pytest.raises(RunbookError, match="names a file that is not there"):
        seen(register.File(file="runbook/gone.j2", line="x"))


def test_a_check_of_this_run() -> None:
    probe = register.Checked(check="serving.start")
    good = Check(name="serving.start", status="pass", observed="ready after 28 s")
    bad = good.model_copy(update={"status": "fail"})
    skipped = good.model_copy(update={"status": "skip"})
    assert seen(probe, good).holds
    assert seen(probe, bad).holds is False
    assert seen(probe, bad, good).holds
    assert seen(probe, skipped).holds is None
    assert seen(probe).holds is None
    assert seen(register.Checked(check="serving.start", observed=r"after \d+ s"), good).evidence == ("serving.start",)
    assert seen(register.Checked(check="serving.start", observed="after 1 s"), good).holds is False


@pytest.mark.parametrize(
    ("value", "half", "limits", "holds"),
    [
        (10, 1, {"at_least": 8.0}, True),
        (10, 1, {"at_least": 12.0}, False),
        (10, 1, {"at_least": 10.5}, None),
        (10, 1, {"at_most": 12.0}, True),
        (10, 1, {"at_most": 8.0}, False),
        (10, 1, {"at_most": 10.0}, None),
        (10, 1, {"at_least": 8.0, "at_most": 12.0}, True),
        (10, 1, {"at_least": 8.0, "at_most": 8.5}, False),
        (10, 3, {"at_least": 8.0, "at_most": 12.0}, None),
        (10, None, {"at_least": 10.0}, True),
        (10, None, {"at_most": 9.9}, False),
    ],
)
def test_a_measurement_decides_only_where_its_interval_does(
    value: float, half: float | None, limits: dict[str, float], holds: bool | None
) -> None:
    found = seen(register.Measured(measured="batching.output_throughput", **limits), point(1, value, half))
    assert found.holds is holds
    assert found.open is (holds is None)
    assert found.value == value


def test_the_ratio_of_two_measurements_has_the_widest_interval_of_both() -> None:
    probe = register.Measured(
        measured="batching.output_throughput", where={"concurrency": "highest"}, over={"concurrency": 1}, at_least=2
    )
    found = seen(probe, point(1, 10, 1), point(8, 40, 4), point(32, 60, 6))
    assert found.value == 6
    assert found.interval == pytest.approx((54 / 11, 66 / 9))
    assert (found.unit, found.holds) == ("×", True)
    assert seen(probe, point(1, 10, 1)).told == "batching.output_throughput was measured under one condition only"


def test_the_best_and_the_lowest() -> None:
    records = (point(1, 1.2), point(2, 0.9), point(4, 1.1))
    best = register.Measured(measured="batching.output_throughput", best=True, at_least=1)
    assert seen(best, *records).value == 1.2
    lowest = register.Measured(measured="batching.output_throughput", where={"concurrency": "lowest"}, at_least=1)
    assert seen(lowest, *records[1:]).value == 0.9
    gone = register.Measured(measured="batching.output_throughput", where={"concurrency": 64}, at_least=1)
    assert seen(gone, *records).holds is None
    assert "not measured in this run with concurrency 64" in seen(gone, *records).told


def test_the_opposite_keeps_what_was_seen() -> None:
    inner = register.Package(package="pydantic")
    assert seen(register.Not(no=inner)).holds is False
    assert seen(register.Not(no=inner)).told == seen(inner).told
