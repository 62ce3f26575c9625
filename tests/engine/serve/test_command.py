"""From a profile to flags and variables."""

import sys
from pathlib import Path

import pytest
from served import MODEL

from lib.core import paths
from lib.core import profile as profiles
from lib.engine.models import catalogue
from lib.engine.serve import command
from lib.engine.serve.variant import DEFAULTS

FOLDER = paths.CACHE / "models" / MODEL


def flags(name: str = "embedded", model: str = MODEL, folder: Path = FOLDER, **fields: object) -> list[str]:
    profile = profiles.load(name, {f"serving.{key}": value for key, value in fields.items()})
    return command.arguments(profile, catalogue.get(model), folder, 1234)


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_the_profile_becomes_flags() -> None:
    words = flags()
    assert value(words, "--served-model-name") == MODEL
    assert (value(words, "--host"), value(words, "--port")) == ("127.0.0.1", "1234")
    assert (value(words, "--max-model-len"), value(words, "--max-num-seqs")) == ("2048", "32")
    assert "--enforce-eager" in words
    assert "--gpu-memory-utilization" not in words, "a CPU has none"


@pytest.mark.parametrize(
    ("model", "asked", "wanted"),
    [
        (MODEL, "float32", "float32"),
        ("smollm2-135m-int8", "float32", "float32"),
        ("smollm2-135m-int4", "float32", "bfloat16"),
        ("smollm2-135m-int8", "bfloat16", "bfloat16"),
        ("smollm2-135m-int4", "auto", "auto"),
    ],
)
def test_only_weights_of_4_bits_are_not_computed_in_float32(model: str, asked: str, wanted: str) -> None:
    assert value(flags(model=model, dtype=asked), "--dtype") == wanted


@pytest.mark.skipif(paths.CACHE != paths.ROOT / ".cache", reason="RUNBOOK_CACHE is set")
def test_the_models_folder_travels() -> None:
    assert value(flags(), "--model") == f".cache/models/{MODEL}"
    assert value(flags(folder=Path("/srv/models/x")), "--model") == "/srv/models/x"


def test_a_gpu_profile_has_its_share_of_the_card_and_the_models_own_flags() -> None:
    words = flags("rtx-pro-6000", "gpt-oss-120b", Path("/srv/models/gpt-oss-120b"))
    assert value(words, "--gpu-memory-utilization") == "0.92"
    assert value(words, "--tool-call-parser") == "openai"
    assert "--enforce-eager" not in words


def test_defaults_are_left_to_the_engine() -> None:
    assert not {"--kv-cache-dtype", "--load-format"} & set(flags())
    assert value(flags(kv_cache_dtype="fp8"), "--kv-cache-dtype") == "fp8"
    assert value(flags(load_format="dummy"), "--load-format") == "dummy"


def test_extra_arguments_come_last_so_that_they_win() -> None:
    assert flags(extra_args=["--max-num-seqs", "4"])[-2:] == ["--max-num-seqs", "4"]


def test_the_environment_keeps_the_engine_silent_and_at_home() -> None:
    found = command.environment(profiles.load("embedded"))
    assert (found["HF_HUB_OFFLINE"], found["VLLM_NO_USAGE_STATS"]) == ("1", "1")
    assert (found["VLLM_HOST_IP"], found["VLLM_CPU_KVCACHE_SPACE"]) == ("127.0.0.1", "1")


@pytest.mark.parametrize(
    ("cpus", "found"), [({0, 1}, ("nobind", "2")), ({2, 3, 6}, ("nobind", "3")), (set(range(8)), ("auto", None))]
)
def test_threads_go_on_every_cpu_of_a_small_machine(
    cpus: set[int], found: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cpus)
    variables = command.environment(profiles.load("embedded"))
    assert (variables["VLLM_CPU_OMP_THREADS_BIND"], variables.get("OMP_NUM_THREADS")) == found


@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        ({}, True),
        ({"serving.all_cpus": False}, False),
        ({"serving.environment": {"VLLM_CPU_OMP_THREADS_BIND": "0"}}, False),
        ({"serving.extra_args": ["--distributed-executor-backend", "mp"]}, False),
        ({"serving.extra_args": ["--distributed-executor-backend=mp"]}, False),
    ],
)
def test_the_model_has_no_process_of_its_own_unless_somebody_asks(
    changes: dict[str, object], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    profile = profiles.load("embedded", changes)
    assert command.in_one_process(profile) is alone
    words = command.arguments(profile, catalogue.get("smollm2-135m"), Path("m"), 1)
    assert (command.ONE_PROCESS in words) is alone
    assert ("OMP_NUM_THREADS" in command.environment(profile)) is alone


def test_a_gpu_has_no_threads_to_bind() -> None:
    assert not command.in_one_process(profiles.load("rtx-pro-6000"))
    assert not [key for key in command.environment(profiles.load("rtx-pro-6000")) if key.startswith("VLLM_CPU")]


def test_the_profiles_own_variables_win() -> None:
    profile = profiles.load("embedded", {"serving.environment": {"VLLM_CPU_OMP_THREADS_BIND": "0"}})
    assert command.environment(profile)["VLLM_CPU_OMP_THREADS_BIND"] == "0"


def test_no_variable_of_the_caller_reaches_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")
    monkeypatch.setenv("LANG_OF_TEST", "kept")
    found = command.inherited()
    assert "VLLM_SERVER_DEV_MODE" not in found
    assert found["LANG_OF_TEST"] == "kept"


def test_every_cache_lies_below_one_folder(tmp_path: Path) -> None:
    assert all(Path(place).is_relative_to(tmp_path) for place in command.caches(tmp_path).values())


def test_a_command_is_shown_as_a_person_types_it() -> None:
    assert command.display([sys.executable, "-m", "vllm", "--x", "a b"]) == "python -m vllm --x 'a b'"
    assert command.display(["/opt/inference/.venv/bin/vllm", "serve"]) == "vllm serve"


def test_beside_random_weights_nothing_reads_the_answers() -> None:
    profile, model = profiles.load("h200"), catalogue.get("gpt-oss-120b")
    random = command.arguments(profile, model, Path("m"), 1)
    real = command.arguments(profiles.load("h200", {"serving.load_format": "auto"}), model, Path("m"), 1)
    assert not [word for word in random if "parser" in word or "tool" in word or word.startswith("openai")]
    assert {"--reasoning-parser", "--tool-call-parser", "--enable-auto-tool-choice"} <= set(real)
    assert random[-2:] == ["--load-format", "dummy"]


@pytest.mark.parametrize(("wanted", "bound"), [(True, "nobind"), (False, "auto"), (None, "nobind")])
def test_the_profile_may_decide_where_threads_go(
    monkeypatch: pytest.MonkeyPatch, wanted: bool | None, bound: str
) -> None:
    monkeypatch.setattr(command.os, "sched_getaffinity", lambda _: {0, 1, 2})
    profile = profiles.load("embedded", {"serving.all_cpus": wanted})
    assert command.environment(profile)["VLLM_CPU_OMP_THREADS_BIND"] == bound


def test_what_is_left_to_vllm_is_not_said() -> None:
    profile = DEFAULTS.of(profiles.load("embedded"))
    words = command.arguments(profile, catalogue.get("smollm2-135m"), Path("m"), 1)
    assert not {"--max-num-seqs", "--max-num-batched-tokens"} & set(words)
    assert command.environment(profile)["VLLM_CPU_OMP_THREADS_BIND"] == "auto"
