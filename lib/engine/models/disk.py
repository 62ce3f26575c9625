"""Bring a model from a folder on a disk: copied, read back from the disk, compared; the way around a slow line."""

import hashlib
import json
import os
import struct
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import sha256
from lib.engine.models import manifest, store
from lib.engine.models.catalogue import Model

CHUNK = 1 << 20
METADATA = Path(".cache/huggingface/download")
HEADER_LIMIT = 100 << 20
QUANT_METHODS = {
    "fp8_block": "fp8",
    "mxfp4": "mxfp4",
    "int8": "compressed-tensors",
    "int4": "compressed-tensors",
}
BITS = {"int8": 8, "int4": 4}


def check(model: Model, source: Path) -> None:
    """Raise `RunbookError` unless a folder looks like this model: its config, all shards, no shard cut short."""
    if not source.is_dir():
        raise RunbookError("no such folder", where=str(source), fix=f"python -m lib models import {model.name} FOLDER")
    problems = _wrong_config(model, source) or _wrong_shards(source)
    if problems:
        raise RunbookError(
            f"this is not a whole {model.name}: {'; '.join(problems[:4])}",
            where=str(source),
            fix="copy the model again with the tool that made this folder, or fetch it from its publisher",
        )


def bring(model: Model, source: Path, work: Path, report: store.Report) -> Path:
    """Copy a model folder into `work`, read every file back and compare; return the copy, its manifest written.

    Files that an earlier attempt copied are kept if they are still equal.
    """
    made = work / "model"
    made.mkdir(parents=True, exist_ok=True)
    names = [str(path.relative_to(source)) for path in manifest.files(source)]
    present = {name for name in names if (made / name).exists()}
    needed = sum((source / name).stat().st_size for name in names if name not in present)
    store.need_space(work, needed, model.name)
    stated = expected(source)
    digests = {}
    for number, name in enumerate(names, start=1):
        report(f"{model.name}: {name} ({number} of {len(names)})")
        digests[name] = _copy(source / name, made / name, stated.get(name, ""))
        _compare(name, digests[name], stated, source)
    write_manifest(model, source, made, digests)
    return made


def adopt(model: Model, folder: Path, report: store.Report) -> None:
    """Take over a folder that lies in the store already: hash it, compare with what is stated, write the manifest."""
    stated = expected(folder)
    digests = {}
    for path in manifest.files(folder):
        name = str(path.relative_to(folder))
        report(f"{model.name}: reading {name}")
        digests[name] = manifest.entry(path).sha256
        _compare(name, digests[name], stated, folder)
    write_manifest(model, folder, folder, digests)


def write_manifest(model: Model, source: Path, made: Path, digests: dict[str, str]) -> None:
    """Write the manifest of an imported model; the origin of a folder that the runbook made goes with it."""
    known = manifest.read(source)
    stated = expected(source)
    compared = bool(stated) and all(name in stated for name in digests if name.endswith(".safetensors"))
    manifest.write(
        made,
        manifest.Manifest(
            model=model.name,
            origin={**(known.origin if known else _hub_origin(source)), "import": source.name},
            verified=known.verified if known else compared,
            converter=known.converter if known else {},
            files=manifest.describe(made, digests),
        ),
    )


def expected(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of files as somebody else stated it: a manifest of the runbook, or the hub's client.

    The hub's client leaves a file's hash in `.cache/huggingface/download/*.metadata`, or, in its cache, as the name of
    the blob that a file links to. Git blob ids of small files are not SHA-256 and are left out.
    """
    known = manifest.read(folder)
    if known:
        return {name: entry.sha256 for name, entry in known.files.items()}
    stated = {str(path.relative_to(folder)): _hub_hash(folder, path) for path in manifest.files(folder)}
    return {name: digest for name, digest in stated.items() if len(digest) == hashlib.sha256().digest_size * 2}


def _hub_hash(folder: Path, path: Path) -> str:
    if path.is_symlink():
        return path.resolve().name
    note = folder / METADATA / f"{path.relative_to(folder)}.metadata"
    lines = note.read_text().splitlines() if note.exists() else []
    return lines[1].strip() if len(lines) > 1 else ""


def _hub_origin(folder: Path) -> dict[str, str]:
    """Return the commit that the hub's client noted, if it did."""
    notes = sorted((folder / METADATA).glob("*.metadata"))
    return {"revision": notes[0].read_text().splitlines()[0].strip()} if notes else {}


def _compare(name: str, digest: str, stated: dict[str, str], source: Path) -> None:
    if name in stated and digest != stated[name]:
        raise RunbookError(
            f"{name} is damaged: SHA-256 {digest[:12]}…, {stated[name][:12]}… is stated",
            where=str(source),
            fix="copy or fetch this file again, then import again; what is good is not copied twice",
        )


def _copy(source: Path, target: Path, stated: str) -> str:
    """Copy one file, read the copy back from the disk, and return its SHA-256. An equal copy is kept."""
    if target.exists() and target.stat().st_size == source.stat().st_size:
        there = _read_back(target)
        if there == (stated or sha256(source)):
            return there
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as copy:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    if _read_back(target) != digest.hexdigest():
        raise RunbookError(
            f"{source.name}: the copy differs from the original",
            where=paths.short(target),
            fix="test the disk and the cable (smartctl -a, dmesg), then import again",
        )
    return digest.hexdigest()


def _read_back(path: Path) -> str:
    """Return the SHA-256 of what is on the disk, not of what the page cache still holds."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _wrong_config(model: Model, folder: Path) -> list[str]:
    """Compare the folder's config.json with the catalogue; return the differences."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["config.json is missing or not JSON"]
    return differences(model, config)


def differences(model: Model, config: dict[str, object]) -> list[str]:
    """Return where a config.json departs from the catalogue's architecture and format; empty if nowhere.

    The vocabulary is left out: its padding differs between the publications of one model.
    """
    arch = model.architecture
    experts = arch.experts or None
    quantised = config.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    pairs = [
        ("num_hidden_layers", config.get("num_hidden_layers"), arch.layers),
        ("hidden_size", config.get("hidden_size"), arch.hidden),
        ("num_attention_heads", config.get("num_attention_heads"), arch.q_heads),
        ("num_key_value_heads", config.get("num_key_value_heads", arch.kv_heads), arch.kv_heads),
        ("head_dim", config.get("head_dim", arch.head_dim), arch.head_dim),
        ("ffn", config.get("moe_intermediate_size", config.get("intermediate_size")), arch.ffn),
        ("experts", config.get("num_experts", config.get("num_local_experts")), experts),
        ("quant_method", method, QUANT_METHODS.get(model.format)),
        *_bits(model, quantised),
    ]
    return [f"{key} is {found}, the catalogue says {wanted}" for key, found, wanted in pairs if found != wanted]


def _bits(model: Model, quantised: object) -> list[tuple[str, object, object]]:
    """Return what compressed-tensors says of the bits of a weight, where the catalogue's format tells them."""
    if model.format not in BITS or not isinstance(quantised, dict):
        return []
    groups = quantised.get("config_groups", {}).values()
    found = {group.get("weights", {}).get("num_bits") for group in groups}
    return [("num_bits", found.pop() if len(found) == 1 else None, BITS[model.format])]


def _wrong_shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    else:
        shards = {path.name for path in folder.glob("*.safetensors")} or {"model.safetensors"}
    return [problem for shard in sorted(shards) if (problem := _wrong_shard(folder / shard))]


def _wrong_shard(path: Path) -> str:
    """Compare a safetensors file's length with its own header: a copy that was cut short shows at once."""
    if not path.exists():
        return f"{path.name} is missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == len(b"12345678") else 0
        if not 0 < length < min(size, HEADER_LIMIT):
            return f"{path.name} has no safetensors header"
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return f"{path.name} has a broken safetensors header"
    end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    wanted = 8 + length + end
    return "" if size == wanted else f"{path.name} has {size:,} bytes instead of {wanted:,}"
