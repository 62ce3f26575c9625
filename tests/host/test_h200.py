"""A real card, captured with its driver: what NVML told on an H200 runs through the same code as the owner's box."""

from pathlib import Path

import pytest

from lib.core import paths, profile
from lib.core.evidence import Check
from lib.host import audit, driver
from lib.host.probe import RecordedHost

HOST = RecordedHost(Path(paths.ROOT / "tests" / "hosts" / "h200"))


@pytest.fixture(scope="module")
def found() -> dict[str, Check]:
    chosen = profile.load("h200")
    return {check.name: check for check in [*audit.hardware(HOST, chosen), *driver.checks(HOST, chosen)]}


def test_it_was_captured_and_not_made_up() -> None:
    assert HOST.kind == "captured"
    snapshot = HOST.nvml()
    assert snapshot is not None
    assert snapshot["driver"] == "580.159.04"
    assert snapshot["cards"][0]["uuid"] == "masked"


def test_the_card_is_as_its_profile_expects(found: dict[str, Check]) -> None:
    card = {name: check.status for name, check in found.items() if name.startswith("hardware.gpu")}
    assert set(card.values()) == {"pass"}
    assert {
        "hardware.gpu0.memory",
        "hardware.gpu0.power_limit",
        "hardware.gpu0.ecc_errors",
        "hardware.gpu0.xid",
    } <= set(card)


def test_the_driver_serves_cuda_13_with_a_real_product_on_the_card(found: dict[str, Check]) -> None:
    for name in ("loaded", "version", "module", "cuda", "torch_arch", "compute_capability", "kernel"):
        assert found[f"driver.{name}"].status == "pass", found[f"driver.{name}"].observed


def test_what_the_capture_lacked_is_skipped_and_nothing_fails(found: dict[str, Check]) -> None:
    assert found["hardware.memory.modules"].status == "skip"
    assert "dmidecode" in found["hardware.memory.modules"].fix
    assert [check.name for check in found.values() if check.status == "fail"] == []
    assert [check.name for check in found.values() if check.name.startswith("hardware.checklist")] == []


def test_against_the_owners_profile_it_is_another_card() -> None:
    failed = {c.name for c in audit.hardware(HOST, profile.load("rtx-pro-6000")) if c.status == "fail"}
    assert {"hardware.gpu.present", "hardware.gpu0.name"} <= failed
