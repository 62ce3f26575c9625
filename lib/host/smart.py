"""Health and wear of drives, as the drives themselves tell it."""

import json
from typing import Any

from lib.core.evidence import Check, Status
from lib.host import disks, tools
from lib.host.disks import Disk
from lib.host.probe import Host, Output

# ATA attributes that count sectors which could not be read or had to be replaced.
SECTORS = {5: "reallocated", 197: "pending", 198: "uncorrectable"}
KELVIN = 273.15
WORN_PERCENT = 80


def checks(host: Host) -> list[Check]:
    """Return one check a drive; drives of a virtual machine tell nothing and are left to its host."""
    found = disks.parse(host.run(*disks.LIST).out)
    physical = [disk for disk in found if disk.kind != "virtual"]
    if found and not physical:
        return [
            Check(
                name="hardware.disk.health",
                title="Health and wear of the drives",
                status="skip",
                expected="each drive tells its wear and calls itself healthy",
                observed="virtual disks have no wear to tell",
                fix="look on the machine that hosts this one: sudo smartctl -a /dev/…",
            )
        ]
    return _one_skip_a_tool([_health(host, disk) for disk in physical])


def _one_skip_a_tool(found: list[Check]) -> list[Check]:
    """Tell a missing tool once, not once a drive."""
    seen = set[str]()
    kept = []
    for check in found:
        if check.status == "skip" and check.fix in seen:
            continue
        seen.add(check.fix)
        kept.append(check)
    return kept


def _health(host: Host, disk: Disk) -> Check:
    name, title = f"hardware.disk.health.{tools.slug(disk.name)}", f"Health of {disk.name} ({disk.model or disk.kind})"
    if disk.kind == "nvme":
        output = host.run("nvme", "smart-log", f"/dev/{disk.name}", "-o", "json")
        verdict = judge_nvme(_load(output))
        tool = "nvme"
    else:
        output = host.run("smartctl", "-j", "-a", f"/dev/{disk.name}")
        verdict = judge_ata(_load(output))
        tool = "smartctl"
    expected = f"no warning of the drive, wear below {WORN_PERCENT} %, no lost sector"
    if verdict is None:
        return tools.skip(name, title, tool, output, expected)
    status, observed = verdict
    return Check(
        name=name,
        title=title,
        status=status,
        expected=expected,
        observed=observed,
        fix="back up now and test the backup; replace the drive when the count grows or the drive itself warns",
    )


def _load(output: Output) -> dict[str, Any]:
    """Return the JSON that a tool printed; smartctl exits with a bit mask of findings, so the code says nothing."""
    try:
        loaded = json.loads(output.out)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _number(value: object) -> int | None:
    """Return a count that nvme-cli prints as a number, as text, or as an object with a ``value``."""
    if isinstance(value, dict):
        return _number(value.get("value"))
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return tools.count(str(value))


def judge_nvme(log: dict[str, Any]) -> tuple[Status, str] | None:
    """Judge ``nvme smart-log -o json``; None when it holds no log."""
    used = _number(log.get("percent_used", log.get("percentage_used")))
    warning = _number(log.get("critical_warning"))
    if used is None or warning is None:
        return None
    spare, threshold = _number(log.get("avail_spare")), _number(log.get("spare_thresh"))
    lost, kelvin = _number(log.get("media_errors")) or 0, _number(log.get("temperature"))
    words = [f"{used} % worn"]
    words += [f"spare {spare} %"] if spare is not None else []
    words += [f"{kelvin - KELVIN:.0f} °C"] if kelvin else []
    words += [
        f"{_number(log.get('power_on_hours')) or 0} h on",
        f"{_number(log.get('unsafe_shutdowns')) or 0} power cuts",
    ]
    words += [f"{lost} media errors"] if lost else []
    words += [f"critical warning 0x{warning:02x}"] if warning else []
    spent = spare is not None and threshold is not None and spare < threshold
    status: Status = "fail" if warning or spent else "warn" if lost or used >= WORN_PERCENT else "pass"
    return status, ", ".join(words)


def judge_ata(log: dict[str, Any]) -> tuple[Status, str] | None:
    """Judge ``smartctl -j -a``; None when the drive gave no verdict."""
    verdict = log.get("smart_status")
    passed = verdict.get("passed") if isinstance(verdict, dict) else None
    if not isinstance(passed, bool):
        return None
    lost = _sectors(log)
    words = ["the drive calls itself healthy" if passed else "the drive predicts its own failure"]
    words += [f"{number} sectors {what}" for what, number in lost.items()]
    for key, field, unit in (("temperature", "current", "°C"), ("power_on_time", "hours", "h on")):
        section = log.get(key)
        number = _number(section.get(field)) if isinstance(section, dict) else None
        words += [f"{number} {unit}"] if number is not None else []
    return ("fail" if not passed else "warn" if lost else "pass"), ", ".join(words)


def _sectors(log: dict[str, Any]) -> dict[str, int]:
    """Return what happened to how many sectors, where it happened to any."""
    attributes = log.get("ata_smart_attributes")
    table = attributes.get("table") if isinstance(attributes, dict) else None
    found = {}
    for row in table if isinstance(table, list) else []:
        raw = row.get("raw") if isinstance(row, dict) else None
        what = SECTORS.get(row.get("id")) if isinstance(raw, dict) and isinstance(row.get("id"), int) else None
        number = _number(raw.get("value")) if isinstance(raw, dict) else None
        if what and number:
            found[what] = number
    return found
