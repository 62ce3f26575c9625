"""Main memory: how much, in which modules, on how many channels, how fast, and why not faster."""

import re
from dataclasses import dataclass

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import cpu, tools
from lib.host.probe import Host

COMMAND = ("dmidecode", "-t", "memory")
CHANNEL_BYTES = 8
AMD_SPEEDS = (
    "AMD processor specification of the Ryzen 9 9950X, maximum memory speed: two modules DDR5-5600, four DDR5-3600; "
    "four 32 GB modules rated 5600 reported at 4200: https://github.com/noonghunna/club-3090/issues/1130 (2026-09-02)"
)
_SIZES = {"kB": 2**-20, "MB": 2**-10, "MiB": 2**-10, "GB": 1, "GiB": 1, "TB": 2**10, "TiB": 2**10}


@dataclass(frozen=True)
class Slot:
    """One slot of the board as SMBIOS describes it; an empty slot has size 0. Speeds are in MT/s, 0 is unknown."""

    locator: str
    channel: str
    size_gib: float
    kind: str
    part: str
    rated: int
    configured: int


def parse(text: str) -> list[Slot]:
    """Read the memory devices of ``dmidecode -t memory``; anything else gives none."""
    blocks = re.split(r"^Handle ", text, flags=re.M)
    devices = [dict(_fields(block)) for block in blocks if re.search(r"^Memory Device$", block, re.M)]
    return [_slot(device) for device in devices]


def _fields(block: str) -> list[tuple[str, str]]:
    pairs = (line.strip().partition(":") for line in block.splitlines())
    return [(key, value.strip()) for key, separator, value in pairs if separator]


def _slot(device: dict[str, str]) -> Slot:
    locator = device.get("Locator", "")
    return Slot(
        locator=locator,
        channel=_channel(locator, device.get("Bank Locator", "")),
        size_gib=_gib(device.get("Size", "")),
        kind=device.get("Type", ""),
        part=device.get("Part Number", ""),
        rated=_speed(device.get("Speed", "")),
        configured=_speed(device.get("Configured Memory Speed") or device.get("Configured Clock Speed") or ""),
    )


def _channel(locator: str, bank: str) -> str:
    """Return the channel's name: AMD writes ``P0 CHANNEL A`` into the bank, others ``DIMM_A1`` into the locator."""
    found = re.search(r"CHANNEL ?\w+", bank) or re.search(r"[Cc]hannel ?\w(?=\b|-)", locator)
    if found:
        return (bank if found.re.pattern.startswith("CHANNEL") else found.group()).strip()
    letter = re.search(r"([A-H])\d$", locator)
    return letter.group(1) if letter else ""


def _gib(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9}) (\w+)", text)
    return int(match.group(1)) * _SIZES.get(match.group(2), 0) if match else 0


def _speed(text: str) -> int:
    match = re.match(r"(\d{1,6}) (MT/s|MHz)", text)
    return int(match.group(1)) if match else 0


def total_gib(host: Host) -> float | None:
    """Return the memory that the kernel manages, in GiB, or None."""
    match = re.search(r"^MemTotal:\s+(\d{1,15}) kB", host.read("/proc/meminfo") or "", re.M)
    return int(match.group(1)) / 2**20 if match else None


def peak_gb_s(channels: int, mega_transfers: int) -> float:
    """Return the peak bandwidth in GB/s of 64-bit channels at that many MT/s."""
    return channels * CHANNEL_BYTES * mega_transfers / 1000


def checks(host: Host, profile: Profile) -> list[Check]:
    """Hold the memory against the profile, and its speed against what the modules are rated for."""
    output = host.run(*COMMAND)
    slots = parse(output.out)
    filled = [slot for slot in slots if slot.size_gib]
    if not filled:
        virtual = cpu.look(host)[0].hypervisor
        note = "A virtual machine has no modules to show; look on its host." if virtual else ""
        expected = f"{profile.host.memory.dimms or 'any number of'} modules at their rated speed"
        unseen = tools.skip("hardware.memory.modules", "Modules and their speed", COMMAND[0], output, expected, note)
        return [_total(host, profile), unseen]
    ecc = "no ECC" if re.search(r"Error Correction Type: None", output.out) else "ECC"
    return [_total(host, profile), _modules(slots, filled, ecc, profile), _rate(host, filled, profile)]


def _total(host: Host, profile: Profile) -> Check:
    found, wanted = total_gib(host), profile.host.memory.minimum_gib
    return Check(
        name="hardware.memory.total",
        title="Main memory",
        status="skip" if found is None else "pass" if found >= wanted else "fail",
        expected=f"at least {wanted:g} GiB",
        observed="/proc/meminfo cannot be read" if found is None else f"{found:.1f} GiB",
        fix="mount /proc"
        if found is None
        else "add memory, or serve a smaller model: lower host.memory.minimum_gib only after that",
    )


def _modules(slots: list[Slot], filled: list[Slot], ecc: str, profile: Profile) -> Check:
    wanted = profile.host.memory
    channels = len({slot.channel for slot in filled if slot.channel})
    kinds = {(f"{slot.size_gib:g} GiB", slot.kind, slot.part) for slot in filled}
    wrong = []
    if wanted.dimms and len(filled) != wanted.dimms:
        wrong.append(f"{len(filled)} modules instead of {wanted.dimms}: reseat them, see which slot stays empty")
    if wanted.channels and channels and channels < wanted.channels:
        wrong.append(f"only {channels} of {wanted.channels} channels in use: half the bandwidth; move a module over")
    if len(kinds) > 1:
        wrong.append("modules of different sorts: they run at the slowest one's timing; use one kit")
    return Check(
        name="hardware.memory.modules",
        title="Modules, channels and empty slots",
        status="warn" if wrong else "pass",
        expected=f"{wanted.dimms or 'any number of'} modules of one sort on {wanted.channels or 'all'} channels",
        observed=f"{len(filled)} × {', '.join(sorted(' '.join(filter(None, kind)) for kind in kinds))}; "
        f"{channels or 'unknown'} channels, {len(slots) - len(filled)} of {len(slots)} slots empty, {ecc}",
        fix="; ".join(wrong),
    )


def _rate(host: Host, filled: list[Slot], profile: Profile) -> Check:
    wanted = profile.host.memory.configured_mts
    speeds = [slot.configured for slot in filled if slot.configured]
    if not speeds:
        return Check(
            name="hardware.memory.speed",
            title="Memory speed",
            status="skip",
            expected=f"{wanted} MT/s" if wanted else "as rated",
            observed="the firmware does not tell the configured speed",
            fix="read it in the firmware's setup; a virtual machine shows none",
        )
    now, rated = min(speeds), min(slot.rated for slot in filled)
    channels = len({slot.channel for slot in filled if slot.channel})
    observed = f"{now} MT/s, rated {rated or 'unknown'}" + (" (overclocked)" if 0 < rated < now else "")
    if channels:
        observed += f"; peak {peak_gb_s(channels, now):.1f} GB/s"
        observed += f" of {peak_gb_s(channels, rated):.1f}" if now < rated else ""
    ryzen = "Ryzen" in cpu.look(host)[0].model
    slow = now < rated or now < wanted
    return Check(
        name="hardware.memory.speed",
        title="Memory speed: configured against rated",
        status="warn" if slow else "pass",
        expected=f"{max(wanted, rated)} MT/s as rated" + (f", {wanted} by the profile" if wanted else ""),
        observed=observed,
        fix=_slow_fix(doubled=bool(channels) and len(filled) > channels, ryzen=ryzen),
        source=AMD_SPEEDS if slow and ryzen else "",
    )


def _slow_fix(*, doubled: bool, ryzen: bool) -> str:
    """Say why memory runs below its rating and what to do; two modules on a channel are the usual reason."""
    if not doubled:
        return "enable the kit's profile in the firmware (EXPO or XMP), then run a memory test overnight (memtest86+)"
    reason = "Two modules share each channel"
    if ryzen:
        reason += "; on AM5 AMD specifies DDR5-3600 for four modules and DDR5-5600 for two"
    return (
        f"{reason}. Models on the card do not notice; models or experts in main memory slow down in proportion.\n"
        "To run faster: two larger modules (2 × 48 or 2 × 64 GB), one a channel; or raise the speed of these in steps "
        "in the firmware, each step proven by a memory test overnight (memtest86+)."
    )
