"""PCI Express against the profile: links of cards and drives now and at best, resizable BARs, errors, the IOMMU."""

import re

from lib.core.evidence import Check, Status
from lib.core.sections import Gpu, Profile
from lib.host import pci, tools
from lib.host.probe import Host, Output

Pair = tuple[Gpu | None, pci.Device | None]
LANES = (
    "An AM5 processor has 24 usable lanes: one card gets 16, two cards on its slots get 8 each, and an M.2 drive in a "
    "shared slot can take them too (see the slot table in the board's manual)."
)


def checks(host: Host, profile: Profile) -> list[Check]:
    """Check the links of cards and NVMe drives, BARs, the IOMMU and uncorrected link errors."""
    if not host.glob(f"{pci.DEVICES}/*/class"):
        return [
            Check(
                name="hardware.pcie.devices",
                title="PCI Express",
                status="skip",
                expected="cards and drives at their full link",
                observed="this machine shows no PCI devices",
                fix="run on the machine itself: a container or a small virtual machine has no PCI bus of its own",
            )
        ]
    cards = cards_of(host, profile)
    told = _told_by_driver(host)
    links = {index: pair for index, pair in enumerate(cards) if not (pair[0] and pair[1] and pair[1].address in told)}
    drives = pci.look(host, "0x0108")
    found = [check for check in (_drives(drives), _resizable(host, list(links.values()))) if check]
    errors = _errors(host, [device for _, device in cards if device] + drives)
    return [*(_card(index, *pair) for index, pair in links.items()), *found, *errors, _iommu(host, cards)]


def _told_by_driver(host: Host) -> set[str]:
    """Return the addresses of cards whose link and window `lib.host.gpu` judges by what the driver says."""
    cards = (host.nvml() or {}).get("cards") or []
    return {str(card.get("pci_bus_id") or "")[-12:].lower() for card in cards}


def cards_of(host: Host, profile: Profile) -> list[Pair]:
    """Pair the profile's graphics cards with what is on the bus; further cards come last, without expectation."""
    left = [device for device in pci.look(host, "0x03") if device.discrete]
    pairs: list[Pair] = []
    for wanted in profile.host.gpus:
        fitting = [device for device in left if device.vendor == pci.VENDORS[wanted.vendor]]
        # The name first, but an old pci.ids does not know new cards: then the larger window and the wider link.
        fitting.sort(key=lambda d: (wanted.name in d.name, d.window, d.own.generation, d.own.width), reverse=True)
        pairs.append((wanted, fitting[0] if fitting else None))
        left = [device for device in left if device not in fitting[:1]]
    return [*pairs, *((None, device) for device in left)]


def _card(index: int, wanted: Gpu | None, found: pci.Device | None) -> Check:
    name, title = f"hardware.pcie.gpu{index}_link", f"PCIe link of {wanted.name if wanted else f'card {index}'}"
    want = pci.Link(wanted.pcie_generation, wanted.pcie_width) if wanted else pci.Link()
    if found is None:
        return Check(
            name=name,
            title=title,
            status="fail",
            expected=f"{wanted.name if wanted else 'a card'} on the bus",
            observed="not on the bus",
            fix="power off, reseat card and power cable, look at the firmware's list of PCIe slots",
        )
    observed = f"{found.name}: {found.now} now, {found.best} at best here"
    if found.best != found.own:
        observed += f", {found.own} in a better slot"
    if not found.now.width:
        return Check(name=name, title=title, status="skip", observed=observed, fix="a virtual machine hides the link")
    status, fix = _verdict(found, want)
    return Check(
        name=name,
        title=title,
        status=status,
        expected=f"{want} by the profile" if want.width else f"{found.best}, the best of card and slot",
        observed=observed,
        fix=fix,
        source="https://docs.kernel.org/PCI/sysfs-pci.html" if status != "pass" else "",
    )


def _verdict(found: pci.Device, want: pci.Link) -> tuple[Status, str]:
    """Judge a link: width strictly, for it does not change with load; the generation drops when a card is idle."""
    if found.now.width < want.width:
        return "fail", (
            f"Only {found.now.width} of {want.width} lanes. Put the card into the processor's x16 slot, reseat it; "
            f"look for a riser, a second card or an M.2 drive that shares its lanes. {LANES}"
        )
    if found.now.width < found.best.width:
        return "warn", f"Fewer lanes than card and slot have: reseat the card, clean the contacts. {LANES}"
    if found.best.generation < want.generation:
        return "warn", (
            f"The slot offers generation {found.best.generation} at best: set it to Auto or Gen{want.generation} "
            "in the firmware; a riser cable may force it down."
        )
    if found.now.generation < max(want.generation, found.best.generation):
        return "warn", (
            "An idle card lowers its generation to save power, so this must be read under load: start a generation, "
            f"then: cat {pci.DEVICES}/{found.address}/current_link_speed"
        )
    return "pass", ""


def _drives(drives: list[pci.Device]) -> Check | None:
    known = [drive for drive in drives if drive.now.width]
    if not known:
        return None
    slow = [d for d in known if d.now.width < d.own.width or d.now.generation < d.own.generation]
    return Check(
        name="hardware.pcie.nvme",
        title="PCIe links of the NVMe drives",
        status="warn" if slow else "pass",
        expected="each drive at the generation and width that it can",
        observed="; ".join(f"{d.name} at {d.address}: {d.now}" + (f" of {d.own}" if d in slow else "") for d in known),
        fix="move the drive to an M.2 slot of the processor (the board's manual lists them); a chipset slot halves it",
    )


def _resizable(host: Host, cards: list[Pair]) -> Check | None:
    """Compare each card's window with its memory: without resizing it is 256 MiB."""
    windows = [(device, _memory(wanted, device)) for wanted, device in cards if device]
    if not windows:
        return None
    seen = "; ".join(f"{d.name}: {size(d.window)}" + (f" of {size(memory)}" if memory else "") for d, memory in windows)
    # A window is a power of two and the memory of a card is not quite: half of it is already a resized window.
    small = any(device.window < memory / 2 for device, memory in windows)
    title, name = "Resizable BAR: the processor sees all of a card's memory", "hardware.pcie.rebar"
    if not small and not all(memory for _, memory in windows):
        return _unknown_bar(name, title, host.run(*pci.COMMAND), seen)
    return Check(
        name=name,
        title=title,
        status="warn" if small else "pass",
        expected="a window as large as the card's memory",
        observed=seen,
        fix="enable Above 4G Decoding and Resizable BAR in the firmware (CSM off). Models run without it; transfers "
        "between processor and card, and between cards, are then limited to a small window.",
        source="https://docs.kernel.org/PCI/sysfs-pci.html",
    )


def _memory(wanted: Gpu | None, device: pci.Device) -> int:
    """Return a card's memory in bytes as the profile knows it, else the largest size that its BAR offers, else 0."""
    return wanted.memory_mib * 2**20 if wanted else device.could


def _unknown_bar(name: str, title: str, listing: Output, seen: str) -> Check:
    skipped = tools.skip(name, title, pci.COMMAND[0], listing, "a window as large as the card's memory")
    reason = skipped.observed if not listing.ok else "lspci shows resizable BARs only to root"
    return skipped.model_copy(
        update={"observed": f"{seen}; {reason}", "fix": skipped.fix if not listing.ok else tools.AS_ROOT}
    )


def size(number: float) -> str:
    """Return a size in bytes as people say it, in GiB or MiB."""
    return f"{number / 2**30:.4g} GiB" if number >= 2**30 else f"{number / 2**20:.4g} MiB"


def _errors(host: Host, watched: list[pci.Device]) -> list[Check]:
    """Count errors that a resend could not repair; corrected ones are told, a 32 GT/s link is allowed to have some."""
    counted = {device: _counts(host, device.address) for device in watched}
    known = {device: counts for device, counts in counted.items() if counts}
    if not known:
        return []
    lost = {device.name: sum(counts[1:]) for device, counts in known.items() if sum(counts[1:])}
    corrected = sum(counts[0] for counts in known.values())
    return [
        Check(
            name="hardware.pcie.errors",
            title="PCIe errors since boot",
            status="warn" if lost else "pass",
            expected="no uncorrected error on cards and NVMe drives",
            observed=", ".join(f"{name}: {number} uncorrected" for name, number in lost.items())
            or f"0 uncorrected, {corrected} corrected on {len(known)} devices",
            fix="reseat the card, take out a riser, set the slot a generation lower in the firmware; "
            "details: sudo dmesg | grep AER",
            source="https://docs.kernel.org/PCI/pcieaer-howto.html",
        )
    ]


def _counts(host: Host, address: str) -> list[int]:
    """Return corrected, nonfatal and fatal errors; an empty list when the kernel does not count them."""
    files = [host.read(f"{pci.DEVICES}/{address}/aer_dev_{sort}") for sort in ("correctable", "nonfatal", "fatal")]
    totals = [re.search(r"^TOTAL_ERR_\w+ (\d{1,18})", text or "", re.M) for text in files]
    return [int(total.group(1)) for total in totals if total] if all(totals) else []


def _iommu(host: Host, cards: list[Pair]) -> Check:
    """Tell the IOMMU's mode; it matters only when two NVIDIA cards copy to each other directly."""
    modes = {(host.read(path) or "").strip() for path in host.glob("/sys/kernel/iommu_groups/*/type")}
    translating = bool(modes - {"identity", ""})
    peers = sum(device is not None and device.vendor == pci.VENDORS["nvidia"] for _, device in cards)
    return Check(
        name="hardware.pcie.iommu",
        title="IOMMU",
        status="warn" if translating and peers > 1 else "pass",
        expected="off or in pass-through where two NVIDIA cards work together; either way with one",
        observed="translating" if translating else "pass-through" if modes else "off",
        fix="add iommu=pt to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then: sudo update-grub && sudo reboot. "
        "Translation can hang NCCL between two cards.",
        source="https://github.com/vllm-project/vllm/issues/33041",
    )
