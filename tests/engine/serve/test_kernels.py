"""A silent fallback becomes a verdict."""

import pytest
from served import LOGS, MODEL

from lib.core import processor
from lib.core import profile as profiles
from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Accepted, Kernels, Model, Pitfall
from lib.engine.serve import kernels, log

CODER = catalogue.get("qwen3-coder-30b-a3b")
FP8 = catalogue.get("qwen3-coder-30b-a3b-fp8")
GPT_OSS = catalogue.get("gpt-oss-120b")
SMALL = catalogue.get(MODEL)
SERVER = profiles.load("rtx-pro-6000")
BF16_LIBRARY = "_C.abi3.so"
BF16 = "constructed_0_33_moe_bf16_sm120"


def seen(name: str = BF16, **replaced: object) -> log.Readback:
    return log.read((LOGS / f"{name}.txt").read_text()).model_copy(update=replaced)


def flags(*words: str, **serving: object) -> Profile:
    return profiles.change(SERVER, "serving", extra_args=list(words), **serving)


def expecting(model: Model = CODER, **fields: object) -> Model:
    return model.model_copy(update={"kernels": {"12.0": Kernels.model_validate(fields)}})


def judged(
    model: Model, told: log.Readback, where: str = "12.0", profile: Profile = SERVER, libraries: tuple[str, ...] = ()
) -> dict[str, Check]:
    found = kernels.checks(profile, model, told, libraries, where)
    return {check.name.removeprefix("serving.kernel."): check for check in found}


def statuses(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.status for name, check in found.items()}


ALL_PASS = {"attention": "pass", "moe": "pass", "kv_cache": "pass", "graphs": "pass"}


@pytest.mark.parametrize(
    ("model", "name", "where"),
    [
        (CODER, BF16, "12.0"),
        (CODER, "constructed_0_26_moe_bf16_sm90", "9.0"),
        (GPT_OSS, "constructed_0_26_gpt_oss_sm90", "9.0"),
        (GPT_OSS, "constructed_0_33_gpt_oss_sm120", "12.0"),
        (GPT_OSS, "constructed_0_33_gpt_oss_flashinfer_sm120", "12.0"),
    ],
)
def test_what_vllm_chooses_by_itself_passes(model: Model, name: str, where: str) -> None:
    found = judged(model, seen(name), where)
    assert statuses(found) == ALL_PASS
    for check in found.values():
        assert check.expected
        assert check.observed
        assert check.source
        assert not check.fix


def test_names_are_compared_however_they_are_spelt() -> None:
    found = judged(expecting(attention=["FLASH_ATTN"], moe=["FLASHINFER_CUTLASS"]), seen())
    assert statuses(found) == ALL_PASS
    assert found["attention"].observed.startswith("FLASH_ATTN 2; possible here: FLASH_ATTN, FLASHINFER")
    assert kernels.same("FLASHINFER_CUTLASS_MXFP4_BF16", "flashinfer_cutlass")
    assert kernels.same("DEEPGEMM_MXFP4", "deep_gemm")
    assert kernels.same("VLLM_CUTLASS", "cutlass")
    assert not kernels.same("TRITON", "TRITON_UNFUSED")


def test_an_unknown_kernel_fails_with_the_flag_that_names_the_right_one() -> None:
    model = expecting(attention=["FLASH_ATTN"], moe=["FlashInfer CUTLASS"])
    found = judged(model, seen(moe="TRITON", attention="TRITON_ATTN"))
    assert found["moe"].status == found["attention"].status == "fail"
    assert found["moe"].observed == "TRITON"
    assert "--moe-backend flashinfer_cutlass " in found["moe"].fix
    assert "--attention-backend FLASH_ATTN " in found["attention"].fix


@pytest.mark.parametrize("model", [CODER, FP8, GPT_OSS], ids=lambda model: model.name)
def test_the_catalogue_accepts_slower_ones_as_a_warning_with_reason_flag_and_source(model: Model) -> None:
    known = model.kernels["12.0"]
    accepted = [entry for entry in known.accepted if entry.kind == "moe"]
    assert accepted
    for entry in accepted:
        check = judged(model, seen(moe=entry.name, quantization=_quantization(model)))["moe"]
        assert check.status == "warn"
        assert entry.reason in check.fix
        assert kernels.flag("moe", known.moe[0]) in check.fix
        assert check.source == entry.source


def _quantization(model: Model) -> str:
    return kernels.QUANTIZATIONS[model.format][0]


def test_triton_attention_where_flashinfer_was_expected_warns_with_the_flag() -> None:
    profile = flags(kv_cache_dtype="fp8")
    found = judged(CODER, seen(attention="TRITON_ATTN", kv_cache_dtype="fp8"), profile=profile)
    assert statuses(found)["attention"] == "warn"
    assert "--attention-backend FLASHINFER" in found["attention"].fix


def test_marlin_where_fp8_tensor_cores_were_expected_fails() -> None:
    found = judged(FP8, seen("constructed_0_26_fp8_marlin_sm120"))
    assert (found["moe"].status, found["linear"].status) == ("fail", "fail")
    for kind, flag in (("moe", "--moe-backend deep_gemm"), ("linear", "--linear-backend deep_gemm")):
        assert flag in found[kind].fix
        assert "tensor cores unused" in found[kind].fix
        assert "does not have native support for FP8" in found[kind].observed


def test_marlin_where_fp4_tensor_cores_were_expected_fails() -> None:
    nvfp4 = expecting(attention=["FLASH_ATTN"], moe=["FLASHINFER_CUTLASS"])
    check = judged(nvfp4, seen(moe="MARLIN"))["moe"]
    assert check.status == "fail"
    assert "tensor cores unused" in check.fix


def test_marlin_is_right_for_gpt_oss_on_this_card_and_triton_is_slower() -> None:
    told = seen("constructed_0_33_gpt_oss_sm120")
    assert judged(GPT_OSS, told)["moe"].status == "pass"
    check = judged(GPT_OSS, told.model_copy(update={"moe": "TRITON"}))["moe"]
    assert (check.status, "10 % slower" in check.fix) == ("warn", True)


def test_a_second_kernel_in_some_layers_is_judged_too() -> None:
    check = judged(CODER, seen(moe_also=["MARLIN"]))["moe"]
    assert check.status == "fail"
    assert check.observed == "FlashInfer CUTLASS, MARLIN"


def test_a_draft_model_may_bring_its_own() -> None:
    told = seen(moe_also=["TRITON"], attention_also=["TRITON_ATTN"], speculation="eagle3", speculation_tokens=4)
    spec = flags("--speculative-config", '{"method": "eagle3", "model": "d", "num_speculative_tokens": 4}')
    found = judged(CODER, told, profile=spec)
    assert statuses(found) == ALL_PASS | {"speculation": "pass"}
    assert "also TRITON_ATTN" in found["attention"].observed


def test_the_version_of_flash_attention_counts() -> None:
    check = judged(CODER, seen("constructed_0_26_moe_bf16_sm90", flash_attention="2"), "9.0")["attention"]
    assert check.status == "fail"
    assert "--attention-config '{\"flash_attn_version\": 3}'" in check.fix
    assert check.expected == "FLASH_ATTN 3 at compute capability 9.0"
    asked = flags("--attention-config", '{"flash_attn_version": 2}')
    told = seen("constructed_0_26_moe_bf16_sm90", flash_attention="2")
    assert judged(CODER, told, "9.0", asked)["attention"].status == "pass"


def test_an_fp8_cache_needs_another_attention() -> None:
    found = judged(FP8, seen("constructed_0_33_fp8_kv_fp8_sm120"), profile=flags(kv_cache_dtype="fp8"))
    assert statuses(found) == {
        "attention": "warn",
        "moe": "pass",
        "linear": "pass",
        "kv_cache": "pass",
        "graphs": "pass",
    }
    assert "random output" in found["attention"].observed
    assert found["attention"].source.endswith("issues/41651")
    assert "--attention-backend TRITON_ATTN" in found["attention"].fix
    eager = seen("constructed_0_33_fp8_kv_fp8_sm120", eager=True)
    assert judged(FP8, eager, profile=flags(kv_cache_dtype="fp8"))["attention"].status == "pass", "it needs graphs"


def test_an_exotic_cache_has_no_expected_attention() -> None:
    told = seen(kv_cache_dtype="turboquant_4bit_nc", attention="TURBOQUANT")
    assert judged(CODER, told, profile=flags(kv_cache_dtype="turboquant_4bit_nc"))["attention"].status == "warn"


@pytest.mark.parametrize(
    ("version", "status"), [("0.26.0", "warn"), ("", "warn"), ("0.32.0", "pass"), ("0.33.1", "pass")]
)
def test_trouble_that_was_put_right_warns_only_before(version: str, status: str) -> None:
    told = seen("constructed_0_33_gpt_oss_flashinfer_sm120", version=version)
    check = judged(GPT_OSS, told)["attention"]
    assert check.status == status
    assert ("52148" in check.source) is (status == "warn")


def test_trouble_of_the_experts_is_told_with_them_and_a_failure_stays_one() -> None:
    trouble = Pitfall(moe="TRITON", trouble="it is slow", fix="tune it", source="https://example.org/1")
    model = expecting(attention=["FLASH_ATTN"], moe=["TRITON"], pitfalls=[trouble])
    found = judged(model, seen(moe="TRITON"))
    assert (found["moe"].status, found["moe"].source) == ("warn", "https://example.org/1")
    assert found["attention"].status == "pass"
    failing = expecting(attention=["FLASH_ATTN"], moe=["DEEPGEMM"], pitfalls=[trouble])
    assert judged(failing, seen(moe="TRITON"))["moe"].status == "fail"


def test_untuned_experts_are_told() -> None:
    model = expecting(attention=["TRITON_ATTN"], moe=["TRITON"])
    check = judged(model, seen("constructed_0_33_eager_triton_sm120"))["moe"]
    assert check.status == "warn"
    assert "VLLM_TUNED_CONFIG_FOLDER" in check.fix
    assert check.source.endswith("issues/44688")


@pytest.mark.parametrize(
    ("words", "told", "kind", "status"),
    [
        (("--attention-backend", "FLASHINFER"), {"attention": "FLASHINFER"}, "attention", "pass"),
        (("--attention-backend=FLASHINFER",), {}, "attention", "fail"),
        (("--attention-config", '{"backend": "TRITON_ATTN"}'), {"attention": "TRITON_ATTN"}, "attention", "pass"),
        (("--moe-backend", "triton"), {"moe": "TRITON"}, "moe", "pass"),
        (("--moe-backend", "triton"), {}, "moe", "fail"),
        (("--moe_backend", "auto"), {}, "moe", "pass"),
        (("--kernel-config", '{"moe_backend": "marlin"}'), {"moe": "MARLIN"}, "moe", "pass"),
        (("--linear-backend", "cutlass"), {"linear": ["CutlassFp8BlockScaledMMKernel"]}, "linear", "pass"),
        (("--linear-backend", "cutlass"), {"linear": ["DeepGemmFp8BlockScaledMMKernel"]}, "linear", "fail"),
    ],
)
def test_a_kernel_that_was_asked_for_must_be_the_one(
    words: tuple[str, ...], told: dict[str, object], kind: str, status: str
) -> None:
    assert judged(CODER, seen(**told), profile=flags(*words))[kind].status == status


def test_a_model_quantised_while_loading_is_not_held_against_its_stored_format() -> None:
    found = judged(CODER, seen(quantization="fp8", moe="TRITON", linear=["CutlassFP8ScaledMMLinearKernel"]))
    assert (found["moe"].status, found["linear"].status) == ("warn", "warn")
    widened = judged(CODER, seen(quantization="fp8", moe="MARLIN"))["moe"]
    assert widened.status == "fail", "weights only is a fallback for every format"


def test_a_log_that_names_none_warns_instead_of_passing() -> None:
    found = judged(FP8, log.Readback())
    assert statuses(found) == dict.fromkeys(("attention", "moe", "linear", "kv_cache", "graphs"), "warn")


def test_a_card_that_nobody_expected_anything_of_warns() -> None:
    found = judged(CODER, seen(), "10.3")
    assert found["attention"].status == found["moe"].status == "warn"
    assert "runbook/models.yml" in found["moe"].fix
    assert found["attention"].expected == "nothing known at compute capability 10.3"


def test_what_does_not_apply_is_not_recorded() -> None:
    dense = catalogue.get("qwen3-embedding-8b")
    assert set(judged(dense, seen())) == {"attention", "kv_cache", "graphs"}
    assert "linear" in judged(catalogue.get("qwen3-32b-fp8"), seen("constructed_0_33_fp8_kv_fp8_sm120"))
    encoder = catalogue.get("minilm-l6")
    assert "kv_cache" not in judged(encoder, seen("start_eager"), "cpu", profiles.load("embedded"))


def test_every_family_of_the_catalogue_names_kernels_that_flags_can_ask_for() -> None:
    for model in catalogue.load().values():
        for where, known in model.kernels.items():
            if where == "cpu":
                continue
            assert known.attention
            assert bool(known.moe) == bool(model.architecture.experts)
            assert bool(known.linear) == (model.format == "fp8_block")
            for name in known.linear:
                assert not kernels.flag("linear", name).endswith("auto"), name
            for entry in known.accepted:
                assert entry.source


def test_accepted_modes_of_graphs_belong_to_the_kinds() -> None:
    assert Accepted(kind="graphs", name="PIECEWISE", reason="r").source == ""


@pytest.mark.parametrize(
    ("instructions", "libraries", "status"),
    [
        ({"avx512f", "avx512_bf16"}, (BF16_LIBRARY,), "pass"),
        ({"avx512f", "avx512_bf16"}, ("_C_AVX2.abi3.so",), "fail"),
        ({"avx512f"}, ("_C_AVX512.abi3.so",), "pass"),
        ({"avx2"}, ("_C_AVX2.abi3.so",), "pass"),
        ({"avx2"}, (), "fail"),
    ],
)
def test_a_cpu_runs_the_library_built_for_it(
    instructions: set[str], libraries: tuple[str, ...], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "flags", lambda: instructions)
    profile = profiles.load("embedded", {"serving.dtype": "bfloat16"})
    found = judged(SMALL, seen("start_eager"), "cpu", profile, libraries)
    assert statuses(found) == {"attention": status, "kv_cache": "pass", "graphs": "pass"}


def test_where_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.capability(profiles.load("embedded")) == "cpu"
    monkeypatch.setattr(kernels.nvml, "snapshot", lambda: {"cards": [{"compute_capability": "12.0"}]})
    assert kernels.capability(SERVER) == "12.0"
    monkeypatch.setattr(kernels.nvml, "snapshot", lambda: {"cards": []})
    assert kernels.capability(SERVER) == "unknown"
