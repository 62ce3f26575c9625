"""The ground of the way in: packages, and keys that are made on each host; then the machines can be introduced."""

from collections.abc import Iterator
from dataclasses import replace

from lib.core.errors import RunbookError, nearest
from lib.core.sections.bastion import Bastion, Gate, Peer
from lib.core.sections.hosts import HostRole
from lib.deploy.bastion import files
from lib.deploy.resources import Folder, Packages, Resource, Secret
from lib.deploy.resources.base import About
from lib.deploy.site import Site
from lib.deploy.target import Target

WIREGUARD = files.WIREGUARD.rpartition("/")[0]
SOURCE = "https://www.wireguard.com/quickstart/"
# What a VPS needs to judge keys and to be asked, and what a home needs to look whether its tunnel carries.
NEEDS = {"vps": ("curl", "dehydrated", "nftables", "nginx", "openssl", "python3", "wireguard-tools"),
         "home": ("iputils-ping", "nftables", "nginx", "wireguard-tools")}  # fmt: skip


def wanted(site: Site) -> bool:
    """Tell whether the profile has both ends; a profile without hosts stands for a fresh home and a fresh VPS."""
    return not site.profile.hosts or {"home", "vps"} <= {host.role for host in site.profile.hosts.values()}


def here(site: Site) -> Gate | Peer:
    """Return the machine of the bastion's section that a host is.

    Raises
    ------
    RunbookError
        The section names no such machine, and it is not the only host of its role.
    """
    bastion = site.profile.bastion
    known: list[Gate | Peer] = [*bastion.gates] if site.role == "vps" else [*bastion.homes]
    for machine in known:
        if machine.name == site.host:
            return machine
    if site.lab or sum(host.role == site.role for host in site.profile.hosts.values()) == 1:
        return known[0]
    field = "bastion.gates" if site.role == "vps" else "bastion.homes"
    raise RunbookError(
        f"{field} has no '{site.host}'",
        where=f"runbook/profiles/{site.profile.name}.yml",
        nearest=nearest(site.host, [machine.name for machine in known]),
        fix=f"a host's name in hosts is its name in {field}",
    )


def names(site: Site) -> dict[str, str]:
    """Return the hosts on the other side of the tunnel, by their names in the bastion's section."""
    other: HostRole = "home" if site.role == "vps" else "vps"
    hosts = [name for name, host in site.profile.hosts.items() if host.role == other]
    return {here(replace(site, host=name, role=other)).name: name for name in hosts}


def known(site: Site) -> Bastion:
    """Return the bastion's section with only those machines whose keys are known."""
    bastion, keys = site.profile.bastion, site.public_keys
    if site.role == "vps":
        parts = {"homes": bastion.homes, "clients": bastion.clients}
        left: dict[str, list[Peer]] = {kind: [one for one in all_ if one.name in keys] for kind, all_ in parts.items()}
        return bastion.model_copy(update=left)
    gates = [gate for gate in bastion.gates if gate.name in keys and gate.name in site.preshared]
    return bastion.model_copy(update={"gates": gates})


def introduced(site: Site) -> bool:
    """Tell whether enough is known of the other side to open the way."""
    found = known(site)
    return bool(found.homes if site.role == "vps" else found.gates)


def resources(site: Site) -> list[Resource]:
    """Return packages and keys."""
    return [*_ground(site), *_keys(site)] if wanted(site) else []


def _ground(site: Site) -> Iterator[Resource]:
    yield Packages(
        NEEDS[site.role],
        about=About("Tunnel, firewall and proxy are the distribution's own, and get its security updates."),
    )
    yield Folder(WIREGUARD, "700", about=About("Keys of the tunnel; root alone reads them."))


def _keys(site: Site) -> Iterator[Resource]:
    here(site)  # an unknown name is an error before anything is touched
    yield Secret(
        files.PRIVATE_KEY,
        make="wg genkey",
        about=About("Made on this host; nobody else ever sees it.", SOURCE),
    )
    if site.role == "vps":
        for peer in site.profile.bastion.homes + site.profile.bastion.clients:
            yield Secret(
                f"{WIREGUARD}/{peer.name}.psk",
                make="wg genpsk",
                about=About(
                    "A second secret of this pair alone: what is recorded today stays closed when the first is broken.",
                    SOURCE,
                ),
            )


def met(site: Site, others: dict[str, Target]) -> Site:
    """Return a site that knows the other side: public keys as the hosts say them, and what a home shares with a VPS.

    Parameters
    ----------
    others : dict of str to Target
        Connected hosts of the other side, by their names in the bastion's section. One that has no key yet stays
        unknown.
    """
    public = {name: target.run(_PUBLIC).strip() for name, target in others.items()}
    shared: dict[str, str] = {}
    if site.role == "home":
        ask = _PRESHARED.format(place=WIREGUARD, name=here(site).name)
        shared = {name: target.run(ask).strip() for name, target in others.items()}
    return replace(site, public_keys=_said(public), preshared=_said(shared))


def _said(answers: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in answers.items() if text}


_PUBLIC = f"[ ! -s {files.PRIVATE_KEY} ] || ! command -v wg >/dev/null || wg pubkey <{files.PRIVATE_KEY}"
_PRESHARED = "[ ! -s {place}/{name}.psk ] || cat {place}/{name}.psk"
