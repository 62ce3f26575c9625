"""A twin of one host: a space with a disk that outlives a power cut, and a place on a network."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from lib.lab.netns.space import Space

# What a host writes to. Everything else is this machine's own, and only read.
DISK = ("/etc", "/var", "/opt")
MEMORY = ("/run",)


class Link(NamedTuple):
    """A cable: the twin's interface, its address with prefix length, its router, and the bridge at the other end."""

    interface: str
    address: str
    gateway: str
    bridge: str


class Twin(Space):
    """A host that can be booted, cut off and booted again.

    Parameters
    ----------
    name : str
        Host name.
    world : Space
        Where the bridges are; the twin ends with it.
    links : sequence of Link
        Its cables.
    """

    def __init__(self, name: str, world: Space, *links: Link) -> None:
        super().__init__(name, within=world)
        self.world, self.links = world, links

    def boot(self) -> None:
        """Start it: disks mounted, cables plugged in. What was written before a power cut is still there."""
        self.start()
        disk = f"/mnt/{self.name}"
        script = ["set -e"]
        for place in DISK:
            upper, work = f"{disk}{place}/upper", f"{disk}{place}/work"
            script.append(f"mkdir -p {upper} {work}")
            script.append(f"mount -t overlay overlay -o lowerdir={place},upperdir={upper},workdir={work} {place}")
        script += [f"mount -t tmpfs -o mode=755 tmpfs {place}" for place in MEMORY]
        script.append("mkdir -p /run/lock")
        self.run(["sh", "-c", "\n".join(script)])
        for link in self.links:
            self.plug(link)

    def plug(self, link: Link) -> None:
        """Lay a cable from the twin to a bridge of the world."""
        port = f"{self.name}-{link.interface}"[:15]
        # A network card keeps its address over a power cut, and the neighbours rely on that.
        card = f"02:{hashlib.sha256(port.encode()).hexdigest()[:10]}"
        card = card[:3] + ":".join(card[3 + 2 * n : 5 + 2 * n] for n in range(5))
        peer = ["peer", "name", link.interface, "address", card, "netns", self._number()]
        self.world.run(["ip", "link", "add", port, "type", "veth", *peer])
        self.world.run(["ip", "link", "set", port, "master", link.bridge, "up"])
        self.run(["ip", "address", "replace", link.address, "dev", link.interface])
        self.run(["ip", "link", "set", link.interface, "up"])
        if link.gateway:
            self.run(["ip", "route", "replace", "default", "via", link.gateway])

    def cable(self, plugged: bool, interface: str = "eth0") -> None:
        """Pull a cable, or plug it in again, at the bridge's end: the twin's own addresses stay."""
        port = f"{self.name}-{interface}"[:15]
        self.world.run(["ip", "link", "set", port, "up" if plugged else "down"])

    def power_cut(self) -> None:
        """End it as a power cut does: no process is asked, nothing is flushed, memory is lost, the disk stays."""
        # Its cables first: the kernel takes its time to clear a network whose last process has ended.
        for link in self.links:
            self.world.run(["ip", "link", "delete", f"{self.name}-{link.interface}"[:15]], check=False)
        self.stop()

    def _number(self) -> str:
        """Return this twin's first process as the world numbers it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        return numbers[-2]
