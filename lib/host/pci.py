"""The PCI bus as data: devices with their links and memory windows.

Links and windows (BARs) come from sysfs, which any user may read; names and the sizes that a BAR could have from lspci.
"""

import re
from dataclasses import dataclass

from lib.host import tools
from lib.host.probe import Host

COMMAND = ("lspci", "-Dvvnn")
DEVICES = "/sys/bus/pci/devices"
VENDORS = {"nvidia": "0x10de", "amd": "0x1002"}
_GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Link:
    """A PCIe link: generation and lanes; 0 is unknown."""

    generation: int = 0
    width: int = 0

    def __str__(self) -> str:
        if not self.width:
            return "unknown"
        return f"{self.generation}.0 x{self.width}" if self.generation else f"x{self.width}"

    def limited(self, other: "Link") -> "Link":
        """Return the best that this end and the other can agree on; an unknown end does not limit."""
        return Link(
            min(filter(None, (self.generation, other.generation)), default=0),
            min(filter(None, (self.width, other.width)), default=0),
        )


@dataclass(frozen=True)
class Device:
    """A device on the bus with its link to the board; memory windows (BARs) in bytes."""

    address: str
    vendor: str
    name: str
    now: Link
    own: Link
    best: Link
    bars: tuple[int, ...]
    could: int

    @property
    def window(self) -> int:
        """The largest BAR, in bytes."""
        return max(self.bars, default=0)

    @property
    def discrete(self) -> bool:
        """Whether it is a card of its own; pci.ids calls the graphics inside an AMD processor "Radeon Graphics"."""
        return self.vendor in VENDORS.values() and self.name != "Radeon Graphics"


def look(host: Host, kind: str) -> list[Device]:
    """Return the devices of a PCI class, such as ``0x03`` (graphics) or ``0x0108`` (NVMe), in order of address."""
    listing = host.run(*COMMAND)
    names, could = parse_names(listing.out), parse_resizable(listing.out)
    addresses = [path.split("/")[5] for path in host.glob(f"{DEVICES}/*/class")]
    found = [a for a in addresses if (host.read(f"{DEVICES}/{a}/class") or "").startswith(kind)]
    return [_device(host, address, names.get(address, ""), could.get(address, 0)) for address in found]


def _device(host: Host, address: str, name: str, could: int) -> Device:
    vendor = (host.read(f"{DEVICES}/{address}/vendor") or "").strip()
    device = (host.read(f"{DEVICES}/{address}/device") or "").strip()
    port = _outer(host, address, vendor)
    slot = _parent(host, port)
    own = _link(host, port, "max")
    return Device(
        address=address,
        vendor=vendor,
        name=name or f"device {vendor[2:]}:{device[2:]}",
        now=_link(host, port, "current"),
        own=own,
        best=own.limited(_link(host, slot, "max")) if slot else own,
        bars=parse_resource(host.read(f"{DEVICES}/{address}/resource") or ""),
        could=could,
    )


def _parent(host: Host, address: str) -> str:
    """Return the address of the bridge above, or the empty string: sysfs nests a device in its bridge's folder."""
    above = host.glob(f"{DEVICES}/*/{address}/vendor")
    return above[0].split("/")[5] if above else ""


def _outer(host: Host, address: str, vendor: str) -> str:
    """Return the card's port towards the slot.

    Radeon cards since Navi carry a switch of their own: the link of the graphics function is the one inside the card
    and always looks perfect (https://github.com/nokyan/resources/issues/512).
    """
    here = address
    while above := _parent(host, here):
        if (host.read(f"{DEVICES}/{above}/vendor") or "").strip() != vendor:
            return here
        here = above
    return here


def _link(host: Host, address: str, which: str) -> Link:
    speed = (host.read(f"{DEVICES}/{address}/{which}_link_speed") or "").split(" ")[0]
    width = tools.count(host.read(f"{DEVICES}/{address}/{which}_link_width")) or 0
    return Link(_GENERATIONS.get(speed, 0), width if width <= 32 else 0)


def parse_names(text: str) -> dict[str, str]:
    """Return address to name from ``lspci -Dvvnn``; a device that pci.ids does not know has none."""
    found = re.findall(r"^([0-9a-f]{4,8}:\S+) .*?\[[0-9a-f]{4}\]: (.*?) \[[0-9a-f]{4}:[0-9a-f]{4}\]", text, re.M)
    return {address: _short(name) for address, name in found if not name.endswith(" Device")}


def _short(name: str) -> str:
    """Return a card's name as people know it: pci.ids writes it in brackets behind the name of the chip."""
    marketed = re.search(r" \[([^\[\]]+)\]$", name)
    return marketed.group(1) if marketed else name


def parse_resizable(text: str) -> dict[str, int]:
    """Return address to the largest size in bytes that a BAR can be resized to, from ``lspci -Dvvnn`` as root."""
    sizes: dict[str, int] = {}
    address = ""
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]{4,8}:[0-9a-f]{2}:\S+", line):
            address = head.group()
        elif bar := re.search(r"BAR \d: current size: \w+, supported: (.+)", line):
            found = re.findall(r"\b(\d{1,6})([KMGT])B\b", bar.group(1))
            sizes[address] = max([sizes.get(address, 0), *(int(number) * _UNITS[unit] for number, unit in found)])
    return sizes


def parse_resource(text: str) -> tuple[int, ...]:
    """Return the sizes of the six BARs, in bytes, from a device's ``resource`` file; an unused one is left out."""
    lines = [re.fullmatch(r"0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x[0-9a-f]{1,16}", x) for x in text.splitlines()[:6]]
    ends = [(int(line.group(1), 16), int(line.group(2), 16)) for line in lines if line]
    return tuple(end - start + 1 for start, end in ends if end > start)
