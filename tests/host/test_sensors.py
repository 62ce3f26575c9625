"""Temperatures against each sensor's own limit, and fans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Changed, fuzz, named, owner

from lib.host import sensors

CHIP = "/sys/class/hwmon/hwmon{}"


def hwmon(*chips: dict[str, str]) -> Changed:
    """A machine with these chips; ``name`` and files such as ``temp1_input``."""
    return Changed(
        files={f"{CHIP.format(i)}/{name}": text for i, chip in enumerate(chips) for name, text in chip.items()}
    )


def test_the_owners_sensors() -> None:
    found = sensors.temperatures(owner())
    assert {reading.chip for reading in found} >= {"k10temp", "nvme", "spd5118", "amdgpu"}
    assert "acpitz" not in {reading.chip for reading in found}, "16.8 °C on every Gigabyte board is no temperature"
    tctl = next(reading for reading in found if reading.label == "Tctl")
    assert (tctl.value, tctl.limit) == (55.25, 95.0)
    checks = sensors.checks(owner())
    assert named(checks, "hardware.sensors.temperature").status == "pass"


def test_invisible_fans_are_a_skip_that_points_to_the_checklist() -> None:
    check = named(sensors.checks(owner()), "hardware.sensors.fans")
    assert check.status == "skip"
    assert "checklist" in check.fix
    assert "sensors-detect" in check.fix


@pytest.mark.parametrize(("value", "status"), [("84999", "pass"), ("86000", "warn"), ("99000", "warn")])
def test_close_to_the_limit_is_a_warning(value: str, status: str) -> None:
    host = hwmon({"name": "k10temp", "temp1_input": value, "temp1_label": "Tctl"})
    check = named(sensors.checks(host), "hardware.sensors.temperature")
    assert check.status == status
    assert "of 95" in check.observed


def test_the_sensors_own_limit_counts_before_the_general_one() -> None:
    host = hwmon({"name": "nvme", "temp1_input": "76000", "temp1_crit": "84850", "temp1_max": "81850"})
    assert named(sensors.checks(host), "hardware.sensors.temperature").status == "warn"


@pytest.mark.parametrize("limit", ["65261850", "20800", "-273150", "none"])
def test_an_absurd_limit_is_no_limit(limit: str) -> None:
    host = hwmon({"name": "nvme", "temp1_input": "46000", "temp1_crit": limit})
    assert sensors.temperatures(host)[0].limit == 0
    assert named(sensors.checks(host), "hardware.sensors.temperature").status == "skip"


@pytest.mark.parametrize("value", ["-55000", "0", "255000", "", "N/A"])
def test_an_absurd_temperature_is_left_out(value: str) -> None:
    assert sensors.temperatures(hwmon({"name": "gigabyte_wmi", "temp1_input": value})) == []


@pytest.mark.parametrize(
    ("speeds", "status", "seen"),
    [(["1200", "0", "800"], "pass", "2 of 3 turn"), (["0", "0"], "warn", "2 connectors, none turns")],
)
def test_fans(speeds: list[str], status: str, seen: str) -> None:
    host = hwmon({"name": "it8696"} | {f"fan{i}_input": speed for i, speed in enumerate(speeds, 1)})
    check = named(sensors.checks(host), "hardware.sensors.fans")
    assert (check.status, seen in check.observed) == (status, True), check.observed


def test_a_cards_own_fan_may_stand_still() -> None:
    assert sensors.fans(hwmon({"name": "amdgpu", "fan1_input": "0"})) == []


def test_a_machine_without_sensors_skips_both() -> None:
    assert [check.status for check in sensors.checks(Changed())] == ["skip", "skip"]


@fuzz
@given(st.dictionaries(st.sampled_from(["name", "temp1_input", "temp1_crit", "temp1_label", "fan1_input"]), st.text()))
def test_garbage_never_raises(chip: dict[str, str]) -> None:
    assert len(sensors.checks(hwmon(chip))) == 2
