"""Where files come from: dropped, read, or copied to memory, and the copy goes whatever happens."""

import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.swap import source

SIZE = 8 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    """A model's folder on the disk that holds the repository: a temporary folder may lie in memory."""
    place = paths.CACHE / "tmp" / f"swap-test-{time.monotonic_ns()}"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"\7" * SIZE)
    (place / "config.json").write_text("{}")
    yield place
    for path in place.iterdir():
        path.unlink()
    place.rmdir()


def test_the_disk_and_the_page_cache_are_told_apart(folder: Path) -> None:
    with source.placed(folder, "page_cache") as warm:
        assert (warm.folder, warm.cached) == (folder, 1.0)
        assert not warm.cold
    with source.placed(folder, "disk") as cold:
        if cold.cached > source.COLD_UP_TO:
            pytest.skip("this file system answers from memory")
        assert cold.cold
        assert cold.size == SIZE + 2


def test_a_file_that_is_mapped_cannot_be_dropped_and_that_shows(folder: Path) -> None:
    import mmap

    weights = folder / "model.safetensors"
    with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(0, SIZE, 4096)) == 7 * SIZE // 4096
        with source.placed(folder, "disk") as place:
            assert not place.cold


def test_a_copy_in_memory_is_removed(folder: Path, tmp_path: Path) -> None:
    with source.placed(folder, "tmpfs", tmp_path) as place:
        assert (place.folder / "model.safetensors").read_bytes() == b"\7" * SIZE
        assert place.folder != folder
    assert not list(tmp_path.iterdir())


def test_a_copy_is_removed_after_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), source.placed(folder, "tmpfs", tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_copy_is_removed_when_its_owner_is_killed(folder: Path, tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from lib.engine.swap import source
        with source.placed(Path({str(folder)!r}), "tmpfs", Path({str(tmp_path)!r})):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=paths.ROOT, check=False)
    assert done.returncode == -9
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(tmp_path.iterdir())


def test_no_room_is_told_before_anything_is_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(RunbookError, match="no room in memory"), source.placed(folder, "tmpfs", tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_an_empty_file_has_no_cached_share(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert source.cached_share(tmp_path / "empty") == 0.0
