"""The whole hardware against the profile, one list of checks; the order is the reader's."""

from collections.abc import Sequence

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import checklist, cpu, disks, gpu, memory, network, origin, pci, pcie, sensors, smart, ups
from lib.host.probe import Host
from lib.host.recording import RecordingHost

GROUPS = {
    "Processor and memory": ("hardware.cpu", "hardware.memory"),
    "Graphics cards": ("hardware.gpu",),
    "PCI Express": ("hardware.pcie",),
    "Disks": ("hardware.disk",),
    "Power and cooling": ("hardware.sensors", "hardware.ups"),
    "Network": ("hardware.network",),
    "What software cannot see": ("hardware.checklist",),
}
DMI = "/sys/class/dmi/id"


def hardware(host: Host, profile: Profile) -> list[Check]:
    """Look at everything and return every check.

    Nothing is changed and nothing raises: a tool that is missing or forbidden becomes a skip that names the command
    which changes that. Checks of a recorded machine are marked as such.
    """
    look = RecordingHost(host)  # Each tool runs once, so that all checks judge the same moment.
    found = [
        *cpu.checks(look, profile),
        *memory.checks(look, profile),
        *gpu.checks(look, profile),
        *pcie.checks(look, profile),
        *disks.checks(look, profile),
        *smart.checks(look),
        *sensors.checks(look),
        *ups.checks(look, profile),
        *network.checks(look, profile),
        *checklist.checks(profile),
    ]
    return origin.marked(host, found)


def group(found: Sequence[Check], title: str) -> list[Check]:
    """Return the checks of one of the `GROUPS`."""
    return [check for check in found if check.name.startswith(GROUPS[title])]


def facts(host: Host) -> dict[str, str]:
    """Return what stands there, in words and without serial numbers, for the head of the chapter."""
    processor = cpu.look(host)[0]
    total = memory.total_gib(host)
    slots = [slot for slot in memory.parse(host.run(*memory.COMMAND).out) if slot.size_gib]
    cards = [device.name for device in pci.look(host, "0x03")]
    drives = disks.parse(host.run(*disks.LIST).out)
    board = " ".join(_dmi(host, "board_vendor", "board_name"))
    firmware = " ".join(_dmi(host, "bios_version", "bios_date"))
    known = {
        "Board": board + (f", firmware {firmware}" if firmware else ""),
        "Processor": processor.model and f"{processor.model}: {processor.topology}",
        "Memory": f"{total:.1f} GiB" + (f" in {len(slots)} modules" if slots else "") if total else "",
        "Graphics": "; ".join(cards) or "none on the PCI bus",
        "Disks": "; ".join(str(drive) for drive in drives),
        "Network": "; ".join(str(interface) for interface in network.look(host)),
        "Kernel": (host.read("/proc/sys/kernel/osrelease") or "").strip(),
    }
    return {key: value or "not told" for key, value in known.items()}


def _dmi(host: Host, *keys: str) -> list[str]:
    return [text for key in keys if (text := (host.read(f"{DMI}/{key}") or "").strip())]
