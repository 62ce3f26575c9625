"""Tuning: what is fine stays, what should change is planned with reason, source, commands and a way back that works."""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cards import WithCards
from hypothesis import given
from hypothesis import strategies as st
from machines import Changed, box, embedded, fuzz, named, owner, plain

from lib.core.evidence import Change, Check
from lib.core.sections import Profile
from lib.host import setting, tuning, tuning_memory
from lib.host.probe import Host, Output

PAGES = "/proc/sys/vm/nr_hugepages"
GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy{}/scaling_governor"
NAMES = {
    f"tuning.{name}"
    for name in (
        "hugepages", "transparent_hugepages", "swappiness", "numa", "zfs_arc_max", "governor", "pcie_aspm",
        "persistence", "power_limit", "open_files",
    )
}  # fmt: skip


def check(host: Host, name: str, profile: Profile | None = None) -> Check:
    return named(tuning.checks(host, profile or box()), f"tuning.{name}")


def changes(host: Host, profile: Profile | None = None) -> dict[str, Change]:
    return {change.name.removeprefix("tuning."): change for change in tuning.plan(host, profile or box())}


def test_every_setting_is_judged_with_reason_and_where_it_matters_source() -> None:
    found = tuning.checks(owner(), box())
    assert {item.name for item in found} == NAMES
    assert all(len(item.expected) > 20 for item in found), "value and reason"
    assert [item.name for item in found if not item.source] == ["tuning.zfs_arc_max"], "ZFS is not loaded there"


def test_the_owners_box_as_ubuntu_installs_it() -> None:
    planned = changes(owner())
    assert planned.keys() == {"swappiness", "governor", "persistence", "power_limit"}
    for change in planned.values():
        assert (change.status, change.provenance.where) == ("planned", "recorded")
        assert change.target.startswith("/etc/")
        assert change.before != change.after
        assert change.source.startswith("https://")
        assert change.reason.endswith(".")


def test_a_box_as_planned_needs_no_further_change() -> None:
    files: dict[str, str | None] = {"/proc/sys/vm/swappiness": "10\n", GOVERNOR.format(0): "performance\n"}
    files[GOVERNOR.format(1)] = "performance\n"
    host = WithCards(files=files, persistence=True, power_limit_w=450.0)
    assert changes(host) == {}
    assert {item.status for item in tuning.checks(host, box())} == {"pass"}


def test_a_machine_without_card_and_profile_without_card() -> None:
    assert changes(plain(), embedded()).keys() <= {"swappiness", "open_files"}
    for name in ("persistence", "power_limit"):
        found = check(plain(), name, embedded())
        assert (found.status, found.observed) == ("skip", "the profile has no NVIDIA card")
        assert check(plain(), name).observed == "no driver answers for the card"


def test_the_briefings_huge_pages_are_taken_back() -> None:
    files: dict[str, str | None] = {PAGES: "52429\n", "/etc/sysctl.conf": "vm.nr_hugepages=52429\n"}
    host = WithCards(files=files)
    found = check(host, "hugepages")
    assert (found.status, found.observed) == ("warn", "52429 (102.4 GiB)")
    assert "vLLM maps none" in found.expected
    change = changes(host)["hugepages"]
    assert change.after == "vm.nr_hugepages = 0"
    assert "/etc/sysctl.conf" in change.before, "the file that would set it again at the next boot"
    assert "102.4 of 126 GiB" in change.reason


def test_huge_pages_that_the_profile_wants_are_fine() -> None:
    assert check(WithCards(files={PAGES: "512\n"}), "hugepages", box(tuning__hugepages=512)).status == "pass"
    assert changes(owner(), box(tuning__hugepages=512))["hugepages"].after == "vm.nr_hugepages = 512"


def test_numactl_does_nothing_on_one_node() -> None:
    found = check(owner(), "numa")
    assert (found.status, found.observed) == ("pass", "1 node")
    assert "changes nothing" in found.expected


def test_two_nodes_bind_the_engine_to_its_card() -> None:
    files: dict[str, str | None] = {
        "/sys/devices/system/node/node1/cpulist": "16-31\n",
        "/sys/bus/pci/devices/0000:01:00.0/numa_node": "1\n",
    }
    found = check(WithCards(files=files), "numa")
    assert (found.status, found.observed) == ("warn", "2 nodes, card 0 at node 1")
    assert "--numa-bind" in found.fix
    assert "numa" not in changes(WithCards(files=files)), "a flag of the engine, no change of the host"
    assert check(WithCards(files=files), "numa", box(serving__extra_args=["--numa-bind"])).status == "pass"


@pytest.mark.parametrize(
    ("limit", "status", "words"),
    [
        (600.0, "warn", "The briefing asks for 300 W: 300 W costs at most 25 %"),
        (300.0, "warn", "Now 300 W costs at most 25 % of the tokens a second and at most 45 %"),
        (450.0, "pass", "at most 2 %"),
        (None, "skip", ""),
    ],
)
def test_the_power_limit(limit: float | None, status: str, words: str) -> None:
    host = WithCards(power_limit_w=limit)
    found = check(host, "power_limit")
    assert found.status == status
    assert words in found.expected
    if status == "warn":
        change = changes(host)["power_limit"]
        assert "nvidia-smi -i 0 -pl 450" in change.after
        assert f"nvidia-smi -i 0 -pl {limit:g}" in change.undo
        assert "enable --now nvidia-power-limit.service" in change.command
        assert "vllm-power-sweep-2026-04-29" in change.source


def test_a_limit_stays_inside_what_the_card_allows() -> None:
    card: dict[str, Any] = {"name": "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "power_limit_w": 250.0}
    host = WithCards(**card, power_default_w=300.0, power_min_w=250.0, power_max_w=325.0)
    change = changes(host)["power_limit"]
    assert "-pl 325" in change.after
    assert "no figures of this card are known" in change.reason.lower()


def test_without_a_cap_in_the_profile_the_default_is_kept() -> None:
    known = [gpu.model_dump() for gpu in box().host.gpus]
    profile = box(host__gpus=[{**known[0], "power_cap_w": 0.0}])
    assert check(owner(), "power_limit", profile).status == "pass"
    assert "-pl 600" in changes(WithCards(power_limit_w=300.0), profile)["power_limit"].after


@pytest.mark.parametrize(
    ("files", "name", "status", "after"),
    [
        ({tuning_memory.THP: "[always] madvise never\n"}, "transparent_hugepages", "warn", "enabled - - - - madvise"),
        ({tuning_memory.THP: None}, "transparent_hugepages", "skip", ""),
        ({"/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n"}, "swappiness", "pass", ""),
        ({"/proc/sys/vm/swappiness": "5\n"}, "swappiness", "pass", ""),
        ({"/proc/sys/vm/swappiness": None}, "swappiness", "skip", ""),
        ({PAGES: "many\n"}, "hugepages", "skip", ""),
        ({GOVERNOR.format(1): "performance\n"}, "governor", "warn", "policy*/scaling_governor - - - - performance"),
        ({GOVERNOR.format(0): None, GOVERNOR.format(1): None}, "governor", "skip", ""),
        ({"/sys/module/pcie_aspm/parameters/policy": "default [powersave]\n"}, "pcie_aspm", "warn", "- - - - default"),
        ({"/sys/module/pcie_aspm/parameters/policy": "[performance]\n"}, "pcie_aspm", "pass", ""),
        ({"/sys/module/pcie_aspm/parameters/policy": None}, "pcie_aspm", "pass", ""),
        (
            {"/proc/modules": "zfs 1 0\n", tuning_memory.ARC_MAX: "0\n"},
            "zfs_arc_max",
            "warn",
            "zfs_arc_max=16106127360",
        ),
        ({"/proc/modules": "zfs 1 0\n", tuning_memory.ARC_MAX: "8589934592\n"}, "zfs_arc_max", "pass", ""),
        ({"/proc/modules": "zfs 1 0\n", tuning_memory.ARC_MAX: "99999999999\n"}, "zfs_arc_max", "warn", "16106127360"),
        ({"/proc/modules": "zfs 1 0\n"}, "zfs_arc_max", "skip", ""),
    ],
)
def test_one_setting_changed(files: dict[str, str | None], name: str, status: str, after: str) -> None:
    host = WithCards(files=files)
    found = check(host, name)
    assert found.status == status
    assert (name in changes(host)) is (status == "warn")
    if status == "warn":
        assert after in changes(host)[name].after
        assert "undo: " in found.fix


@pytest.mark.parametrize(
    ("shown", "limits", "status", "planned"),
    [
        (Output(0, "DefaultLimitNOFILE=524288\n"), None, "pass", False),
        (Output(0, "DefaultLimitNOFILE=infinity\n"), None, "pass", False),
        (Output(0, "DefaultLimitNOFILE=4096\n"), None, "warn", True),
        (Output(1, "System has not been booted with systemd\n"), "Max open files  1024  20000  files\n", "warn", False),
        (Output(1, ""), "Max open files  1024  unlimited  files\n", "pass", False),
        (Output(1, ""), None, "skip", False),
    ],
)
def test_open_files(shown: Output, limits: str | None, status: str, planned: bool) -> None:
    host = WithCards(commands={"systemctl": shown}, files={"/proc/self/limits": limits})
    assert check(host, "open_files").status == status
    assert ("open_files" in changes(host)) is planned


def test_persistence_that_is_on_off_or_unknown() -> None:
    assert check(WithCards(persistence=True), "persistence").status == "pass"
    assert check(WithCards(persistence=None), "persistence").status == "skip"
    assert check(owner(), "persistence", box(tuning__persistence=False)).status == "pass"
    change = changes(owner())["persistence"]
    assert "--no-persistence-mode" in change.before
    assert "--no-persistence-mode" not in change.after


def test_nothing_known_at_all_is_no_crash() -> None:
    found = tuning.checks(Changed(), box())
    assert {item.name for item in found} == NAMES
    assert {item.status for item in found} <= {"skip", "pass"}
    assert tuning.plan(Changed(), box()) == []


@given(st.text())
@fuzz
def test_any_content_of_a_file_is_read(text: str) -> None:
    paths = (PAGES, "/proc/sys/vm/swappiness", "/proc/swaps", tuning_memory.THP, "/proc/self/limits", "/proc/modules")
    host = WithCards(files=dict.fromkeys(paths, text))
    assert {item.name for item in tuning.checks(host, box())} == NAMES


@given(st.lists(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), min_size=1, unique=True), st.data())
@fuzz
def test_the_word_in_brackets(words: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(words))
    text = " ".join(f"[{word}]" if word == chosen else word for word in words)
    assert tuning_memory.selected(text) == chosen
    assert tuning_memory.selected(" ".join(words)) == ""


# The commands are run for real below, on a copy of the files they name; what acts on a host has a harmless stand-in.
STANDINS = ("sysctl", "systemctl", "systemd-tmpfiles", "update-initramfs", "nvidia-smi")
STUBBORN: dict[str, str | None] = {
    PAGES: "52429\n",
    "/etc/sysctl.conf": "# vm.nr_hugepages = 5000\nvm.nr_hugepages = 52429\nkernel.sysrq=1\n",
    "/etc/sysctl.d/70-old.conf": "  vm.swappiness=90\nvm.nr_hugepages_policy = 1\n",
    tuning_memory.THP: "[always] madvise never\n",
    "/sys/module/pcie_aspm/parameters/policy": "default performance [powersave]\n",
    "/proc/modules": "zfs 1 0\n",
    tuning_memory.ARC_MAX: "0\n",
}


def shell(script: str, root: Path) -> None:
    for folder in ("/etc/", "/sys/"):
        script = script.replace(folder, f"{root}{folder}")
    path = f"{root}/bin:{os.environ['PATH']}"
    subprocess.run(["bash", "-eu", "-c", script], check=True, env={"PATH": path}, cwd=root, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = dict.fromkeys(STANDINS, 'echo "$(basename "$0") $*" >> ran.txt') | {"sudo": 'exec "$@"'}
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    shutil.copytree(owner().folder / "files" / "etc", tmp_path / "etc")
    for path, content in STUBBORN.items():
        if path.startswith(("/etc", "/sys")):
            (tmp_path / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.lstrip("/")).write_text(content or "")
    for core in (0, 1):
        (tmp_path / GOVERNOR.format(core).lstrip("/")).parent.mkdir(parents=True)
        (tmp_path / GOVERNOR.format(core).lstrip("/")).write_text("powersave\n")
    for name in ("sysctl.d", "tmpfiles.d", "modprobe.d"):
        (tmp_path / "etc" / name).mkdir(exist_ok=True)
    return tmp_path


def tree(root: Path) -> dict[str, str]:
    files = {str(path.relative_to(root)): path.read_text() for path in (root / "etc").rglob("*") if path.is_file()}
    return {name: text for name, text in files.items() if text}


def test_the_commands_do_what_the_plan_says_and_their_undo_takes_it_back(root: Path) -> None:
    host = WithCards(files=STUBBORN, commands={"systemctl": "DefaultLimitNOFILE=4096\n"})
    before, planned = tree(root), changes(host)
    assert planned.keys() == {name.removeprefix("tuning.") for name in NAMES} - {"numa"}
    for change in planned.values():
        shell(change.command, root)
        assert change.after in (root / change.target.lstrip("/")).read_text().replace(str(root), ""), change.name
    after = tree(root)
    assert "\n#90-inference# vm.nr_hugepages = 52429\n" in after["etc/sysctl.conf"]
    assert after["etc/sysctl.d/70-old.conf"].startswith("#90-inference#   vm.swappiness=90")
    assert after["etc/sysctl.d/70-old.conf"].splitlines()[1] == "vm.nr_hugepages_policy = 1", "another parameter stays"
    for change in reversed(planned.values()):
        shell(change.undo, root)
    assert tree(root) == before
    assert (root / GOVERNOR.format(1).lstrip("/")).read_text() == "powersave\n"
    assert "nvidia-smi -i 0 -pl 600" in (root / "ran.txt").read_text()


def test_a_second_sysctl_file_is_not_confused_with_the_first() -> None:
    edit = setting.sysctl(WithCards(files=STUBBORN), "vm.swappiness", 90, 10)
    assert "/etc/sysctl.d/70-old.conf" in edit.command
    assert "/etc/sysctl.conf" not in edit.command


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / "nvidia-power-limit.service"
    unit.write_text(changes(owner())["power_limit"].after.replace("/usr/bin/nvidia-smi", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=yes", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "nvidia-power-limit" in line and "man" not in line]
    assert not said
