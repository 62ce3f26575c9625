"""What the world gives to a host before anybody deploys: a VPS has its public address, and others find it there."""

from lib.core.sections import Profile
from lib.lab import settings
from lib.lab.settings import Role
from lib.lab.twins import Lab

# The network that the lab's own SSH comes from; a real host names its owner's instead.
LAB_NETWORK = "10.0.2.0/24"
_PLACE = "/etc/systemd/network"


def lay(twins: Lab, profile: Profile, role: Role) -> None:
    """Give a twin what its place on the internet would give it; it holds through power cuts."""
    address = profile.bastion.gates[0].address
    links = settings.load().roles
    if role == "vps":
        card, text = 1, f"[Address]\nAddress={address}/32\n"
    else:
        gateway = links["vps"].links[role].partition("/")[0]
        card, text = list(links[role].links).index("vps") + 1, f"[Route]\nDestination={address}/32\nGateway={gateway}\n"
    folder = f"{_PLACE}/20-{role}-{card}.network.d"
    twins.run(role, f"set -e\nmkdir -p {folder}\ncat >{folder}/public.conf <<'END'\n{text}END\nnetworkctl reload")


def reachable(profile: Profile) -> Profile:
    """Return the profile with the lab's own way in left open by both firewalls; nothing else differs."""
    bastion = profile.bastion
    open_to = {"ssh_from": [*bastion.ssh_from, LAB_NETWORK], "lan": [*bastion.lan, LAB_NETWORK]}
    return profile.model_copy(update={"bastion": bastion.model_copy(update=open_to)})
