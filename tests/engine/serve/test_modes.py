"""Type of the KV cache, CUDA graphs, speculation: what was asked is what runs, or a verdict says so."""

import json
import shlex

import pytest
from served import LOGS, MODEL

from lib.core import profile as profiles
from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Accepted, Kernels, Model
from lib.engine.serve import asked, log, modes

CODER = catalogue.get("qwen3-coder-30b-a3b")
SERVER = profiles.load("rtx-pro-6000")
EMBEDDED = profiles.load("embedded")
GRAPHS = "FULL_AND_PIECEWISE"
NGRAM = '{"method": "ngram", "num_speculative_tokens": 4}'


def told(name: str = "constructed_0_33_moe_bf16_sm120", **replaced: object) -> log.Readback:
    return log.read((LOGS / f"{name}.txt").read_text()).model_copy(update=replaced)


def flags(*words: str, base: Profile = SERVER, **serving: object) -> Profile:
    return profiles.change(base, "serving", extra_args=list(words), **serving)


def kv(profile: Profile, seen: log.Readback, model: Model = CODER) -> Check:
    (check,) = modes.kv_cache(asked.read(profile, model), model, seen)
    return check


def graphs(profile: Profile, seen: log.Readback, model: Model = CODER, expected: Kernels | None = None) -> Check:
    return modes.graphs(profile, asked.read(profile, model), model, seen, expected)


def speculation(profile: Profile, seen: log.Readback) -> list[Check]:
    return modes.speculation(asked.read(profile, CODER), seen)


@pytest.mark.parametrize(
    ("wanted", "seen", "status"),
    [
        ("auto", "auto", "pass"),
        ("auto", "bfloat16", "pass"),
        ("bfloat16", "auto", "pass"),
        ("fp8", "fp8", "pass"),
        ("fp8", "fp8_e4m3", "pass"),
        ("fp8", "auto", "fail"),
        ("fp8_e5m2", "fp8", "fail"),
        ("float16", "auto", "fail"),
        ("auto", "fp8", "warn"),
        ("auto", "", "warn"),
    ],
)
def test_the_cache_has_the_type_that_was_asked_for(wanted: str, seen: str, status: str) -> None:
    check = kv(flags(kv_cache_dtype=wanted), told(kv_cache_dtype=seen))
    assert check.status == status
    assert bool(check.fix) == (status != "pass")
    if status == "fail":
        assert f"--kv-cache-dtype {wanted}" in check.fix


def test_a_flag_beats_the_field_and_the_layout_is_told() -> None:
    check = kv(flags("--kv-cache-dtype", "fp8"), told("constructed_0_33_fp8_kv_fp8_sm120"))
    assert (check.status, check.observed) == ("pass", "fp8, layout LBNHC, 1,270,000 tokens")


def test_a_full_start_passes() -> None:
    check = graphs(SERVER, told())
    assert (check.status, check.expected, check.fix) == ("pass", GRAPHS, "")
    assert check.observed == "FULL_AND_PIECEWISE, 11 sizes up to 512, compiled: VLLM_COMPILE"


def test_eager_that_nobody_asked_for_fails() -> None:
    seen = told("constructed_0_33_eager_triton_sm120")
    check = graphs(SERVER, seen)
    assert (check.status, check.observed) == ("fail", "NONE (eager), compiled: NONE")
    assert '--compilation-config \'{"cudagraph_mode": "FULL_AND_PIECEWISE"}\'' in check.fix
    for profile in (flags(enforce_eager=True), flags("--enforce-eager"), flags("-O0")):
        assert graphs(profile, seen).status == "pass"


def test_graphs_that_were_not_to_be_fail_too() -> None:
    assert graphs(flags(enforce_eager=True), told()).status == "fail"


def test_a_downgrade_that_vllm_explains_warns_with_its_words() -> None:
    check = graphs(SERVER, told("constructed_0_26_ngram_piecewise_sm120"))
    assert check.status == "warn"
    assert "is not supported with spec-decode for attention backend FlashInferBackend" in check.fix
    assert check.observed.startswith("PIECEWISE, planned FULL_AND_PIECEWISE")


def test_a_downgrade_without_a_word_fails() -> None:
    check = graphs(SERVER, told(graphs="PIECEWISE"))
    assert check.status == "fail"
    assert "cudagraph_mode" in check.fix


def test_the_catalogue_may_accept_another_mode() -> None:
    accepted = Accepted(kind="graphs", name="PIECEWISE", reason="this model's attention has no full graphs")
    known = Kernels(attention=["FLASH_ATTN"], accepted=[accepted])
    check = graphs(SERVER, told(graphs="PIECEWISE"), expected=known)
    assert (check.status, accepted.reason in check.fix) == ("warn", True)
    assert (
        graphs(SERVER, told(graphs="PIECEWISE"), expected=Kernels(attention=[], graphs=["PIECEWISE"])).status == "pass"
    )


def test_a_mode_that_was_asked_for_is_the_expected_one() -> None:
    for words in (
        ("-cc.cudagraph_mode=PIECEWISE",),
        ("--compilation-config", '{"cudagraph_mode": "piecewise"}'),
        ("-O1",),
        ("--optimization-level", "1"),
    ):
        assert graphs(flags(*words), told(graphs="PIECEWISE")).status == "pass"
        assert graphs(flags(*words), told()).status == "fail"


def test_pooling_does_without_full_graphs() -> None:
    embedding = catalogue.get("qwen3-embedding-8b")
    assert graphs(SERVER, told(graphs="PIECEWISE"), embedding).status == "pass"
    assert graphs(SERVER, told(), embedding).status == "pass"


def test_batches_beyond_the_largest_graph_are_told() -> None:
    check = graphs(flags(max_num_seqs=1024), told(max_num_seqs=1024))
    assert check.status == "warn"
    assert '"max_cudagraph_capture_size": 1024' in check.fix
    # The engine's own word beats the profile's: null leaves it to vLLM.
    assert graphs(flags(max_num_seqs=None), told(max_num_seqs=None)).status == "pass"


@pytest.mark.parametrize(
    ("eager", "name", "status", "words"),
    [
        (True, "start_eager", "pass", "eager: not compiled"),
        (False, "start_compiled", "pass", "compiled (DYNAMO_TRACE_ONCE), no CUDA graphs"),
        (False, "start_eager", "fail", "eager: not compiled"),
        (True, "start_compiled", "fail", "compiled (DYNAMO_TRACE_ONCE), no CUDA graphs"),
    ],
)
def test_a_cpu_compiles_or_not_as_the_profile_says(eager: bool, name: str, status: str, words: str) -> None:
    check = graphs(flags(base=EMBEDDED, enforce_eager=eager), told(name), catalogue.get(MODEL))
    assert (check.status, check.observed) == (status, words)
    assert bool(check.fix) == (status == "fail")
    assert kv(EMBEDDED, told(name)).observed == "auto (bfloat16), layout LBHNC, 46,592 tokens"


def test_an_unknown_log_warns_on_a_cpu_too() -> None:
    assert graphs(EMBEDDED, log.Readback()).status == "warn"


def test_speculation_that_was_asked_for_runs() -> None:
    (check,) = speculation(flags("--speculative-config", NGRAM), told("constructed_0_26_ngram_piecewise_sm120"))
    assert (check.name, check.status) == ("serving.kernel.speculation", "pass")
    assert check.observed == "ngram, 4 tokens; asynchronous scheduling is off"


def test_speculation_that_was_not_taken_fails() -> None:
    (check,) = speculation(flags("-sc", NGRAM), told())
    assert (check.status, check.observed) == ("fail", "no speculation")
    assert "--speculative-config" in check.fix
    (other,) = speculation(flags("--spec-method", "eagle3"), told(speculation="ngram"))
    assert other.status == "fail"


def test_speculation_by_other_names_and_numbers() -> None:
    mtp = flags("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 3}')
    assert speculation(mtp, told(speculation="qwen3_5_mtp", speculation_tokens=3))[0].status == "pass"
    assert speculation(mtp, told(speculation="qwen3_5_mtp", speculation_tokens=1))[0].status == "warn"
    drafts = flags("--spec-model", "d")
    assert speculation(drafts, told("constructed_0_33_eagle3_sm90"))[0].status == "pass"
    assert "draft /srv/models/d" in speculation(drafts, told("constructed_0_33_eagle3_sm90"))[0].observed


def test_speculation_nobody_asked_for_warns_and_none_is_not_recorded() -> None:
    assert speculation(SERVER, told()) == []
    assert speculation(SERVER, told(speculation="mtp", speculation_tokens=1))[0].status == "warn"


def test_flags_are_read_as_vllm_reads_them() -> None:
    found = asked.options(
        ["--a_b", "1", "-cc.mode=3", "--bare", "--x={broken", "--y", "[1]", "--z", '{"k_1": null}', "-O2"]
    )
    assert found["a-b"] == "1"
    assert found["compilation-config.mode"] == "3"
    assert found["bare"] == ""
    assert found["optimization-level"] == "2"
    assert "z.k-1" not in found


def test_the_flag_of_a_fix_is_one_that_vllm_can_parse() -> None:
    flag, value = shlex.split(modes.json_flag("PIECEWISE"))
    assert (flag, json.loads(value)) == ("--compilation-config", {"cudagraph_mode": "PIECEWISE"})
