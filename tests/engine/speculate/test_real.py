"""The real engine, speculating on real text: what vLLM counts arrives, and the answers are those of the model."""

from pathlib import Path

import pytest
from served import MODEL

from lib.core import profile as profiles
from lib.engine.bench import sweep
from lib.engine.bench.client import LoadClient
from lib.engine.bench.point import Effort, Point
from lib.engine.models import catalogue, fetch
from lib.engine.serve import command
from lib.engine.serve.server import Server
from lib.engine.speculate import acceptance, workloads
from lib.engine.speculate.configurations import configurations

pytestmark = pytest.mark.engine


def test_a_lookup_guesses_what_stands_in_the_prompt(tmp_path: Path) -> None:
    embedded = profiles.load("embedded")
    model, folder = catalogue.get(MODEL), fetch.ensure(MODEL)
    ngram = configurations(model, embedded)[0]
    point = Point(4, 0, 48, dataset=workloads.path("code"))
    effort = Effort(
        repeats=1, prompts_per_slot=1, warmup_prompts=0, ttft_limit_ms=1e4, tpot_limit_ms=1e4, natural_end=True
    )
    environment = command.inherited() | command.caches() | {"HF_HUB_OFFLINE": "1"}
    with (
        Server(ngram.variant.of(embedded), model, folder, tmp_path / "engine.log") as server,
        LoadClient(tmp_path / "client.log", environment) as client,
    ):
        target = sweep.Target(server.url, model.name, folder)
        (result,) = sweep.run(target, [point], effort, tmp_path / "load", client)
    seen = acceptance.of(result.runs)
    assert seen is not None
    assert 1.5 < seen.length <= ngram.tokens + 1, "code that is given back is guessed well"
    assert len(seen.per_position) == ngram.tokens
    assert list(seen.per_position) == sorted(seen.per_position, reverse=True)
    assert all(text.strip() for text in result.runs[0]["generated_texts"])
    assert result.runs[0]["completed"] == 4
