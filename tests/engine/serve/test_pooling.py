"""What is set for a chat model is not for an embedding model beside it."""

from pathlib import Path

import pytest

from lib.core import profile as profiles
from lib.engine.models import catalogue
from lib.engine.serve import command, pooling


@pytest.mark.parametrize(("profile", "model"), [("embedded", "minilm-l6"), ("rtx-pro-6000", "qwen3-embedding-4b")])
def test_the_models_own_context_and_format(profile: str, model: str) -> None:
    loaded, wanted = profiles.load(profile), catalogue.get(model)
    serving = pooling.serving(loaded, wanted).serving
    assert serving.max_model_len == min(wanted.context or pooling.LONGEST, pooling.LONGEST)
    assert serving.dtype in (wanted.format, "auto")
    assert serving.gpu_memory_utilization == loaded.memory.card_share
    assert (serving.port, serving.kv_cache_dtype, serving.extra_args) == (0, "auto", [])


def test_flags_of_a_chat_model_do_not_reach_it() -> None:
    chat = profiles.load("embedded", {"serving.extra_args": ["--enable-auto-tool-choice", "--tool-call-parser", "x"]})
    model = catalogue.get("minilm-l6")
    argv = command.arguments(pooling.serving(chat, model), model, Path("somewhere"), 1)
    assert "--tool-call-parser" not in argv
    assert argv[argv.index("--runner") + 1] == "pooling"
    assert argv[argv.index("--max-model-len") + 1] == "256"
