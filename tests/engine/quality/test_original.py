"""The 4-bit file: fetched as it is and kept, compared, and a clear word where it cannot be."""

from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, manifest, wheel
from lib.engine.models.catalogue import Model, Package
from lib.engine.quality import original


def test_it_is_fetched_once_and_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[Package] = []

    def bring(model: Model, source: Package, work: Path, _report: object) -> Path:
        brought.append(source)
        made = work / "payload"
        made.mkdir(parents=True)
        (made / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
        files = manifest.describe(made, {})
        manifest.write(made, manifest.Manifest(model=model.name, origin={}, verified=True, files=files))
        return made

    monkeypatch.setattr(wheel, "bring", bring)
    monkeypatch.setattr(original, "FOLDER", tmp_path)
    model = catalogue.get("smollm2-135m")
    first, again = original.fetched(model), original.fetched(model)
    assert first == again
    assert first.read_bytes() == b"GGUF"
    assert [source.gguf for source in brought] == [""]
    first.write_bytes(b"damaged")
    assert original.fetched(model).read_bytes() == b"GGUF"


def test_a_model_that_never_was_a_gguf_file_is_told() -> None:
    with pytest.raises(RunbookError, match="was not made from a GGUF file"):
        original.fetched(catalogue.get("qwen3-32b"))


def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"not a model")
    with pytest.raises(RunbookError, match=r"the comparison with broken\.gguf failed"):
        original.compare(file, tmp_path, [[1, 2]])


def test_rounding_to_bfloat16_stays_within_half_a_step() -> None:
    import numpy as np

    numbers = np.random.default_rng(1).normal(size=100_000).astype(np.float32)
    bits = numbers.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    error = np.abs(rounded - numbers) / np.abs(numbers)
    assert error.max() <= original.HALF_STEP
    assert error.max() > 0.9 * original.HALF_STEP
