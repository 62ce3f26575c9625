"""The probe on this machine: plausible, repeated, bound to the engine's CPUs; and every way in which it can fail."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rooflines import facts

from lib.core import profile as profiles
from lib.engine.roofline import limits, probe
from lib.engine.roofline.probe import Facts, Series


@pytest.fixture(scope="session")
def measured() -> Facts:
    """This machine's limits, measured as a chapter does, for a second each."""
    return limits.measure(profiles.load("embedded", {"roofline.seconds": 1}))


@pytest.mark.alone
def test_this_machine_has_plausible_limits(measured: Facts) -> None:
    assert measured.failure == ""
    assert limits.check(measured).status in ("pass", "warn"), "warns where memory is short"
    assert 1e9 < limits.bandwidth(measured) < 2e12
    assert {s.name for s in measured.series} == {"amax", "sum", "dot", "copy", "bfloat16", "float32"}
    assert all(probe.FEWEST <= len(series.rates) <= probe.REPEATS for series in measured.series)
    for dtype in ("bfloat16", "float32"):
        series = measured.matmul(dtype)
        assert series
        assert 1e9 < max(series.rates) < 1e15


@pytest.mark.alone
def test_reading_is_as_fast_as_another_program_finds(measured: Facts) -> None:
    words = np.ones(32 << 20)  # 256 MiB, read by one thread
    seconds = []
    for _ in range(5):
        seconds.append(_time(lambda: float(words.sum())))
    alone = words.nbytes / min(seconds)
    # Other work on this machine disturbs either by several times; an error of units would be larger still.
    assert alone / 10 < limits.bandwidth(measured) < 10 * alone * measured.threads


def _time(call: Any) -> float:
    return probe._cpu_timer(call)


def test_a_buffer_that_the_cache_could_hold_is_told() -> None:
    assert limits.check(facts()).status == "pass"
    tight = limits.check(facts().model_copy(update={"buffer_bytes": 2 << 25}))
    assert tight.status == "warn"
    assert "2.0 times the last-level cache" in tight.observed
    assert "free memory" in tight.fix


@pytest.mark.alone
def test_records_have_intervals_and_roofs_are_the_fastest_repeats(measured: Facts) -> None:
    found = limits.measurements(measured)
    names = [(m.name, m.conditions.get("kind") or m.conditions.get("dtype") or m.conditions.get("of")) for m in found]
    assert names == [
        ("roofline.bandwidth", "read"),
        ("roofline.bandwidth", "copy"),
        ("roofline.matmul", "bfloat16"),
        ("roofline.matmul", "float32"),
        ("roofline.roof", "read"),
        ("roofline.roof", "bfloat16"),
        ("roofline.roof", "float32"),
    ]
    for m in found[:4]:
        assert m.interval
        assert m.interval[0] <= m.value <= m.interval[1]
        assert m.method
    assert found[4].value >= found[0].value


def test_the_time_is_bounded_but_never_the_repeats() -> None:
    slow = [lambda: _sleep(0.02)]
    (rates,) = probe._in_turn([(1.0, slow[0])], 0.0, probe._cpu_timer)
    assert len(rates) == probe.FEWEST


def _sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


def test_a_type_that_the_processor_emulates_is_measured_on_a_smaller_product(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def product(device: Any, dtype: str, size: int) -> Any:
        sizes.append(size)
        return lambda: size

    for seconds, size in [(1e-4, 2048), (0.025, 512), (9.0, probe.SMALLEST_SQUARE)]:
        assert probe._fitting("cpu", "bfloat16", product, lambda call, took=seconds: took if call() else 0) == size
    assert set(sizes) == {probe.SMALLEST_SQUARE}
    assert probe._fitting("cuda", "bfloat16", product, lambda _: 9.0) == probe.SQUARE["cuda"]


def test_a_type_that_the_device_lacks_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SQUARE", {"cpu": 64})
    plain = probe._plain

    def no_float32(device: Any, dtype: str, size: int) -> Any:
        if dtype == "float32":
            raise RuntimeError("not implemented for this device\nmore")
        return plain(device, dtype, size)

    monkeypatch.setattr(probe, "_plain", no_float32)
    series, notes = probe._products("cpu", 0.1, probe._cpu_timer)
    assert [s.name for s in series] == ["bfloat16"]
    assert notes == ["float32: RuntimeError: not implemented for this device"]


def test_a_missing_card_is_a_finding() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a card")
    found = probe.probe("cuda", 0.1)
    assert found.torch == torch.__version__
    assert found.failure
    assert limits.check(found).status == "fail"
    assert limits.measurements(found) == []


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch" in probe.probe("cpu", 0.1).failure


@pytest.mark.parametrize(
    ("code", "out", "err", "words"),
    [
        (-9, "", "", "killed by signal 9"),
        (1, "", "Traceback\nImportError: libcudart.so.13\n", "ImportError: libcudart.so.13"),
        (0, "half a li", "", "half a li"),
        (3, "", "", "exit code 3"),
    ],
)
def test_a_crash_and_nonsense_are_findings(
    monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str, words: str
) -> None:
    done = SimpleNamespace(returncode=code, stdout=out, stderr=err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    found = limits.measure(profiles.load("embedded"))
    assert words in found.failure
    assert limits.check(found).status == "fail"
    assert words in limits.check(found).observed


def test_a_hang_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("probe", timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "no answer within" in limits.measure(profiles.load("embedded")).failure


def test_warnings_before_the_answer_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Facts(torch="2.13.0").model_dump_json()
    done = SimpleNamespace(returncode=0, stdout=f"warning: old\n{line}\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert limits.measure(profiles.load("embedded")).torch == "2.13.0"


def test_the_fastest_reader_is_the_limit() -> None:
    found = facts(read=[10e9, 12e9, 11e9])
    slow = Series(kind="read", name="sum", rates=[5e9, 50e9, 5e9])  # one lucky repeat is no faster reader
    both = found.model_copy(update={"series": [slow, *found.series]})
    assert limits.bandwidth(both) == 12e9


@pytest.mark.parametrize(("rates", "status"), [([20e9, 21e9, 20e9], "pass"), ([20e9, 45e9, 20e9], "warn")])
def test_a_machine_that_is_not_quiet_is_told(rates: list[float], status: str) -> None:
    assert limits.quiet(facts(read=rates)).status == status


@pytest.mark.parametrize(("narrow", "status"), [(2e11, "pass"), (3e10, "warn")])
def test_emulated_bfloat16_is_told(narrow: float, status: str) -> None:
    check = limits.emulated(facts(bfloat16=narrow, float32=1e11))
    assert check
    assert check.status == status


def test_a_card_has_no_float32_to_compare() -> None:
    assert limits.emulated(facts()) is None


class TestEngineCpus:
    """The CPUs that vLLM computes on, as its own rule picks them."""

    def machine(self, root: Path, siblings: dict[int, str], node: int = 0) -> Path:
        for cpu, shared in siblings.items():
            (root / f"cpu/cpu{cpu}/topology").mkdir(parents=True)
            (root / f"cpu/cpu{cpu}/topology/thread_siblings_list").write_text(f"{shared}\n")
            (root / f"cpu/cpu{cpu}/node{node}").mkdir()
        return root

    def test_a_list_is_a_list(self) -> None:
        assert limits.engine_cpus("0-3,8", range(16)) == [0, 1, 2, 3, 8]
        assert limits.engine_cpus("4-5|6-7", range(16)) == [4, 5]
        assert limits.engine_cpus("nobind", [2, 1]) == [1, 2]

    def test_auto_is_one_thread_a_core_but_the_last(self, tmp_path: Path) -> None:
        root = self.machine(tmp_path, {0: "0,4", 1: "1,5", 2: "2,6", 3: "3,7", 4: "0,4", 5: "1,5", 6: "2,6", 7: "3,7"})
        assert limits.engine_cpus("auto", range(8), root) == [4, 5, 6]

    def test_auto_keeps_to_the_first_memory_node(self, tmp_path: Path) -> None:
        self.machine(tmp_path, {0: "0", 1: "1"})
        root = self.machine(tmp_path, {2: "2", 3: "3"}, node=1)
        assert limits.engine_cpus("auto", range(4), root) == [0]

    def test_a_single_cpu_is_kept(self, tmp_path: Path) -> None:
        assert limits.engine_cpus("auto", [0], tmp_path) == [0]


def test_caches_are_counted_once_each(tmp_path: Path) -> None:
    for cpu, shared in ((0, "0-1"), (1, "0-1"), (2, "2-3")):
        for index, (level, kind, size) in enumerate(((1, "Instruction", "64K"), (2, "Unified", "1024K"))):
            _cache(tmp_path / f"cpu{cpu}/cache/index{index}", level, kind, size, str(cpu))
        _cache(tmp_path / f"cpu{cpu}/cache/index2", 3, "Unified", "32768K", shared)
    assert probe.last_level_cache({0, 1, 2}, tmp_path) == 64 << 20
    assert probe.last_level_cache({0}, tmp_path) == 32 << 20
    assert probe.last_level_cache({7}, tmp_path) == 0


def _cache(folder: Path, level: int, kind: str, size: str, shared: str) -> None:
    folder.mkdir(parents=True)
    for name, text in (("level", str(level)), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
        (folder / name).write_text(f"{text}\n")


def test_a_small_machine_gets_a_small_buffer() -> None:
    assert probe._size("cpu", 32 << 20, 23 << 30) == 256 << 20
    assert probe._size("cpu", 96 << 20, 64 << 30) == 768 << 20
    assert probe._size("cpu", 32 << 20, 300 << 20) == 100 << 20
    assert probe._size("cuda", 128 << 20, 90 << 30) == 2 << 30


def test_the_probe_says_what_it_did_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr(probe, "probe", lambda *args: seen.append(args) or Facts(torch="x"))
    monkeypatch.setattr(probe.os, "sched_setaffinity", lambda _, cpus: seen.append(cpus))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    probe.main(["cpu", "0.5", "0,1"])
    assert seen == [{0, 1}, ("cpu", 0.5, 2)]
    assert probe.os.environ["OMP_NUM_THREADS"] == "2"
    assert json.loads(capsys.readouterr().out)["torch"] == "x"
