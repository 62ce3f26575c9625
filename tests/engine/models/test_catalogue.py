"""The catalogue: every profile finds its models, published configs agree with it, mistakes name the nearest."""

import json
from pathlib import Path

import pytest

from lib.core import paths, profile
from lib.core.errors import RunbookError
from lib.engine.models import catalogue, disk

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.json"))


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_finds_its_models(name: str) -> None:
    models = profile.load(name).models
    wanted = {models.served, *models.others, *(one for together in models.combinations for one in together)}
    assert wanted <= set(catalogue.load())


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_published_configs_agree(path: Path) -> None:
    config = json.loads(path.read_text())
    model = catalogue.get(path.stem)
    assert disk.differences(model, config) == []
    assert model.architecture.vocab == config["vocab_size"]
    assert model.context == config["max_position_embeddings"]
    assert model.architecture.top_k == config.get("num_experts_per_tok", 0)
    assert (model.architecture.head == "tied") == config["tie_word_embeddings"]
    sliding = config.get("layer_types", []).count("sliding_attention")
    assert model.architecture.sliding_layers == sliding
    assert model.architecture.sliding_window == (config["sliding_window"] or 0)


def test_each_format_is_told_apart_by_its_config() -> None:
    config = json.loads((CONFIGS[0].parent / "qwen3-32b-fp8.json").read_text())
    assert disk.differences(catalogue.get("qwen3-32b"), config) == ["quant_method is fp8, the catalogue says None"]


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(RunbookError) as caught:
        catalogue.get("gpt-oss-120")
    assert caught.value.nearest == "gpt-oss-120b"


def test_a_pinned_revision_is_a_commit() -> None:
    with pytest.raises(ValueError, match="revision"):
        catalogue.Repository(repo="a/b", revision="main")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "models.yml"
    text = paths.MODELS_FILE.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: chat", "taks: chat", "did you mean: task"),
        ("task: chat", "task: chatting", "models.smollm2-135m.task"),
        ("architecture: minilm-l6", "architecture: minilm-l", "did you mean: minilm-l6"),
        ("kernels: gpt-oss", "kernels: gpt-os", "did you mean: gpt-oss"),
        ("layers: 30", "layers: thirty", "architecture.layers"),
        ("revision: null", "revison: null", "did you mean: revision"),
        ("version: 0.1.2", "version: 0.12", "source.package.version"),
        ("models:\n", "models: [\n", "not valid YAML"),
        ("kernels:\n", "kernel:\n", "has the sections"),
        ("gguf: b179", "gguf: B179", "files"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RunbookError) as caught:
        catalogue.load(edited(tmp_path, old, new))
    assert message in str(caught.value)


def test_a_missing_catalogue_tells_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="git checkout"):
        catalogue.load(tmp_path / "models.yml")


def test_an_edited_catalogue_is_read_again(tmp_path: Path) -> None:
    path = edited(tmp_path, "title: gpt-oss-20b", "title: one")
    assert catalogue.get("gpt-oss-20b", path).title == "one"
    path.write_text(path.read_text().replace("title: one", "title: two two"))
    assert catalogue.get("gpt-oss-20b", path).title == "two two"
