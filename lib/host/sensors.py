"""Temperatures and fans, read from the kernel's hwmon files."""

import re
from dataclasses import dataclass

from lib.core.evidence import Check
from lib.host import tools
from lib.host.probe import Host

HWMON = "/sys/class/hwmon"
MARGIN = 10.0
# k10temp tells no limit; AMD gives 95 °C for its desktop processors since AM5.
PROCESSORS = {"k10temp": 95.0, "zenpower": 95.0, "coretemp": 100.0}
CARDS = ("amdgpu", "nouveau", "nvidia", "xe", "i915")


@dataclass(frozen=True)
class Reading:
    """One sensor: temperature in °C with its limit (0 is unknown), or a fan in revolutions a minute."""

    chip: str
    label: str
    value: float
    limit: float = 0

    def __str__(self) -> str:
        return f"{self.chip} {self.label} {self.value:.0f} °C" + (f" of {self.limit:.0f}" if self.limit else "")


def temperatures(host: Host) -> list[Reading]:
    """Return every plausible temperature; the firmware's own zone (acpitz) is a constant on many boards."""
    found = []
    for path in host.glob(f"{HWMON}/*/temp*_input"):
        stem = path.removesuffix("_input")
        chip = _chip(host, path)
        value = _milli(host, path)
        if chip == "acpitz" or value is None or not 0 < value < 150:
            continue
        limits = [_milli(host, f"{stem}_{kind}") for kind in ("crit", "max")]
        plausible = [limit for limit in limits if limit and 50 <= limit <= 150]
        limit = plausible[0] if plausible else PROCESSORS.get(chip, 0)
        found.append(Reading(chip, _label(host, stem), value, limit))
    return found


def fans(host: Host) -> list[Reading]:
    """Return the fans of board and case; a card's own fan may stand still on purpose and is left out."""
    found = []
    for path in host.glob(f"{HWMON}/*/fan*_input"):
        speed, chip = tools.count(host.read(path)), _chip(host, path)
        if speed is not None and chip not in CARDS:
            found.append(Reading(chip, _label(host, path.removesuffix("_input")), speed))
    return found


def _chip(host: Host, path: str) -> str:
    return (host.read(path.rsplit("/", 1)[0] + "/name") or "unknown").strip()


def _label(host: Host, stem: str) -> str:
    return (host.read(f"{stem}_label") or stem.rsplit("/", 1)[1]).strip()


def _milli(host: Host, path: str) -> float | None:
    number = tools.count(host.read(path))
    return None if number is None else number / 1000


def checks(host: Host) -> list[Check]:
    """Check temperatures against each sensor's own limit, and that fans are seen and turn."""
    return [_heat(temperatures(host)), _turning(fans(host))]


def _heat(found: list[Reading]) -> Check:
    limited = sorted((reading for reading in found if reading.limit), key=lambda reading: reading.limit - reading.value)
    hot = [reading for reading in limited if reading.value > reading.limit - MARGIN]
    hottest = {reading.chip: reading for reading in reversed(limited)}
    shown = "; ".join(str(reading) for reading in sorted(hottest.values(), key=lambda r: r.limit - r.value))
    return Check(
        name="hardware.sensors.temperature",
        title="Temperatures now",
        status="skip" if not limited else "warn" if hot else "pass",
        expected=f"every sensor {MARGIN:g} °C below its limit at least",
        observed=shown or "no sensor is visible",
        fix="look at fans, dust and the room's temperature; then again under load"
        if limited
        else "load the drivers: sudo apt-get install lm-sensors && sudo sensors-detect; a virtual machine has none",
    )


def _turning(found: list[Reading]) -> Check:
    turning = [reading for reading in found if reading.value > 0]
    named = ", ".join(f"{re.sub(r'^fan', 'fan ', reading.label)} {reading.value:.0f}" for reading in turning)
    fix = "look into the case, then at the fan curves in the firmware"
    if not found:
        fix = (
            "look into the case: the checklist's answer counts instead. Many boards need a driver for their fan chip: "
            "sudo sensors-detect; newer ITE chips (IT8696E on X870 boards) only have one outside the kernel"
        )
    return Check(
        name="hardware.sensors.fans",
        title="Fans of board and case",
        status="skip" if not found else "pass" if turning else "warn",
        expected="fans turn",
        observed=f"{len(turning)} of {len(found)} turn: {named} rpm"
        if turning
        else f"{len(found)} connectors, none turns"
        if found
        else "no fan is visible to the kernel",
        fix=fix,
        source="https://github.com/frankcrawford/it87/issues/103" if not found else "",
    )
