"""The probe that computes: right here on the processor, and every way in which it can go wrong elsewhere."""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Changed, fuzz

from lib.host import torch_probe
from lib.host.probe import LiveHost, Output

COMMAND = "python -m lib.host.torch_probe cuda"


def look(output: Output) -> torch_probe.Facts:
    return torch_probe.look(Changed(commands={COMMAND: output}), "cuda")


def test_products_on_this_processor_are_right() -> None:
    facts = torch_probe.look(LiveHost(), "cpu")
    assert facts.failure == ""
    assert [kernel.dtype for kernel in facts.kernels] == ["bfloat16", "float32"]
    assert all(0 < kernel.ratio <= 1 for kernel in facts.kernels)
    assert all(len(kernel.gflops) == torch_probe.REPEATS for kernel in facts.kernels)
    assert facts.isa


def test_a_type_that_is_only_emulated_is_timed_with_smaller_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    def times(_device: str, _kind: Any, size: int, count: int) -> list[float]:
        return [2.0 * (size / 1024) ** 3] * count  # two seconds for the usual square

    monkeypatch.setattr(torch_probe, "_times", times)
    size, rates = torch_probe._rates("cpu", None)
    assert size == 512
    assert rates == [1.1] * torch_probe.REPEATS
    assert torch_probe._rates("cuda", None)[0] == torch_probe.RATE_SIZE["cuda"]


def test_a_missing_device_is_a_finding() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a card")
    facts = torch_probe.probe("cuda")
    assert facts.torch == torch.__version__
    assert facts.kernels == []
    assert facts.failure


def test_a_kernel_that_computes_wrongly_breaks_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    right = torch.Tensor.__matmul__

    def wrong(left: Any, other: Any) -> Any:
        product = right(left, other)
        if product.dtype == torch.bfloat16:
            product = product.clone()
            product[3, 5] += 1.0  # one element of a million, by a thirtieth of its usual size
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", wrong)
    bfloat16, float32 = torch_probe.probe("cpu").kernels
    assert bfloat16.ratio > 1
    assert float32.ratio <= 1


def test_a_torch_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = ModuleType("torch")
    fake.__version__ = "2.14.0+cu130"
    fake.version = SimpleNamespace(cuda="13.0")

    def refuse(_: int) -> str:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    fake.cuda = SimpleNamespace(get_arch_list=lambda: ["sm_90"], get_device_name=refuse)
    fake.backends = SimpleNamespace(cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2"))
    monkeypatch.setitem(sys.modules, "torch", fake)
    facts = torch_probe.probe("cuda")
    assert facts.failure == "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert facts.archs == ["sm_90"]


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch cannot be imported" in torch_probe.probe("cpu").failure


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (Output(None, reason="timeout"), "no answer within 180 s"),
        (Output(None, reason="missing"), "not recorded"),
        (Output(None, reason="forbidden"), "could not be started"),
        (Output(-11), "killed by signal 11"),
        (Output(1, "", "Traceback\nImportError: libcudart.so.13\n"), "ImportError: libcudart.so.13"),
        (Output(0, "half a li"), "half a li"),
        (Output(3), "exit code 3"),
        (Output(0, "[1, 2]\n"), "[1, 2]"),
    ],
)
def test_a_crash_a_hang_and_nonsense_are_findings(output: Output, words: str) -> None:
    facts = look(output)
    assert words in facts.failure
    assert facts.kernels == []


def test_warnings_before_the_answer_are_passed_over() -> None:
    assert look(Output(0, 'warning: old\n{"torch": "2.14.0"}\n')).torch == "2.14.0"


@given(st.text())
@fuzz
def test_any_output_is_read(text: str) -> None:
    assert isinstance(look(Output(0, text)).failure, str)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["torch", "kernels", "archs", "x"]), x),
    )
)
@fuzz
def test_any_json_is_read(value: object) -> None:
    assert isinstance(look(Output(0, json.dumps(value))), torch_probe.Facts)
