"""Health of drives, as nvme-cli and smartctl tell it in their different versions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import FORBIDDEN, MISSING, Changed, fuzz, named, owner

from lib.host import smart
from lib.host.probe import Output

NVME = "nvme smart-log /dev/nvme1n1 -o json"
SMART = "smartctl -j -a /dev/sda"


def log(command: str, **changed: Any) -> str:
    """The owner's log with fields changed."""
    return json.dumps(json.loads(owner().run(*command.split()).out) | changed)


def judged(command: str, said: Output | str, name: str) -> smart.Check:
    return named(smart.checks(Changed(owner(), commands={command: said})), name)


def test_the_owners_drives_are_healthy() -> None:
    checks = smart.checks(owner())
    assert [(check.name, check.status) for check in checks] == [
        ("hardware.disk.health.sda", "pass"),
        ("hardware.disk.health.nvme0n1", "pass"),
        ("hardware.disk.health.nvme1n1", "pass"),
    ]
    assert checks[1].observed == "3 % worn, spare 100 %, 49 °C, 2210 h on, 21 power cuts"


@pytest.mark.parametrize(
    ("changed", "status", "seen"),
    [
        ({"percent_used": 79}, "pass", "79 % worn"),
        ({"percent_used": 80}, "warn", "80 % worn"),
        ({"percent_used": 130}, "warn", "130 % worn"),
        ({"media_errors": 2}, "warn", "2 media errors"),
        ({"media_errors": "340282366920938463463374607431768211455"}, "warn", "media errors"),
        ({"critical_warning": 4}, "fail", "critical warning 0x04"),
        ({"critical_warning": {"value": 1, "available_spare": 1}}, "fail", "critical warning 0x01"),
        ({"avail_spare": 5, "spare_thresh": 10}, "fail", "spare 5 %"),
    ],
)
def test_nvme_verdicts(changed: dict[str, Any], status: str, seen: str) -> None:
    check = judged(NVME, log(NVME, **changed), "hardware.disk.health.nvme1n1")
    assert (check.status, seen in check.observed) == (status, True), check.observed


def sectors(number: int) -> dict[str, Any]:
    return {"ata_smart_attributes": {"table": [{"id": 197, "raw": {"value": number}}, {"id": 5, "raw": {"value": 0}}]}}


@pytest.mark.parametrize(
    ("changed", "status", "seen"),
    [
        ({"smart_status": {"passed": False}}, "fail", "predicts its own failure"),
        (sectors(8), "warn", "8 sectors pending"),
        (sectors(0), "pass", "calls itself healthy"),
    ],
)
def test_ata_verdicts(changed: dict[str, Any], status: str, seen: str) -> None:
    # smartctl exits with a bit mask: 8 is a failing drive, 64 an old error log. The JSON decides, not the code.
    check = judged(SMART, Output(64, log(SMART, **changed)), "hardware.disk.health.sda")
    assert (check.status, seen in check.observed) == (status, True), check.observed


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (MISSING, "sudo apt-get install nvme-cli"),
        (FORBIDDEN, "run as root"),
        (Output(1, "", "/dev/nvme0n1: Permission denied\n"), "run as root"),
        (Output(1, "", "/dev/nvme0n1: No such file or directory\n"), "run it by hand"),
    ],
)
def test_a_tool_that_cannot_be_used_is_told_once(said: Output, fix: str) -> None:
    checks = smart.checks(Changed(owner(), commands={"nvme": said}))
    skips = [check for check in checks if check.status == "skip"]
    assert [check.name for check in skips] == ["hardware.disk.health.nvme0n1"], "once, not for each drive"
    assert fix in skips[0].fix


def test_smartctl_without_a_verdict_is_a_skip() -> None:
    said = '{"smartctl": {"messages": [{"string": "Unable to detect device type"}], "exit_status": 1}}'
    assert judged(SMART, Output(1, said), "hardware.disk.health.sda").status == "skip"


def test_virtual_disks_have_nothing_to_tell() -> None:
    disk = '{"blockdevices": [{"name": "vda", "type": "disk", "size": 9000000000, "rota": true, "tran": null}]}'
    checks = smart.checks(Changed(commands={"lsblk": disk}))
    assert [(check.name, check.status) for check in checks] == [("hardware.disk.health", "skip")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
    max_leaves=8,
)
KEYS = ["critical_warning", "percent_used", "avail_spare", "spare_thresh", "temperature", "media_errors"]
ATA = ["smart_status", "ata_smart_attributes", "temperature", "power_on_time"]


@fuzz
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_nvme_log_never_raises(tree: dict[str, Any]) -> None:
    verdict = smart.judge_nvme(tree)
    assert verdict is None or verdict[0] in ("pass", "warn", "fail")


@fuzz
@given(st.dictionaries(st.sampled_from(ATA), JSON))
def test_any_ata_log_never_raises(tree: dict[str, Any]) -> None:
    verdict = smart.judge_ata(tree | {"smart_status": {"passed": True}})
    assert verdict is not None


@fuzz
@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    checks = smart.checks(Changed(owner(), commands={"nvme": text, "smartctl": text}))
    assert {check.status for check in checks} == {"skip"}
