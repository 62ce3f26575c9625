"""What the image is made of, and the one sentence when it cannot be made."""

import os
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.lab import image, settings, tools, twins, vm
from lib.lab.image import Image


def test_missing_programs_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda program: None if program.startswith("qemu") else "/bin/true")
    with pytest.raises(tools.NoLabError) as caught:
        tools.need(*tools.RUNNING)
    assert caught.value.fix == "sudo apt-get install -y --no-install-recommends qemu-system-x86 qemu-utils"
    assert "network namespaces" in caught.value.where


def test_missing_rights_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(tools.NoLabError, match="needs root") as caught:
        tools.need_root("building the image of the twins", "make rehearse")
    assert caught.value.fix == "sudo make rehearse"


def test_missing_space_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="MiB are free"):
        tools.need_space(tmp_path, 2**40)


def test_an_unknown_twin_names_the_nearest() -> None:
    with pytest.raises(RunbookError, match="did you mean: client"):
        settings.role("clint")


def test_links_meet_in_pairs() -> None:
    roles = settings.load().roles
    for name, twin in roles.items():
        for neighbour, address in twin.links.items():
            other = roles[neighbour].links[name]
            assert address.rpartition(".")[0] == other.rpartition(".")[0]
            assert address != other


def test_a_twin_reaches_nothing_and_is_reached_from_here_only(tmp_path: Path) -> None:
    line = " ".join(vm.command("home", Image(tmp_path, "x"), 2222, "tcg", resume=False))
    assert "restrict=on" in line
    assert "hostfwd=tcp:127.0.0.1:2222-" in line
    assert line.count("-netdev user") == 1


def test_boot_and_resume_have_the_same_devices(tmp_path: Path) -> None:
    boot = vm.command("vps", Image(tmp_path, "x"), 1, "tcg", resume=False)
    resume = vm.command("vps", Image(tmp_path, "x"), 1, "tcg", resume=True)
    assert resume == [*boot, "-loadvm", vm.SAVED]


def test_the_image_is_kept_by_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "KEY", tmp_path / "key")
    monkeypatch.setattr(image, "PLACE", tmp_path)
    first = image.current()
    assert image.current() == first
    monkeypatch.setattr(image, "mirror", lambda: ("debian", "http://another.example/debian"))
    assert image.current().digest != first.digest


def test_down_without_twins_is_no_fault(tmp_path: Path) -> None:
    assert twins.Lab(tmp_path / "up").down() == []


def test_a_twin_that_is_not_up_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="the twin 'home' is not up") as caught:
        twins.Lab(tmp_path / "up").port("home")
    assert caught.value.fix == "python -m lib lab up"


def test_without_a_source_of_packages_there_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    with pytest.raises(tools.NoLabError, match=r"no source of (debian|ubuntu) packages is named"):
        image.mirror()
