"""The processor's abilities, and the number format that follows from them."""

import os
import time
from pathlib import Path

import pytest

from lib.core import processor, profile


def cpuinfo(tmp_path: Path, flags: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n")
    return path


def test_instruction_sets_are_read(tmp_path: Path) -> None:
    assert processor.flags(cpuinfo(tmp_path, "fpu avx2 avx512f")) == {"fpu", "avx2", "avx512f"}
    assert processor.flags(Path("/dev/null")) == set()


@pytest.mark.parametrize(("flags", "dtype"), [("fpu avx2", "float32"), ("fpu avx2 avx512f amx_bf16", "bfloat16")])
def test_native_is_what_the_processor_computes(
    flags: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor.computes_bfloat16, "__defaults__", (cpuinfo(tmp_path, flags),))
    assert profile.load("embedded").serving.dtype == dtype
    assert profile.load("embedded", {"serving.dtype": "bfloat16"}).serving.dtype == "bfloat16"
    assert profile.load("rtx-pro-6000").serving.dtype == "auto"


def test_the_share_that_a_host_takes_is_told() -> None:
    assert processor.taken(processor.Spent(1.0, 100.0), processor.Spent(3.0, 120.0)) == pytest.approx(0.1)
    assert processor.taken(processor.Spent(1.0, 100.0), processor.Spent(1.0, 100.0)) == 0


def test_time_passes_on_every_processor() -> None:
    before, began = processor.spent(), time.monotonic()
    time.sleep(0.5)
    after, passed = processor.spent(), time.monotonic() - began
    assert after.total - before.total == pytest.approx(passed * (os.cpu_count() or 1), rel=0.3)
    assert 0 <= processor.taken(before, after) <= 1
