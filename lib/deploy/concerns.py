"""Which concerns there are and which host gets which. A new one is a function and a line here."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from lib.core.sections.hosts import HostRole
from lib.deploy import backup, base, driver, monitoring, power, served, tuning
from lib.deploy.bastion import tunnel, way_in
from lib.deploy.resources import Account, Packages, Resource, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site

# First, and alone if need be: what the two ends have to know of each other before the rest can be written.
PACKAGES, TUNNEL = "packages", "tunnel"
GROUND = (PACKAGES, TUNNEL)


def _no_probes(_: Site) -> Sequence[Probe]:
    return ()


@dataclass(frozen=True)
class Concern:
    """A named set of resources for hosts of some roles.

    Parameters
    ----------
    resources : callable
        From a site to the resources, in the order in which they are brought about; taken back is in reverse.
    probes : callable
        From a site to the questions that verify it.
    """

    name: str
    title: str
    roles: tuple[HostRole, ...]
    resources: Callable[[Site], Sequence[Resource]]
    probes: Callable[[Site], Sequence[Probe]] = _no_probes


def registry() -> tuple[Concern, ...]:
    """Return all concerns, in the order in which a host gets them."""
    return (
        Concern(PACKAGES, "All packages in one go", ("home", "vps"), _packages),
        Concern(TUNNEL, "Keys of the way in", ("home", "vps"), tunnel.resources),
        Concern("base", "Users, SSH by keys, updates, time, journal", ("home", "vps"), base.resources, base.probes),
        Concern("driver", "NVIDIA driver of one branch, held; persistence", ("home",), driver.resources),
        Concern("tuning", "Kernel settings, limits, governor, power limit", ("home",), tuning.resources, tuning.probes),
        Concern("serving", "The engine as a service", ("home",), served.resources, served.probes),
        Concern("bastion", "Firewall, tunnel, proxy, keys", ("home", "vps"), way_in.resources, way_in.probes),
        Concern("monitoring", "Who is told what", ("home", "vps"), monitoring.resources, monitoring.probes),
        Concern("power", "UPS, order of boot, watchdog of the engines", ("home",), power.resources, power.probes),
        Concern("backup", "Backups, verification and restore drills", ("home",), backup.resources, backup.probes),
    )


def _packages(site: Site) -> list[Resource]:
    """Return the packages of all concerns as one, and before them the accounts that they would leave behind."""
    each = [one.resources(site) for one in registry()[1:] if site.role in one.roles]
    found = [item for items in each for item in items if _together(item)]
    names = sorted({name for item in found for name in item.names})
    reasons = dict.fromkeys(f"`{', '.join(item.names)}`: {item.about.reason}" for item in found)
    accounts = [account for items in each for account in _accounts(items)]
    later = tuple(item.name for items in each for item in items if isinstance(item, Unit) and item.running)
    return [*accounts, Packages(tuple(names), later=later, about=About("\n".join(reasons)))] if names else []


def _together(item: Resource) -> TypeGuard[Packages]:
    """Tell whether these packages are installed with all others; those that are held come by themselves."""
    return isinstance(item, Packages) and not item.hold


def _accounts(items: Sequence[Resource]) -> list[Account]:
    """Return the accounts that a concern names before its packages: what they find they do not make."""
    last = max((at for at, item in enumerate(items) if _together(item)), default=0)
    return [item for item in items[:last] if isinstance(item, Account)]


def things(concern: Concern, site: Site) -> list[Resource]:
    """Return the resources of a concern; apt takes long, so that what it installs is done once, for all of them."""
    items = concern.resources(site)
    if concern.name == PACKAGES:
        return list(items)
    early = _accounts(items)
    return [item for item in items if not _together(item) and item not in early]


def concerns(site: Site, only: Collection[str] = ()) -> list[Concern]:
    """Return the concerns of a host; with names, those of them only."""
    return [one for one in registry() if site.role in one.roles and (not only or one.name in only)]
