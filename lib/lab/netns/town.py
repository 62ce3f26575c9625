"""The whole topology: an internet with VPS and a client on it, and homes behind one router that translates."""

import ipaddress
from collections.abc import Mapping

from lib.core.lifetime import Lifetime
from lib.lab.netns.line import Line
from lib.lab.netns.space import LabError, Space, missing
from lib.lab.netns.twin import Link, Twin

# Addresses for documentation (RFC 5737): they are nobody's.
INTERNET = "203.0.113"
HOME_LAN = "192.168.50"
ROUTER_PUBLIC = f"{INTERNET}.30"
NAT = """\
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept
    oifname "wan" masquerade
  }
}
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    iifname "lan" accept
  }
  chain input {
    type filter hook input priority filter; policy drop
    ct state established,related accept
    iifname { "lo", "lan" } accept
  }
}
"""


class Town(Lifetime):
    """All twins with their network. A context manager; or call `start` and `stop`.

    Parameters
    ----------
    vps : mapping of str to str
        Name of each VPS to its public address, within 203.0.113.0/24.
    homes : sequence of str
        Names of the servers behind the router.
    """

    def __init__(self, vps: Mapping[str, str], homes: tuple[str, ...] = ("home",)) -> None:
        self.world = Space("internet")
        self.vps = {name: self._public(name, address) for name, address in vps.items()}
        self.client = self._public("client", f"{INTERNET}.50")
        self.router = Twin(
            "router",
            self.world,
            Link("wan", f"{ROUTER_PUBLIC}/24", "", "inet"),
            Link("lan", f"{HOME_LAN}.1/24", "", "lan"),
        )
        self.homes = {
            name: Twin(name, self.world, Link("eth0", f"{HOME_LAN}.{10 + number}/24", f"{HOME_LAN}.1", "lan"))
            for number, name in enumerate(homes)
        }
        self.line = Line(self.router)

    def _public(self, name: str, address: str) -> Twin:
        if ipaddress.ip_address(address) not in ipaddress.ip_network(f"{INTERNET}.0/24"):
            raise LabError(f"{name} has the address {address}; the lab's internet is {INTERNET}.0/24")
        return Twin(name, self.world, Link("eth0", f"{address}/24", "", "inet"))

    @property
    def twins(self) -> list[Twin]:
        """Every twin, clients last."""
        return [self.router, *self.vps.values(), *self.homes.values(), self.client]

    def start(self) -> None:
        """Make everything, in about a second.

        Raises
        ------
        LabError
            A right or a program is missing; the message names it.
        """
        if lacking := missing():
            raise LabError("the lab's namespaces cannot be made here", fix=lacking)
        try:
            self.world.start()
            self.world.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt"])
            for bridge in ("inet", "lan"):
                self.world.run(["ip", "link", "add", bridge, "type", "bridge"])
                self.world.run(["ip", "link", "set", bridge, "up"])
            for twin in self.twins:
                twin.boot()
            self.open_router()
        except BaseException:
            self.stop()
            raise

    def open_router(self) -> None:
        """Let the router translate: what homes begin goes out, nothing that begins outside comes in."""
        self.router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        self.router.run(["nft", "-f", "-"], feed=NAT)

    def new_address(self, address: str) -> None:
        """Give the router another public address, as a provider does: old translations lead nowhere from then on."""
        self.router.run(["ip", "address", "flush", "dev", "wan"])
        self.router.run(["ip", "address", "add", f"{address}/24", "dev", "wan"])

    def stop(self) -> None:
        """End everything: the world's first process takes all with it."""
        self.line.restore()
        for twin in reversed(self.twins):
            twin.stop()
        self.world.stop()
