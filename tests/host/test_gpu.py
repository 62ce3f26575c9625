"""Graphics cards against the profile."""

from typing import Any

import pytest
from cards import WithCards
from machines import Changed, box, embedded, named, owner, plain

from lib.core.evidence import Check
from lib.host import gpu, pci
from lib.host.probe import RecordedHost

HOSTS = owner().folder.parent
RADEON = f"{pci.DEVICES}/0000:08:00.0"


def of_card(**fields: Any) -> list[Check]:
    return gpu.checks(WithCards(**fields), box())


def test_the_owners_cards_pass() -> None:
    found = gpu.checks(owner(), box())
    assert {check.status for check in found} == {"pass"}
    assert {check.name for check in found} >= {
        f"hardware.gpu0.{part}"
        for part in (
            "name",
            "memory",
            "ecc",
            "ecc_errors",
            "power_limit",
            "temperature",
            "throttle",
            "pcie_width",
            "pcie_generation",
            "rebar",
            "xid",
        )
    } | {"hardware.gpu.present", "hardware.gpu1.name", "hardware.gpu1.memory"}
    assert all(check.provenance.where == "recorded" for check in found)


def test_no_card_expected_and_none_there_is_one_skip() -> None:
    (check,) = gpu.checks(Changed(), embedded())
    assert (check.name, check.status, check.observed) == ("hardware.gpu.present", "skip", "none")
    assert "embedded" in check.expected


def test_a_card_that_the_profile_does_not_use_is_named() -> None:
    (check,) = gpu.checks(owner(), embedded())
    assert check.status == "pass"
    assert "RTX PRO 6000" in check.observed
    assert "not used" in check.observed


def test_no_card_where_two_are_expected() -> None:
    (check,) = gpu.checks(plain(), box())
    assert check.status == "fail"
    assert check.observed == "none"
    assert "lspci -nn" in check.fix


def test_a_card_whose_driver_does_not_answer_is_told_from_a_missing_one() -> None:
    check = named(gpu.checks(RecordedHost(HOSTS / "driver-560"), box()), "hardware.gpu.present")
    assert check.status == "fail"
    assert "on the bus, but no driver answers for it: RTX PRO 6000 Blackwell" in check.observed
    assert "python -m lib run --only 02" in check.fix


def test_half_the_lanes() -> None:
    found = gpu.checks(RecordedHost(HOSTS / "pcie-x8"), box())
    check = named(found, "hardware.gpu0.pcie_width")
    assert (check.status, check.expected, check.observed) == ("fail", "x16", "x8")
    assert "sudo lspci -vvs 01:00.0 | grep -E 'LnkCap|LnkSta'" in check.fix
    assert "second card" in check.fix
    assert "M.2" in check.fix
    assert [other.name for other in found if other.status != "pass"] == ["hardware.gpu0.pcie_width"]


@pytest.mark.parametrize(
    ("name", "fields", "status", "word"),
    [
        ("name", {"name": "NVIDIA RTX 6000 Ada Generation"}, "fail", "profile"),
        ("name", {"compute_capability": "9.0"}, "fail", "profile"),
        ("memory", {"memory_total_mib": 49140}, "fail", "mig"),
        ("memory", {"memory_total_mib": 97000}, "pass", ""),
        ("memory", {"memory_total_mib": None}, "skip", "nvidia-smi -q"),
        ("ecc", {"ecc_pending": False}, "warn", "sudo reboot"),
        ("ecc", {"ecc": None}, "skip", "nvidia-smi -q"),
        ("ecc_errors", {"ecc_uncorrected": 1}, "fail", "sudo reboot"),
        ("ecc_errors", {"remapping_pending": 1}, "warn", "sudo reboot"),
        ("ecc_errors", {"remapping_failed": 1}, "fail", "replacement"),
        ("ecc_errors", {"ecc_uncorrected": None}, "skip", "nvidia-smi -q"),
        ("power_limit", {"power_default_w": 300.0}, "warn", "Max-Q"),
        ("power_limit", {"power_limit_w": 450.0}, "pass", ""),
        ("power_limit", {"power_default_w": None}, "skip", "nvidia-smi -q"),
        ("temperature", {"temperature_c": 83}, "warn", "-pl 450"),
        ("temperature", {"temperature_c": 87}, "fail", "-pl 450"),
        ("temperature", {"temperature_c": None}, "skip", "nvidia-smi -q"),
        ("throttle", {"event_reasons": ["sw_power_cap"]}, "pass", ""),
        ("throttle", {"event_reasons": ["sw_thermal_slowdown"]}, "warn", "TEMPERATURE"),
        ("throttle", {"event_reasons": ["hw_slowdown", "hw_power_brake_slowdown"]}, "fail", "12V-2x6"),
        ("throttle", {"event_reasons": []}, "pass", ""),
        ("throttle", {"event_reasons": None}, "skip", "nvidia-smi -q"),
        ("rebar", {"bar1_total_mib": 256}, "warn", "Resizable BAR"),
        ("rebar", {"bar1_total_mib": None}, "skip", "nvidia-smi -q"),
        ("pcie_generation", {"pcie_generation_max": 4}, "warn", "firmware"),
        ("pcie_generation", {"pcie_generation_max": None}, "skip", "nvidia-smi -q"),
        ("pcie_width", {"pcie_width": None}, "skip", "nvidia-smi -q"),
    ],
)
def test_one_thing_wrong_is_found_and_nothing_else(name: str, fields: dict[str, Any], status: str, word: str) -> None:
    found = of_card(**fields)
    check = named(found, f"hardware.gpu0.{name}")
    assert check.status == status
    assert word in check.fix
    if status != "pass":
        assert check.observed not in ("", check.expected)


def test_an_idle_link_is_no_slow_link() -> None:
    check = named(of_card(pcie_generation=1), "hardware.gpu0.pcie_generation")
    assert check.status == "pass"
    assert "an idle card saves power" in check.observed


def test_a_card_that_tells_nothing_but_its_name_skips_and_does_not_crash() -> None:
    silent = {
        "driver": "580.95.05",
        "cuda": "13.0",
        "error": None,
        "cards": [{"index": 0, "name": "RTX PRO 6000 Blackwell"}],
    }
    found = [check for check in gpu.checks(WithCards(silent), box()) if check.name.startswith("hardware.gpu0")]
    assert {check.status for check in found if check.name not in ("hardware.gpu0.name", "hardware.gpu0.xid")} == {
        "skip"
    }


def test_a_radeon_without_its_driver() -> None:
    check = named(gpu.checks(WithCards(files={f"{RADEON}/mem_info_vram_total": None}), box()), "hardware.gpu1.memory")
    assert check.status == "fail"
    assert "sudo modprobe amdgpu" in check.fix


def test_a_second_nvidia_card_is_seen() -> None:
    known = owner().nvml() or {}
    second = {**known["cards"][0], "index": 1, "name": "NVIDIA GeForce GT 1030"}
    check = named(gpu.checks(WithCards({**known, "cards": [second, *known["cards"]]}), box()), "hardware.gpu.present")
    assert check.status == "pass"
    assert "NVIDIA GeForce GT 1030 (not in the profile)" in check.observed
