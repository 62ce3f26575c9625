"""The reranker's words and way: what Qwen3-Reranker is trained to read, and a real vLLM that answers `/v1/rerank`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from embedding_server import Server as WordsServer
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lib.chapters.memory_servers import embedding
from lib.core import paths
from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.engine.models import catalogue, fetch
from lib.engine.serve.server import Server
from lib.memory.rerank import Reranker

TEMPLATE = paths.TEMPLATES / "serving" / "qwen3-reranker.jinja"
PAIR = [{"role": "query", "content": "When is the boiler serviced?"}, {"role": "document", "content": "In May."}]


@pytest.fixture
def reranker(server: WordsServer) -> Iterator[Reranker]:
    made = Reranker(server.url, "words")
    yield made
    made.close()


def test_the_template_says_what_the_model_was_trained_on() -> None:
    # As transformers renders chat templates.
    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    text = jinja.from_string(TEMPLATE.read_text()).render(messages=PAIR)
    system, user, answer = text.split("<|im_start|>")[1:]
    assert system.startswith("system\nJudge whether the Document")
    assert user.endswith("\n<Query>: When is the boiler serviced?\n<Document>: In May.<|im_end|>\n")
    assert answer == "assistant\n<think>\n\n</think>\n\n"


def test_every_reranker_of_the_catalogue_names_its_template() -> None:
    rerankers = [model for model in catalogue.load().values() if model.task == "rerank"]
    assert rerankers
    for model in rerankers:
        assert (paths.ROOT / model.flags[model.flags.index("--chat-template") + 1]).exists(), model.name


def test_texts_are_put_in_order(reranker: Reranker) -> None:
    order = reranker.order("zebra grass", ["lion meat", "the zebra eats grass", "a zebra"])
    assert [place for place, _ in order] == [1, 2, 0]
    assert reranker.order("zebra", []) == []


def test_a_reranker_that_is_gone_is_an_error_that_says_what_to_do() -> None:
    gone = Reranker("http://127.0.0.1:9", "words")
    with pytest.raises(RunbookError, match="does not answer") as refused:
        gone.order("zebra", ["a"])
    gone.close()
    assert "memory.reranker" in refused.value.fix


@pytest.mark.engine
def test_a_language_model_judges_through_vllm(tmp_path: Path) -> None:
    """The way that Qwen3-Reranker goes, with the small model: its yes and no, the template, `/v1/rerank`."""
    profile = profiles.load("embedded")
    small = catalogue.get("smollm2-135m")
    overrides = (
        '{"architectures":["LlamaForSequenceClassification"],"method":"from_2_way_softmax",'
        '"classifier_from_token":["no","yes"]}'
    )
    flags = ["--runner", "pooling", "--hf-overrides", overrides, "--chat-template", paths.short(TEMPLATE)]
    judge = small.model_copy(update={"name": "judge", "task": "rerank", "flags": flags})
    texts = ["The boiler is serviced in May.", "Zebras eat grass.", "Котёл проверяют в мае."]
    folder = fetch.folder(small.name, profile.models.store)
    with Server(embedding(profile), judge, folder, tmp_path / "engine.log") as server:
        asked = Reranker(server.url, "judge")
        order = asked.order("When is the boiler serviced?", texts)
        again = asked.order("When is the boiler serviced?", texts)
        assert [place for place, _ in again] == [place for place, _ in order]
        assert [score for _, score in again] == pytest.approx([score for _, score in order])
        asked.close()
    assert sorted(place for place, _ in order) == [0, 1, 2]
    assert all(0 <= score <= 1 for _, score in order)
    assert len({round(score, 6) for _, score in order}) == 3, "each text is judged for itself"
