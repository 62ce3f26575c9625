"""Derived models: first layers, int8 and int4 in the layout of compressed-tensors, whole, deterministic, repeatable."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, derive, disk, fetch, manifest, sizes
from lib.engine.models.catalogue import Architecture, Derived, Model

BASE = Architecture(
    type="llama",
    layers=3,
    hidden=64,
    q_heads=4,
    kv_heads=2,
    head_dim=16,
    ffn=128,
    vocab=100,
    context=64,
    head="tied",
    source="made for tests",
)
NAMES = {"front": Derived(derive="base", method="front", layers=2)}
NAMES |= {method: Derived(derive="base", method=method) for method in ("int8", "int4")}


def shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (arch.vocab, arch.hidden),
        "model.norm.weight": (arch.hidden,),
    }
    q, kv = arch.q_heads * arch.head_dim, arch.kv_heads * arch.head_dim
    for layer in range(arch.layers):
        at = f"model.layers.{layer}"
        found |= {
            f"{at}.self_attn.q_proj.weight": (q, arch.hidden),
            f"{at}.self_attn.k_proj.weight": (kv, arch.hidden),
            f"{at}.self_attn.v_proj.weight": (kv, arch.hidden),
            f"{at}.self_attn.o_proj.weight": (arch.hidden, q),
            f"{at}.mlp.gate_proj.weight": (arch.ffn, arch.hidden),
            f"{at}.mlp.up_proj.weight": (arch.ffn, arch.hidden),
            f"{at}.mlp.down_proj.weight": (arch.hidden, arch.ffn),
            f"{at}.input_layernorm.weight": (arch.hidden,),
            f"{at}.post_attention_layernorm.weight": (arch.hidden,),
        }
    return found


def model(source: Derived) -> Model:
    arch = BASE.model_copy(update={"layers": source.layers}) if source.layers else BASE
    return Model(
        name=f"base-{source.method}",
        title="Derived",
        task="chat",
        architecture=arch,
        context=64,
        format="bfloat16" if source.method == "front" else source.method,
        source=source,
        license="Apache-2.0",
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the base model; the catalogue knows it and what is derived from it."""
    folder = tmp_path / "base"
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    tensors = {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes(BASE).items()}
    save_file(tensors, folder / "model.safetensors")
    config = {
        "num_hidden_layers": 3,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    origin = {"package": "base-model", "version": "1"}
    files = manifest.describe(folder, {})
    manifest.write(folder, manifest.Manifest(model="base", origin=origin, verified=True, files=files))
    plain = model(NAMES["int8"]).model_copy(update={"name": "base", "format": "bfloat16", "source": None})
    known = {"base": plain, **{f"base-{method}": model(source) for method, source in NAMES.items()}}
    monkeypatch.setattr(catalogue, "get", lambda name: known[name])
    return tmp_path


@pytest.mark.parametrize("method", sorted(NAMES))
def test_files_are_as_large_as_the_planner_reckons_and_the_config_agrees(store: Path, method: str) -> None:
    folder = fetch.ensure(f"base-{method}", store)
    made = load_file(folder / "model.safetensors")
    assert sum(part.nbytes for part in made.values()) == sizes.weight_bytes(model(NAMES[method]))
    assert disk.differences(model(NAMES[method]), json.loads((folder / "config.json").read_text())) == []
    assert (folder / "tokenizer.json").read_text() == "{}"
    assert fetch.verify(f"base-{method}", store).status == "pass"


def test_front_keeps_embedding_norm_and_the_first_layers_untouched(store: Path) -> None:
    base = load_file(store / "base/model.safetensors")
    made = load_file(fetch.ensure("base-front", store) / "model.safetensors")
    assert {name.split(".")[2] for name in made if ".layers." in name} == {"0", "1"}
    assert all(torch.equal(base[name], part) for name, part in made.items())


def test_int8_is_near_and_stays_in_range() -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
    values, scale = derive.rounded(weight, 8, 0)
    assert (values.dtype, values.shape, scale.shape) == (torch.int8, weight.shape, (32, 1))
    error = (values.float() * scale.float() - weight.float()).abs()
    assert bool((error <= 0.6 * scale.float()).all())  # half a step, or a little more where the largest is clipped


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # of torch itself, on import
def test_int4_is_packed_as_compressed_tensors_reads_it() -> None:
    from compressed_tensors.compressors.pack_quantized import unpack_from_int32

    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(3)).bfloat16()
    values, scale = derive.rounded(weight, 4, 64)
    packed = derive.packed(values)
    assert (packed.dtype, packed.shape, scale.shape) == (torch.int32, (32, 16), (32, 2))
    assert torch.equal(unpack_from_int32(packed, 4, weight.shape), values)
    assert int(values.min()) >= -8
    assert int(values.max()) <= 7


def test_the_same_input_gives_the_same_bytes(store: Path) -> None:
    first = fetch.ensure("base-int4", store)
    before = (first / "model.safetensors").read_bytes()
    (first / "model.safetensors").write_bytes(b"damaged")
    again = fetch.ensure("base-int4", store, repair=True)
    assert (again / "model.safetensors").read_bytes() == before


def test_the_base_that_changed_makes_it_again(store: Path) -> None:
    folder = fetch.ensure("base-int8", store)
    before = load_file(folder / "model.safetensors")["model.norm.weight"]
    base = store / "base"
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, base / "model.safetensors")
    known = manifest.read(base)
    assert known
    manifest.write(base, known.model_copy(update={"files": manifest.describe(base, {})}))
    after = load_file(fetch.ensure("base-int8", store) / "model.safetensors")["model.norm.weight"]
    assert torch.equal(after, before + 1)


def test_the_manifest_says_what_it_was_made_from(store: Path) -> None:
    known = fetch.installed("base-front", store) or manifest.read(fetch.ensure("base-front", store))
    assert known
    assert known.verified
    assert known.origin["package"] == "base-model"
    assert (known.origin["derived from"], known.origin["method"], known.origin["layers"]) == ("base", "front", "2")
    assert set(known.converter) == {"torch", "safetensors"}


def test_more_layers_than_there_are_is_one_clear_error_and_leaves_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Derived(derive="base", method="front", layers=3)
    bad = model(source).model_copy(update={"name": "bad"})
    there = catalogue.get("base")
    monkeypatch.setattr(catalogue, "get", lambda name: bad if name == "bad" else there)
    with pytest.raises(RunbookError, match="first 3 layers were asked for, and the model has 3"):
        fetch.ensure("bad", store)
    assert not list(store.glob("bad*"))


def test_a_damaged_base_is_not_derived_from(store: Path) -> None:
    (store / "base/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunbookError, match="base is damaged"):
        fetch.ensure("base-int8", store)


def test_groups_must_divide_the_rows() -> None:
    with pytest.raises(ValueError, match="no whole number of groups"):
        derive.rounded(torch.ones(2, 96), 4, 64)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"derive": "a", "method": "front"}, "layers"),
        ({"derive": "a", "method": "int8", "layers": 2}, "layers"),
        ({"derive": "a", "method": "int3"}, "int8"),
    ],
)
def test_a_wrong_recipe_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Derived.model_validate(fields)


def test_a_base_that_is_not_fetched_is_named(tmp_path: Path) -> None:
    from lib.core import paths

    path = tmp_path / "models.yml"
    old = "{derive: smollm2-135m, method: int8}"
    path.write_text(paths.MODELS_FILE.read_text().replace(old, "{derive: smollm2-135, method: int8}"))
    with pytest.raises(RunbookError) as caught:
        catalogue.load(path)
    assert "did you mean: smollm2-135m" in str(caught.value)
    assert "models.smollm2-135m-int8.source.derive" in str(caught.value)


@pytest.mark.parametrize("name", ["smollm2-135m-front", "smollm2-135m-int8", "smollm2-135m-int4"])
def test_the_real_ones_are_as_large_as_reckoned(name: str) -> None:
    """Read headers only: the models were made at set-up, or are made now."""
    from safetensors import safe_open

    folder = fetch.ensure(name)
    width = {"BF16": 2, "I8": 1, "I32": 4, "I64": 8}
    total = 0
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            part = file.get_slice(key)
            count = 1
            for size in part.get_shape():
                count *= size
            total += count * width[part.get_dtype()]
    assert total == sizes.weight_bytes(catalogue.get(name))
