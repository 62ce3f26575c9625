"""Importing from a disk: a whole model is copied and read back, a half or wrong one is refused by name."""

import hashlib
import json
from pathlib import Path

import pytest
import tiny

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, disk, fetch, manifest
from lib.engine.models.catalogue import Repository

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "get", lambda _name: tiny.model(Repository(repo="owner/tiny")))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """A folder as the hub's client leaves it on a drive: files, and beside them the hashes that the hub stated."""
    content = tiny.files()
    folder = tiny.write(tmp_path / "drive/tiny", content)
    for name, data in content.items():
        note = folder / disk.METADATA / f"{name}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{COMMIT}\n{hashlib.sha256(data).hexdigest()}\n1764000000.0\n")
    return folder


def test_a_carried_model_is_copied_and_compared(carried: Path, place: Path) -> None:
    folder = fetch.import_from("tiny", carried, place)
    assert {str(path.relative_to(folder)): path.read_bytes() for path in manifest.files(folder)} == tiny.files()
    known = fetch.installed("tiny", place)
    assert known is not None
    assert known.origin == {"revision": COMMIT, "import": "tiny"}
    assert fetch.verify("tiny", place).status == "pass"
    assert fetch.ensure("tiny", place) == folder


def test_a_damaged_file_on_the_drive_is_named(carried: Path, place: Path) -> None:
    data = bytearray((carried / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (carried / "model.safetensors").write_bytes(data)
    with pytest.raises(RunbookError, match=r"model\.safetensors is damaged"):
        fetch.import_from("tiny", carried, place)
    assert not (place / "tiny").exists()


def test_an_interrupted_import_goes_on(carried: Path, place: Path) -> None:
    partial = tiny.write(place / "tiny.partial/model", tiny.files())
    (partial / "config.json").write_bytes(b"half")
    before = (partial / "model.safetensors").stat()
    folder = fetch.import_from("tiny", carried, place)
    after = (folder / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert fetch.verify("tiny", place).status == "pass"


def test_a_copy_that_is_not_equal_is_made_again(carried: Path, place: Path) -> None:
    content = tiny.files()
    flipped = bytearray(content["model.safetensors"])
    flipped[-1] ^= 1
    tiny.write(place / "tiny.partial/model", {**content, "model.safetensors": bytes(flipped)})
    fetch.import_from("tiny", carried, place)
    assert fetch.verify("tiny", place).status == "pass"


def test_without_stated_hashes_verify_warns(tmp_path: Path, place: Path) -> None:
    folder = tiny.write(tmp_path / "bare", tiny.files())
    fetch.import_from("tiny", folder, place)
    check = fetch.verify("tiny", place)
    assert check.status == "warn"
    assert "published hashes" in check.observed


def test_another_store_of_the_runbook_is_a_source(carried: Path, place: Path, tmp_path: Path) -> None:
    first = fetch.import_from("tiny", carried, place)
    fetch.import_from("tiny", first, tmp_path / "other")
    known = fetch.installed("tiny", tmp_path / "other")
    assert known is not None
    assert known.origin["revision"] == COMMIT
    assert fetch.verify("tiny", tmp_path / "other").status == "pass"


def test_the_hubs_cache_with_its_links_is_a_source(tmp_path: Path, place: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / COMMIT
    for name, data in tiny.files().items():
        blob = blobs / hashlib.sha256(data).hexdigest()
        tiny.write(blobs, {blob.name: data})
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    folder = fetch.import_from("tiny", snapshot, place)
    assert not (folder / "config.json").is_symlink()
    assert fetch.verify("tiny", place).status == "pass"


def test_a_folder_in_the_store_is_taken_over(place: Path) -> None:
    folder = tiny.write(place / "tiny", tiny.files())
    inode = (folder / "model.safetensors").stat().st_ino
    assert fetch.import_from("tiny", folder, place) == folder
    assert (folder / "model.safetensors").stat().st_ino == inode
    assert fetch.ensure("tiny", place) == folder


def test_a_damaged_folder_in_the_store_is_not_taken_over(carried: Path, place: Path) -> None:
    folder = fetch.import_from("tiny", carried, place)
    (folder / "config.json").write_text(json.dumps({**tiny.CONFIG, "note": 1}))
    with pytest.raises(RunbookError, match=r"config\.json is damaged"):
        fetch.import_from("tiny", folder, place)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config.json": b"{"}, "config.json is missing or not JSON"),
        ({"config.json": json.dumps({**tiny.CONFIG, "num_hidden_layers": 3}).encode()}, "num_hidden_layers is 3"),
        ({"model.safetensors": tiny.safetensors(20_000)[:-1]}, "bytes instead of"),
        ({"model.safetensors": b"\xff" * 100}, "has no safetensors header"),
        ({"model.safetensors": b"cut"}, "has no safetensors header"),
        ({"model.safetensors": b"\5" + b"\0" * 7 + b"{{{{{ and more"}, "broken safetensors header"),
        (
            {"model.safetensors.index.json": json.dumps({"weight_map": {"w": "model-2.safetensors"}}).encode()},
            "model-2.safetensors is missing",
        ),
    ],
)
def test_a_half_or_wrong_model_is_refused(tmp_path: Path, place: Path, change: dict[str, bytes], words: str) -> None:
    folder = tiny.write(tmp_path / "drive", {**tiny.files(), **change})
    with pytest.raises(RunbookError) as caught:
        fetch.import_from("tiny", folder, place)
    assert words in caught.value.what


def test_no_weights_at_all_are_refused(tmp_path: Path, place: Path) -> None:
    folder = tiny.write(tmp_path / "drive", {"config.json": tiny.files()["config.json"]})
    with pytest.raises(RunbookError, match=r"model\.safetensors is missing"):
        fetch.import_from("tiny", folder, place)


def test_no_such_folder(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no such folder"):
        fetch.import_from("tiny", tmp_path / "nowhere", place)
