"""Configurations: from the profile, from the catalogue, for random weights; held against vLLM's own schema."""

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Draft
from lib.engine.speculate.configurations import COMPARED, PLAIN, Configuration, configurations, of_draft, synthetic

EMBEDDED = profiles.load("embedded")
NGRAM = Configuration("ngram", {"method": "ngram", "num_speculative_tokens": 4})


@cache
def schema() -> tuple[set[str], set[str], set[str]]:
    """Return the fields, methods and ways of rejection of the installed vLLM, read from its source: no import."""
    spec = importlib.util.find_spec("vllm")
    assert spec
    assert spec.submodule_search_locations
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / "config" / "speculative.py").read_text())
    kinds: dict[str, set[str]] = {}
    fields: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            words = {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
            known = [kinds[n.id] for n in ast.walk(node.value) if isinstance(n, ast.Name) and n.id in kinds]
            kinds[node.targets[0].id] = words.union(*known)
        if isinstance(node, ast.ClassDef) and node.name == "SpeculativeConfig":
            fields = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return fields, kinds["SpeculativeMethod"], kinds["RejectionSampleMethod"]


def everything() -> list[Configuration]:
    """Every configuration that any profile or any draft of the catalogue leads to."""
    found = [
        each
        for name in profiles.names()
        for profile in [profiles.load(name)]
        for each in configurations(catalogue.get(profile.models.served), profile)
    ]
    return found + [of_draft(draft, EMBEDDED) for model in catalogue.load().values() for draft in model.drafts]


@pytest.mark.parametrize("each", everything(), ids=lambda each: each.name)
def test_vllm_knows_every_name(each: Configuration) -> None:
    fields, methods, rejections = schema()
    assert set(each.settings) <= fields
    assert each.settings["method"] in methods
    assert each.settings.get("rejection_sample_method", "standard") in rejections
    assert each.settings["num_speculative_tokens"] >= 1
    json.dumps(each.settings)


def test_the_schema_was_read() -> None:
    fields, methods, rejections = schema()
    assert {"model", "parallel_drafting", "synthetic_acceptance_length"} <= fields
    assert {"ngram", "eagle3", "mtp", "dflash", "draft_model"} <= methods
    assert "synthetic" in rejections


def test_the_embedded_profile_tries_a_lookup_and_thoroughly_also_a_draft() -> None:
    model = catalogue.get("smollm2-135m")
    assert [each.name for each in configurations(model, EMBEDDED)] == ["ngram"]
    ngram, draft = configurations(model, profiles.load("embedded", profiles.thorough("embedded")))
    assert (ngram.name, ngram.settings["method"], ngram.folder, ngram.present) == ("ngram", "ngram", None, True)
    assert draft.settings["method"] == "draft_model"
    assert draft.settings["model"].endswith("smollm2-135m-front")
    assert "draft" not in draft.settings
    assert draft.fetch == "python -m lib models fetch smollm2-135m-front"


def test_an_unknown_draft_names_the_nearest() -> None:
    wrong = profiles.load("embedded", {"speculation.configurations": {"draft": {"draft": "smollm2-135m-frnt"}}})
    with pytest.raises(RunbookError) as caught:
        configurations(catalogue.get("smollm2-135m"), wrong)
    assert caught.value.nearest == "smollm2-135m-front"


def test_published_drafts_become_configurations_on_a_gpu() -> None:
    profile = profiles.load("rtx-pro-6000")
    ngram, eagle = configurations(catalogue.get("qwen3-coder-30b-a3b"), profile)
    assert ngram.name == "ngram"
    assert eagle.settings == {
        "method": "eagle3",
        "num_speculative_tokens": 4,
        "parallel_drafting": True,
        "model": "/srv/models/drafts/amazon--Qwen3-Coder-30B-A3B-Instruct-P-EAGLE",
    }
    assert not eagle.present
    assert eagle.fetch.startswith("hf download amazon/Qwen3-Coder-30B-A3B-Instruct-P-EAGLE --local-dir /srv/models")


def test_mtp_needs_no_folder_of_its_own() -> None:
    mtp = of_draft(Draft(method="mtp", tokens=2), EMBEDDED)
    assert mtp.settings == {"method": "mtp", "num_speculative_tokens": 2}
    assert mtp.present


@pytest.mark.parametrize("wrong", [{"method": "mtp", "repo": "a/b"}, {"method": "eagle3"}])
def test_a_draft_has_a_repository_unless_it_is_mtp(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="except with method mtp"):
        Draft(**wrong)


def test_a_draft_is_present_once_its_config_is() -> None:
    assert not NGRAM._replace(folder=Path("nowhere")).present


def test_random_weights_get_an_acceptance_that_is_made_up() -> None:
    found = configurations(catalogue.get("qwen3-30b-a3b"), profiles.load("h200"))
    assert [each.name for each in found] == ["ngram-al3", "draft-al3"]
    assert all(each.synthetic_length == 3 for each in found)
    assert all(each.settings["rejection_sample_method"] == "synthetic" for each in found)


def test_a_cpu_makes_no_acceptance_up() -> None:
    fields = {"serving.load_format": "dummy", "speculation.synthetic_lengths": [2.0]}
    assert configurations(catalogue.get("smollm2-135m"), profiles.load("embedded", fields)) == []


def test_a_length_that_vllm_would_refuse_is_left_out() -> None:
    fields = {"hardware": "cuda", "serving.load_format": "dummy", "speculation.synthetic_lengths": [2.0, 6.0]}
    own = {"ngram": {"method": "ngram", "num_speculative_tokens": 4}}
    profile = profiles.load("embedded", {**fields, "speculation.configurations": own})
    assert [each.name for each in configurations(catalogue.get("smollm2-135m"), profile)] == ["ngram-al2"]


def test_every_compared_server_runs_without_the_prefix_cache() -> None:
    assert PLAIN.flags == COMPARED
    flags = NGRAM.variant.flags
    assert flags[: len(COMPARED)] == COMPARED
    assert json.loads(flags[flags.index("--speculative-config") + 1]) == NGRAM.settings


def test_made_up_acceptance_leaves_the_original_alone() -> None:
    assert synthetic(NGRAM, 2.5).name == "ngram-al2.5"
    assert NGRAM.synthetic_length is None
