"""ZFS for twins, without a twin: what is built for which kernel, and what is said where that cannot be."""

import struct
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.lab import image as images
from lib.lab import tools, zfs
from lib.lab.image import Image

RELEASE = "6.12.0-test-amd64"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Return an image with the head of a kernel's file: its release is where the boot protocol has it."""
    head = bytearray(8192)
    head[0x20E:0x210] = struct.pack("<H", 0x1000 - 0x200)
    words = f"{RELEASE} (somebody@somewhere) #1".encode() + b"\0"
    head[0x1000 : 0x1000 + len(words)] = words
    (tmp_path / "vmlinuz").write_bytes(head)
    return Image(tmp_path, "d")


def test_the_release_is_that_of_the_kernels_file(image: Image) -> None:
    assert image.release == RELEASE


def test_what_was_built_is_not_built_again(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zfs, "_build", lambda *_: pytest.fail("built again"))
    (image.folder / "zfs").mkdir()
    (image.folder / "zfs" / "spl.ko.xz").touch()
    assert not zfs.built(image)
    (image.folder / "zfs" / "zfs.ko.xz").touch()
    assert zfs.built(image)
    assert zfs.modules(image) == image.folder / "zfs"


def test_a_build_that_made_no_modules_leaves_nothing(
    image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(images, "PLACE", tmp_path / "lab")
    monkeypatch.setattr(images, "mirror", lambda: ("debian", "http://mirror.example/debian"))
    monkeypatch.setattr(images, "run", lambda _, log, __: log.write_text("nothing was built\n"))
    monkeypatch.setattr(tools, "find", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(RunbookError, match=f"building ZFS made no modules for {RELEASE}"):
        zfs.modules(image)
    assert not zfs.built(image)
    assert (tmp_path / "lab" / "build.log").read_text() == "nothing was built\n"
    assert not (tmp_path / "lab" / "building").exists()


def test_without_its_programs_the_reason_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: None if name == "mmdebstrap" else f"/usr/bin/{name}")
    assert zfs.lacking().endswith("sudo apt-get install -y --no-install-recommends mmdebstrap")


def test_without_root_nothing_is_built(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(RunbookError, match="building the modules of ZFS needs root"):
        zfs.modules(image)
    assert zfs.lacking() == "building the modules of ZFS needs root; sudo make drill"
