"""A silent fallback becomes a verdict."""

from pathlib import Path

import pytest
from served import LOGS, MODEL

from lib.core import profile as profiles
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Kernels, Model
from lib.engine.serve import kernels, log

CODER = catalogue.get("qwen3-coder-30b-a3b")
SMALL = catalogue.get(MODEL)
BF16_LIBRARY = "_C.abi3.so"


def seen(name: str = "constructed_moe_bf16_sm120", **replaced: str) -> log.Readback:
    return log.read((LOGS / f"{name}.txt").read_text()).model_copy(update=replaced)


def expecting(attention: list[str], moe: list[str]) -> Model:
    return CODER.model_copy(update={"kernels": {"12.0": Kernels(attention=attention, moe=moe)}})


def verdicts(model: Model, told: log.Readback, where: str = "12.0") -> dict[str, tuple[str, str, str]]:
    return {c.name: (c.status, c.observed, c.fix) for c in kernels.checks(model, told, [], where)}


def test_the_expected_kernels_pass_however_they_are_spelt() -> None:
    found = verdicts(expecting(["FLASH_ATTN"], ["FLASHINFER_CUTLASS"]), seen())
    assert {name: status for name, (status, _, _) in found.items()} == {
        "serving.kernel.attention": "pass",
        "serving.kernel.moe": "pass",
    }
    assert found["serving.kernel.attention"][1].startswith("FLASH_ATTN 2; possible here: FLASH_ATTN, FLASHINFER")


def test_a_silent_fallback_fails_with_the_flag_that_names_the_kernel() -> None:
    found = verdicts(expecting(["FLASH_ATTN"], ["FlashInfer CUTLASS"]), seen(moe="TRITON", attention="TRITON_ATTN"))
    status, observed, fix = found["serving.kernel.moe"]
    assert (status, observed) == ("fail", "TRITON")
    assert "--moe-backend flashinfer_cutlass " in fix
    assert found["serving.kernel.attention"][0] == "fail"
    assert "--attention-backend FLASH_ATTN " in found["serving.kernel.attention"][2]


def test_one_of_several_is_enough() -> None:
    told = seen("constructed_gpt_oss_sm120")
    assert verdicts(expecting(["FLASHINFER", "TRITON_ATTN"], ["MARLIN"]), told)["serving.kernel.attention"][0] == "pass"


def test_a_log_that_names_none_warns_instead_of_passing() -> None:
    assert verdicts(expecting(["FLASH_ATTN"], ["TRITON"]), seen(attention=""))["serving.kernel.attention"][0] == "warn"


def test_a_card_that_nobody_expected_anything_of_warns() -> None:
    found = verdicts(expecting(["FLASH_ATTN"], ["TRITON"]), seen(), where="10.3")
    assert found["serving.kernel.attention"][0] == "warn"
    assert "runbook/models.yml" in found["serving.kernel.moe"][2]


def test_a_dense_model_has_no_kernel_of_experts() -> None:
    dense = catalogue.get("qwen3-embedding-8b")
    assert [check.name for check in kernels.checks(dense, seen(), [], "12.0")] == ["serving.kernel.attention"]


@pytest.mark.parametrize(
    ("flags", "libraries", "status"),
    [
        ({"avx512f", "avx512_bf16"}, [BF16_LIBRARY], "pass"),
        ({"avx512f", "avx512_bf16"}, ["_C_AVX2.abi3.so"], "fail"),
        ({"avx512f"}, ["_C_AVX512.abi3.so"], "pass"),
        ({"avx2"}, ["_C_AVX2.abi3.so"], "pass"),
        ({"avx2"}, [], "fail"),
    ],
)
def test_a_cpu_runs_the_library_built_for_it(
    flags: set[str], libraries: list[str], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "cpu_flags", lambda: flags)
    assert [check.status for check in kernels.checks(SMALL, seen("start_eager"), libraries, "cpu")] == [status]


def test_instruction_sets_are_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f\nbugs\t\t:\n")
    assert kernels.cpu_flags(cpuinfo) == {"fpu", "avx2", "avx512f"}


def test_where_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.capability(profiles.load("embedded")) == "cpu"
    monkeypatch.setattr(kernels.nvml, "snapshot", lambda: {"cards": [{"compute_capability": "12.0"}]})
    assert kernels.capability(profiles.load("rtx-pro-6000")) == "12.0"
    monkeypatch.setattr(kernels.nvml, "snapshot", lambda: {"cards": []})
    assert kernels.capability(profiles.load("rtx-pro-6000")) == "unknown"
