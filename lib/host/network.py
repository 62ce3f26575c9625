"""Network interfaces: a wired link, its speed, its errors. Addresses are not looked at: documents travel."""

import re
from dataclasses import dataclass

from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.host import tools
from lib.host.probe import Host

NET = "/sys/class/net"
GIGABIT = 1000
ERRORS_PER_PACKET = 1e-6


@dataclass(frozen=True)
class Interface:
    """A network card: driver, state, link speed in Mbit/s (0 is unknown), packets and errors since boot."""

    name: str
    driver: str
    up: bool
    wireless: bool
    speed: int
    packets: int
    errors: int

    def __str__(self) -> str:
        speed = f"{self.speed} Mbit/s" if self.speed else "speed not told"
        sort = "wireless" if self.wireless else speed
        return f"{self.name} ({self.driver}): {sort if self.up else 'down'}"


def look(host: Host) -> list[Interface]:
    """Return the interfaces that have a device behind them; bridges, tunnels and loopback have none."""
    return [_interface(host, path.split("/")[4]) for path in host.glob(f"{NET}/*/device/uevent")]


def _interface(host: Host, name: str) -> Interface:
    driver = re.search(r"^DRIVER=(\S+)", host.read(f"{NET}/{name}/device/uevent") or "", re.M)
    return Interface(
        name=name,
        driver=driver.group(1) if driver else "unknown driver",
        up=(host.read(f"{NET}/{name}/operstate") or "").strip() == "up",
        wireless="DEVTYPE=wlan" in (host.read(f"{NET}/{name}/uevent") or ""),
        speed=max(tools.count(host.read(f"{NET}/{name}/speed")) or 0, 0),
        packets=_counted(host, name, "packets"),
        errors=_counted(host, name, "errors"),
    )


def _counted(host: Host, name: str, what: str) -> int:
    return sum(tools.count(host.read(f"{NET}/{name}/statistics/{way}_{what}")) or 0 for way in ("rx", "tx"))


def checks(host: Host, profile: Profile) -> list[Check]:
    """Check that a wired link is up, fast enough and clean."""
    found = look(host)
    if not found:
        return [
            Check(
                name="hardware.network.link",
                title="Network link",
                status="skip",
                expected="a wired link",
                observed="no interface has a device behind it",
                fix="run on the machine itself: a container has only virtual interfaces",
            )
        ]
    return [_link(found, profile), _clean([interface for interface in found if interface.up])]


def _link(found: list[Interface], profile: Profile) -> Check:
    wired = [interface for interface in found if interface.up and not interface.wireless]
    slow = [interface for interface in wired if 0 < interface.speed < max(GIGABIT, profile.line.download_mbit_s)]
    fix = "use another cable or port: a gigabit card that agrees on less has a damaged pair"
    if not wired:
        fix = "connect a network cable: a server that answers over wireless has pauses that look like a slow model"
    return Check(
        name="hardware.network.link",
        title="Network link",
        status="pass" if wired and len(slow) < len(wired) else "warn",
        expected=f"a wired link of {GIGABIT} Mbit/s or more (the line outside has {profile.line.download_mbit_s:g})",
        observed="; ".join(str(interface) for interface in found),
        fix=fix,
    )


def _clean(found: list[Interface]) -> Check:
    bad = [interface for interface in found if interface.errors > max(ERRORS_PER_PACKET * interface.packets, 10)]
    return Check(
        name="hardware.network.errors",
        title="Network errors since boot",
        status="warn" if bad else "pass" if found else "skip",
        expected="no more than one packet in a million",
        observed="; ".join(f"{i.name}: {i.errors} errors in {i.packets} packets" for i in found) or "no link is up",
        fix="use another cable, then another port; details: ip -s -s link" if found else "connect a network cable",
    )
